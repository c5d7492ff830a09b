"""Launches on a real Slurm, seen as its user sees them, and a page on what became of them.

``CROSSMESH_SLURM_LOG=docs/logs/slurm.txt`` has the page written.
"""

import json
import os
import re
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from tests.cluster.machines import wait_for
from tests.cluster.parts import need
from tests.cluster.slurm_cluster import PROGRAMS, SlurmLab
from tests.faults import undisturbed

PAGE = os.environ.get("CROSSMESH_SLURM_LOG")
QUICK = ("training.baseline=false", "chip.model=analytic")
ENDED = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", None}
_LONG_S = 420.0  # longest wait for anything: a lost node takes minutes on a busy machine


HEAD = """\
Launches on Slurm, as they went

Slurm 22.05 (Debian's) with munge, slurmctld on login, slurmd on n1 and n2, on machines of
namespaces that share two real CPUs; Slurm counts two on each. Each case is a test of
tests/cluster/launch/test_slurm_for_real.py or test_slurm_losses.py, which also compares
state_digest with that of the local engine. Written by CROSSMESH_SLURM_LOG=docs/logs/slurm.txt
python -m pytest with both.

"""
_MOST_LINES = 36  # of a log on the page


class SlurmLaunch:
    """A launch from the login machine, in a folder of its own that all machines share.

    Attributes:
        code: Exit code of ``crossmesh launch``.
        out: What it said.
        errors: What it said on standard error.
        took_s: Seconds from its beginning to its end.
        overrides: What the config changes in ``digits``.
    """

    def __init__(
        self, lab: SlurmLab, folder: Path, options: tuple[str, ...], changes: dict
    ) -> None:
        self._lab = lab
        self._folder = folder
        folder.mkdir(exist_ok=True)
        self.overrides = (*QUICK, *options)
        cluster = {
            "extends": "slurm", "name": "lab", "nodes": 2, "cpus_per_node": 2, "activate": [],
            "storage": str(folder / "runs"), "warning_s": 60, **changes,
        }  # fmt: skip
        (folder / "lab.yaml").write_text(yaml.safe_dump(cluster))
        sets = [word for text in self.overrides for word in ("--set", text)]
        self.command = ["crossmesh", "launch", "lab.yaml", "digits", *sets]

    def begin(self, **options) -> subprocess.Popen:
        """Begin the command."""
        self._began = time.monotonic()
        return self._lab.login.popen(
            *self.command, cwd=self._folder, text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options,
        )  # fmt: skip

    def start(self, **options) -> "SlurmLaunch":
        """Run the command to its end."""
        self.finish(self.begin(**options))
        return self

    def finish(self, process: subprocess.Popen, within_s: float = _LONG_S) -> None:
        """Wait for the end of the command."""
        self.out, self.errors = process.communicate(timeout=within_s)
        self.code = process.returncode
        self.took_s = time.monotonic() - self._began

    @property
    def name(self) -> str:
        """The launch's name."""
        found = re.search(r"^launch (\S+): ", self.errors, re.MULTILINE)
        assert found, self.errors
        return found[1]

    @property
    def folder(self) -> Path:
        """The launch's folder."""
        return self._folder / "launched" / self.name

    @property
    def number(self) -> str:
        """Number of its job."""
        return (self.folder / "job").read_text().strip()

    @property
    def log(self) -> str:
        """What its log says."""
        log = self.folder / "log"
        return log.read_text() if log.exists() else ""

    @property
    def summary(self) -> dict:
        """Of its run."""
        return json.loads((self._folder / "runs" / self.name / "summary.json").read_text())

    @property
    def digest(self) -> str:
        """Of the chip that it has trained."""
        return self.summary["state_digest"]

    @property
    def expected_digest(self) -> str:
        """Of the chip that the local engine trains; best asked for while the job waits."""
        other = ("engine.", "checkpoint.every_s")  # what changes nothing
        return undisturbed(tuple(each for each in self.overrides if not each.startswith(other)))

    def crossmesh(self, verb: str, *words: str) -> str:
        """Run a command that follows the launch, on the login machine; what it says."""
        done = self._lab.login.run("crossmesh", verb, self.name, *words, cwd=self._folder)
        return done.stdout + done.stderr

    def shown(self) -> dict[str, str]:
        """What Slurm says of the job."""
        asked = self._lab.login.run(
            "scontrol", "show", "job", "--oneliner", self.number, check=False
        )
        return dict(re.findall(r"(\S+?)=(\S*)", asked.stdout))

    @property
    def state(self) -> str | None:
        """The job's state in Slurm's words; None if it knows none."""
        return self.shown().get("JobState")

    @property
    def elapsed_s(self) -> int:
        """How long the job has run."""
        hours, minutes, seconds = map(int, self.shown()["RunTime"].split(":"))
        return hours * 3600 + minutes * 60 + seconds

    def await_state(self, *states: str | None) -> None:
        """Wait until the job is in one of some states."""
        try:
            wait_for(lambda: self.state in states, _LONG_S, f"{states}")
        except TimeoutError as error:
            raise AssertionError(f"{error}: {self.shown()}\n{self.log}") from None

    def await_end(self) -> str | None:
        """Wait until nothing of the job runs; its last state."""
        self.await_state(*ENDED)
        return self.state

    def await_log(self, text: str, times: int = 1) -> None:
        """Wait until the log says something."""
        deadline = time.monotonic() + _LONG_S
        while self.log.count(text) < times:
            assert time.monotonic() < deadline, self.log
            assert self.state not in ENDED, (self.state, self.log)
            time.sleep(0.3)

    @property
    def said_command(self) -> str:
        """The command as a user would type it."""
        return " ".join(self.command).replace(f"{self._folder}/", "")

    def said(self) -> list[str]:
        """What the launch said, its log, and what Slurm says of the job in the end."""
        lines = [*self.errors.splitlines(), *self.out.splitlines()]
        if self.code == 0:
            log = [line.rstrip() for line in self.log.splitlines() if "network_util.cc" not in line]
            if len(log) > _MOST_LINES:
                half = _MOST_LINES // 2
                log = [*log[:half], f"... {len(log) - 2 * half} lines ...", *log[-half:]]
            shown = self.shown()
            keys = ("JobState", "ExitCode", "Restarts", "RunTime", "NodeList")
            lines += [f"$ crossmesh logs {self.name}", *log, f"$ scontrol show job {self.number}"]
            lines += [" ".join(f"{key}={shown.get(key)}" for key in keys)]
            lines += [f"$ crossmesh status {self.name}", *self.status.splitlines()]
        return [line.replace(str(self._folder), "/shared") for line in lines]

    @property
    def status(self) -> str:
        """What ``crossmesh status`` says."""
        done = self._lab.login.run("crossmesh", "status", self.name, check=False, cwd=self._folder)
        return done.stdout + done.stderr

    def signal(self, name: str) -> None:
        """Send a signal to the job's script, as Slurm does before the time is up."""
        self._lab.login.run("scancel", "--batch", f"--signal={name}", self.number)


def written(title: str, runs: list[SlurmLaunch], notes: str = "") -> None:
    """Put a case into the page, if it is wanted, in place of what the page says of it."""
    if PAGE is None:
        return
    page = Path(PAGE)
    text = page.read_text() if page.exists() else HEAD
    before, *cases = re.split(r"(?m)^(?=## )", text)
    kept = {case.splitlines()[0]: case for case in cases}
    body = [f"## {title}", "", *([notes, ""] if notes else [])]
    for run in runs:
        body += [f"$ {run.said_command}", *run.said(), ""]
    kept[body[0]] = "\n".join(body)
    page.parent.mkdir(exist_ok=True)
    page.write_text("\n\n".join(part.strip() for part in (before, *kept.values())) + "\n")


def leftovers(lab: SlurmLab) -> list[str]:
    """What jobs have left in the queue and on the machines."""
    daemons = ("munged", "slurmd", "slurmctld", ": slurmscriptd")
    left = [f"queue: {job}" for job in lab.jobs()]
    for machine in lab.machines:
        left += [f"{machine.name}: {path}" for path in machine.files()]
        left += [
            f"{machine.name}: {process.command}"
            for process in machine.processes()
            if not process.command.startswith(daemons)
        ]
    return left


@pytest.fixture(scope="module")
def slurm():
    """Slurm with a login machine and two nodes."""
    need(*PROGRAMS)
    with SlurmLab() as lab:
        yield lab


@pytest.fixture
def launch(slurm, request):
    """What makes launches in a folder of the test's own; nothing of them is left at its end."""
    name = request.node.name.replace("[", "-").replace("]", "")
    folder = slurm.machines.shared / f"100%j #1, {name}'s"

    def made(*options, **changes):
        return SlurmLaunch(slurm, folder, options, changes)

    yield made
    slurm.login.run("scancel", "--user=root")
    for node in slurm.nodes:
        if node.is_on:
            node.mend()
        else:
            slurm.boot(node)
    wait_for(lambda: not slurm.jobs(), 90, "the end of all jobs")
    wait_for(lambda: set(slurm.states()) == {"idle"}, 90, "idle nodes")


@pytest.fixture
def blocker(slurm):
    """A job that has all nodes, until it is ended."""
    job = slurm.login.popen("srun", "--nodes=2", "--exclusive", "sleep", "1000")
    wait_for(lambda: any("RUNNING" in each for each in slurm.jobs()), 30, "the blocker")
    yield job
    job.kill()
