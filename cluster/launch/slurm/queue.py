"""What Slurm says about jobs and partitions, as its own commands print it.

``scontrol`` knows a job while it waits and runs, and a few minutes longer; ``sacct`` knows ended
ones where there is accounting.
"""

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from crossmesh.common.errors import RunError

_ANSWER_S = 30  # longest wait for the controller
# States of jobs: slurm.schedmd.com/squeue.html, "JOB STATE CODES".
_QUEUED = {"PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "SUSPENDED"}
_RUNNING = {"CONFIGURING", "RUNNING", "COMPLETING", "SIGNALING", "STAGE_OUT", "STOPPED", "RESIZING"}
_CANCELLED = {"CANCELLED", "REVOKED"}
_TERM = 15


class SlurmError(RunError):
    """Slurm's commands or its controller do not answer; the message says what they said."""


@dataclass(frozen=True)
class SlurmJob:
    """A job as Slurm sees it.

    Attributes:
        state: Slurm's word for it.
        detail: Why it waits, where it runs, or how it ended.
        exit_code: Exit code of its script.
        signal: Signal that ended its script, or 0.
    """

    state: str
    detail: str = ""
    exit_code: int = 0
    signal: int = 0

    @property
    def is_queued(self) -> bool:
        """Whether it waits."""
        return self.state in _QUEUED

    @property
    def is_running(self) -> bool:
        """Whether it has nodes."""
        return self.state in _RUNNING

    @property
    def is_cancelled(self) -> bool:
        """Whether somebody ended it."""
        return self.state in _CANCELLED or self.signal == _TERM

    @property
    def is_done(self) -> bool:
        """Whether its script has ended with 0."""
        return self.state == "COMPLETED"


def said(*command: str, given: str | None = None) -> str:
    """What a command of Slurm's prints.

    Raises:
        SlurmError: If it fails; with what it said, in one line.
    """
    try:
        done = subprocess.run(
            command, input=given, capture_output=True, text=True, check=False, timeout=_ANSWER_S
        )
    except OSError as error:
        raise SlurmError(f"{command[0]}: {(error.strerror or str(error)).lower()}") from None
    except subprocess.TimeoutExpired:
        raise SlurmError(f"{command[0]}: no answer within {_ANSWER_S} s") from None
    if done.returncode:
        raise SlurmError(complaint(done.stderr or done.stdout))
    return done.stdout


def complaint(text: str) -> str:
    """What Slurm complains about, in one line and without its prefixes."""
    lines = [re.sub(r"^(\w+: )?(error: )?", "", line).strip() for line in text.splitlines()]
    return "; ".join(dict.fromkeys(filter(None, lines))) or "no reason given"


def records(text: str) -> list[Mapping[str, str]]:
    """Fields of what ``scontrol show --oneliner`` prints, a mapping for each line.

    >>> records("JobId=7 Reason=None Comment=a b NodeList=n[1-2]")[0]["Comment"]
    'a b'
    """
    found = (
        re.findall(r"(\S+?)=(.*?)(?=\s+[A-Za-z:/]+=|\s*$)", line) for line in text.splitlines()
    )
    return [dict(fields) for fields in found if fields]


def job(number: str, name: str) -> SlurmJob | None:
    """The job with a number and a name; None if Slurm knows none, or no longer.

    Raises:
        SlurmError: If Slurm does not answer.
    """
    try:
        shown = records(said("scontrol", "show", "job", "--oneliner", number))
    except SlurmError as error:
        if "Invalid job id" not in str(error):
            raise
        return _accounted(number, name)
    return next((job_of(each) for each in shown if each.get("JobName") == name), None)


def job_of(shown: Mapping[str, str]) -> SlurmJob:
    """A job from the fields that ``scontrol`` shows."""
    state = shown["JobState"]
    code, _, number = shown.get("ExitCode", "0:0").partition(":")
    reason = shown.get("Reason", "None")
    detail = f"{state} ({reason})" if reason != "None" else state
    nodes = shown.get("NodeList", "(null)")
    if state in _RUNNING and nodes != "(null)":
        detail = f"{state} on {nodes}"
    if int(shown.get("Restarts", "0")):
        detail += f", queued again {shown['Restarts']} times"
    return SlurmJob(state, detail, int(code), int(number or 0))


def _accounted(number: str, name: str) -> SlurmJob | None:
    """A job that has ended, from the accounting, if there is any."""
    try:
        text = said("sacct", "--noheader", "--allocations", "--parsable2", "--duplicates",
                    f"--jobs={number}", "--format=JobName%64,State%40,ExitCode")  # fmt: skip
    except SlurmError:
        return None
    rows = [line.split("|") for line in text.splitlines()]
    ours = [row for row in rows if len(row) == 3 and row[0].strip() == name]
    if not ours:
        return None
    _, state, code = ours[-1]  # the last time that it ran
    return job_of({"JobState": state.split()[0], "ExitCode": code})
