"""Faults that befall a run on a private Ray instance, at random moments, and what its user sees.

``python -m tests.fault_table --each 20 --write docs/faults.md`` writes the table of that page.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
COMMAND = (sys.executable, "-m", "crossmesh")
MARK = "CROSSMESH_FAULT_TABLE"  # in the environment of all that a run starts
EXAMPLES = 256
START_S, END_S = 300.0, 60.0  # longest wait until a moment has come, and for the end after it
HEAD = "| fault | runs | as promised | median, s | longest, s | left | what the user saw |"
BEGIN, STOP = "<!-- ends -->", "<!-- /ends -->"
RAYLET, GCS, ACTOR = "/raylet/raylet", "/gcs/gcs_server", "ray::TileActor"


class Seen(NamedTuple):
    """What a user saw of a run with a fault.

    Attributes:
        kind: What befell it.
        moment: When: at the start, in training, in a recovery, at the end.
        code: Exit code.
        seconds: From the fault to the end.
        line: Last line on standard error.
        left: Processes that were left.
        has_summary: Whether the summary was written.
    """

    kind: str
    moment: str
    code: int
    seconds: float
    line: str
    left: int
    has_summary: bool

    @property
    def is_ours(self) -> bool:
        """Whether the run ended as promised."""
        if self.left or self.seconds > END_S or "report it" in self.line:
            return False
        if self.code == 0:
            return self.has_summary
        if self.kind.split()[0] in {"raylet", "GCS"} and "ended with exit code" in self.line:
            return False
        way_on = "crossmesh resume " in self.line or "crossmesh train " in self.line
        begins = "error: " if self.code == 1 else "interrupted"
        return self.code in {1, 130} and self.line.startswith(begins) and way_on


class Run:
    """A small training in a folder of its own."""

    def __init__(self, folder: Path, epochs: int) -> None:
        self.path = folder / "run"
        self.epochs = epochs
        self.errors = folder / "stderr"
        self._mark = uuid.uuid4().hex
        environment = {**os.environ, MARK: self._mark, "PYTHONPATH": str(ROOT)}
        arguments = (
            "train", "digits", "--examples", EXAMPLES, "--epochs", epochs, "--run-dir", self.path,
            "--set", "training.baseline=false", "--set", "engine.actors=2",
        )  # fmt: skip
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [*COMMAND, *map(str, arguments)],
                stdout=subprocess.DEVNULL,
                stderr=errors,
                env=environment,
                cwd=folder,
                start_new_session=True,
            )

    def processes(self) -> dict[int, str]:
        """Ids and commands of all processes of the run that are not dead."""
        return {pid: command for pid, command in _marked(self._mark) if command}

    def parts(self, what: str) -> list[int]:
        """Processes of a kind: a part of their command, or ``coordinator``."""
        there = self.processes()
        if what == "coordinator":
            mine = {pid for pid, command in there.items() if " crossmesh " in command}
            return sorted(mine - {self.process.pid})
        return [pid for pid, command in there.items() if what in command]

    @property
    def said(self) -> str:
        """Its standard error."""
        return self.errors.read_text(errors="replace")

    @property
    def examples(self) -> int:
        """Examples trained, as it says."""
        try:
            return int(json.loads((self.path / "live.json").read_text())["examples"])
        except (OSError, ValueError):
            return 0


def _marked(mark: str) -> Iterator[tuple[int, str]]:
    needle = f"{MARK}={mark}".encode()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                if needle in (folder / "environ").read_bytes().split(b"\0"):
                    command = (folder / "cmdline").read_bytes().replace(b"\0", b" ")
                    yield int(folder.name), command.decode(errors="replace")


# Moments: when a fault may befall a run


def at_the_start(run: Run, chance: random.Random) -> None:
    """Ray starts, or its actors."""
    _wait(run, lambda: run.parts(GCS))
    time.sleep(chance.uniform(0, 5))


def in_training(run: Run, chance: random.Random) -> None:
    """There are checkpoints, and more examples are trained."""
    _wait(run, lambda: list(run.path.glob("checkpoints/step-*")))
    time.sleep(chance.uniform(0, 3))


def in_a_recovery(run: Run, chance: random.Random) -> None:
    """An actor was lost, and another is made in its place."""
    in_training(run, chance)
    actors = run.parts(ACTOR)
    if actors:
        with contextlib.suppress(ProcessLookupError):
            os.kill(chance.choice(actors), signal.SIGKILL)
        _wait(run, lambda: "; recovering" in run.said)
        time.sleep(chance.uniform(0, 2))


def at_the_end(run: Run, chance: random.Random) -> None:
    """The last examples are trained, or Ray ends, or the summary is written."""
    _wait(run, lambda: f"epoch {run.epochs - chance.randint(0, 1)}: " in run.said)
    time.sleep(chance.uniform(0, 1))


def _wait(run: Run, condition: Callable[[], object]) -> None:
    """Wait for a condition, or for the end of the run."""
    deadline = time.monotonic() + START_S
    while run.process.poll() is None and not condition():
        assert time.monotonic() < deadline, f"not within {START_S} s:\n{run.said}"
        time.sleep(0.05)


MOMENTS = {
    "start": at_the_start, "training": in_training, "recovery": in_a_recovery, "end": at_the_end
}  # fmt: skip


# Faults


class Fault(NamedTuple):
    """A signal to some of the processes of a run.

    Attributes:
        number: The signal.
        victims: Parts of the run that get it.
        to_all: Whether all processes get it, the command itself as well.
    """

    number: signal.Signals
    victims: tuple[str, ...] = ()
    to_all: bool = False

    def befall(self, run: Run, chance: random.Random) -> bool:
        """Do it; whether there was a victim."""
        if self.to_all:
            pids = list(run.processes())
        elif self.victims == (ACTOR,):
            pids = run.parts(ACTOR)
            pids = [chance.choice(pids)] if pids else []
        else:
            pids = [pid for victim in self.victims for pid in run.parts(victim)]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, self.number)
        return bool(pids)


FAULTS = {
    "raylet killed": Fault(signal.SIGKILL, (RAYLET,)),
    "GCS killed": Fault(signal.SIGKILL, (GCS,)),
    "raylet frozen": Fault(signal.SIGSTOP, (RAYLET,)),
    "GCS frozen": Fault(signal.SIGSTOP, (GCS,)),
    "actor killed": Fault(signal.SIGKILL, (ACTOR,)),
    "actor frozen": Fault(signal.SIGSTOP, (ACTOR,)),
    "coordinator killed": Fault(signal.SIGKILL, ("coordinator",)),
    "coordinator frozen": Fault(signal.SIGSTOP, ("coordinator",)),
    "all killed at once": Fault(signal.SIGKILL, (GCS, RAYLET, ACTOR, "coordinator")),
    "all frozen at once": Fault(signal.SIGSTOP, (GCS, RAYLET, ACTOR, "coordinator")),
    "SIGTERM to every process": Fault(signal.SIGTERM, to_all=True),
    "SIGINT to every process": Fault(signal.SIGINT, to_all=True),
}


def seen(kind: str, moment: str, chance: random.Random, folder: Path) -> Seen:
    """Make a run, do a fault to it, and see how it ends."""
    run = Run(folder, epochs=4 if moment == "end" else 5000)
    try:
        MOMENTS[moment](run, chance)
        recovered = run.said.count("recovered; ")
        while not FAULTS[kind].befall(run, chance) and run.process.poll() is None:
            time.sleep(0.05)
        before = time.monotonic()
        if moment != "end" and "actor" in kind:
            return _survived(run, kind, moment, before, recovered)
        return _ended(run, kind, moment, before)
    finally:
        for pid in run.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        run.process.wait()


def _survived(run: Run, kind: str, moment: str, before: float, recovered: int) -> Seen:
    """A lost actor costs a recovery, or is lost in one; then the run is asked to end."""
    while run.process.poll() is None and time.monotonic() < before + END_S:
        if run.said.count("; recovering") == run.said.count("recovered; ") > recovered:
            break
        time.sleep(0.05)
    seconds = time.monotonic() - before
    run.process.send_signal(signal.SIGINT)
    return _ended(run, kind, moment, time.monotonic())._replace(seconds=seconds)


def _ended(run: Run, kind: str, moment: str, before: float) -> Seen:
    with contextlib.suppress(subprocess.TimeoutExpired):
        run.process.wait(3 * END_S)
    seconds = time.monotonic() - before
    lines = run.said.splitlines()
    code = run.process.poll()
    summary = (run.path / "summary.json").exists()
    left = len(run.processes())
    return Seen(kind, moment, -1 if code is None else code, seconds, lines[-1] if lines else "",
                left, summary)  # fmt: skip


def row(kind: str, all_seen: list[Seen]) -> str:
    """What users saw of a kind of fault, as a row of the table."""
    ends = {}
    for each in all_seen:
        sentence = each.line.partition(": crossmesh")[0] if each.code else "the result"
        ends.setdefault((each.code, sentence), []).append(each)
    reported = "<br>".join(
        f"{len(those)} of {len(all_seen)}: exit {code}, {sentence}"
        for (code, sentence), those in sorted(ends.items(), key=lambda item: -len(item[1]))
    )
    seconds = sorted(each.seconds for each in all_seen)
    ours = sum(each.is_ours for each in all_seen)
    return (
        f"| {kind} | {len(all_seen)} | {ours} | {seconds[len(seconds) // 2]:.1f} | "
        f"{seconds[-1]:.1f} | {sum(each.left for each in all_seen)} | {reported} |"
    )


def options() -> argparse.Namespace:
    """What is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--each", type=int, default=20, help="runs of each kind")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
    parser.add_argument("--minutes", type=float, default=1e9, help="no run begins later")
    parser.add_argument("--moments", default=",".join(MOMENTS), help="which of them, in turns")
    parser.add_argument("--log", type=Path, default=Path(os.devnull),
                        help="a line for every run; those that are there count")  # fmt: skip
    parser.add_argument("--write", type=Path, help="page with the table")
    return parser.parse_args()


def main() -> None:
    """Make so many runs with each kind of fault, and write the table."""
    given = options()
    deadline = time.monotonic() + 60 * given.minutes
    moments = given.moments.split(",")
    results: dict[str, list[Seen]] = {kind: [] for kind in FAULTS}
    for line in given.log.read_text().splitlines() if given.log.exists() else []:
        before = Seen(*json.loads(line))
        results[before.kind].append(before)

    def made(number: int, kind: str) -> None:
        if time.monotonic() > deadline:
            return
        folder = Path(tempfile.mkdtemp(prefix="xmf-"))
        chance = random.Random(f"{kind} {number}")
        one = seen(kind, moments[number % len(moments)], chance, folder)
        shutil.rmtree(folder)
        print("ok " if one.is_ours else "BAD", *one, flush=True)  # noqa: T201  because it shows how it goes
        with given.log.open("a") as log:
            log.write(json.dumps(one) + "\n")
        results[kind].append(one)

    due = [
        (number, kind)
        for number, kind in product(range(given.each), FAULTS)
        if len(results[kind]) <= number
    ]
    with ThreadPoolExecutor(given.jobs) as pool:
        list(pool.map(made, *zip(*due, strict=True)) if due else ())
    if given.write:
        text = given.write.read_text()
        rows = [row(kind, its) for kind, its in results.items() if its]
        table = "\n".join([BEGIN, HEAD, "|---|---|---|---|---|---|---|", *rows, ""])
        given.write.write_text(text[: text.index(BEGIN)] + table + text[text.index(STOP) :])


if __name__ == "__main__":
    main()
