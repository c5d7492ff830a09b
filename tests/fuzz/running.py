"""Running the real command on one input, in a process of its own that can be measured and ended."""

import os
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.fuzz import configs, data, others
from tests.jobs import small_config

Make = Callable[[Random, Path], list[str]]
KINDS: dict[str, Make] = {
    "config": configs.config, "yaml": configs.yaml_text, "idx": data.idx, "npz": data.npz,
    "parquet": data.parquet, "text": data.text, "weights": data.weights,
    "onnx": others.onnx_model, "measurement": others.measurement,
    "device file": others.device_file, "checkpoint": others.checkpoint, "path": others.place,
    "study": others.study,
}  # fmt: skip
SHARES = {"config": 8, "npz": 3, "onnx": 3, "checkpoint": 2, "path": 2, "yaml": 2}  # else 1
CPU_S = 20  # of computing, which a busy machine does not change
WALL_S = 200  # of waiting, for what does not compute
EXTRA_BYTES = 300 << 20  # beside the content, which is small in every input


@dataclass(frozen=True)
class Outcome:
    """What a command did with an input.

    Attributes:
        kind: Kind of the input.
        seed: Its seed.
        arguments: The command.
        faults: What it must not have done; empty if all is well.
        code: Its exit code.
        said: Its stderr.
    """

    kind: str
    seed: str
    arguments: list[str]
    faults: list[str]
    code: int
    said: str


def kinds(count: int) -> Iterator[str]:
    """Kinds of inputs in turn, some of them oftener."""
    turn = [kind for kind in KINDS for _ in range(SHARES.get(kind, 1))]
    for k in range(count):
        yield turn[k * 7 % len(turn)]


def prepare(base: Path) -> None:
    """Make what inputs are made of: a finished run; and compile what a run needs."""
    import crossmesh.cluster.commands  # noqa: F401  so that every child has it
    from crossmesh.emulator.training.training import train

    train(small_config(training={"epochs": 2}), base / "finished")


def tried(kind: str, seed: str, base: Path) -> Outcome:
    """Make an input and run the command on it."""
    rng, folder = Random(f"{kind} {seed}"), base / "case"
    folder.mkdir()
    arguments = KINDS[kind](rng, folder)
    beside = {path.name for path in base.iterdir()}
    (folder / "tmp").mkdir()
    pid = os.fork()
    if pid == 0:
        _child(arguments, folder)
    code, usage, took = _waited(pid)
    said = (folder / "tmp" / "stderr").read_text("utf-8", "replace")
    faults = list(_faults(code, said))
    peak = _peak(folder)
    if peak > EXTRA_BYTES:
        faults.append(f"took {peak >> 20} MiB")
    if usage >= CPU_S or took >= WALL_S:
        faults.append(f"did not end in {usage:.0f} s of computing, {took:.0f} s of waiting")
    if new := {path.name for path in base.iterdir()} - beside:
        faults.append(f"wrote {sorted(new)} beside its folder")
    if list((folder / "tmp").glob("crossmesh-*")):
        faults.append("left a report of an internal error")
    shutil.rmtree(folder)
    return Outcome(kind, seed, arguments, faults, code, said[-2000:])


def _child(arguments: list[str], folder: Path) -> None:
    """Become the command; never returns."""
    code = 99
    try:
        os.setsid()
        os.chdir(folder)
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S + 2))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME"):
            os.environ[name] = str(folder / "tmp")
        os.environ["CROSSMESH_DATA"] = str(folder / "tmp")
        import tempfile

        tempfile.tempdir = None
        for number, name in ((0, "/dev/null"), (1, "tmp/stdout"), (2, "tmp/stderr")):
            os.dup2(os.open(name, os.O_RDWR | os.O_CREAT, 0o600), number)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w", errors="backslashreplace")
        Path("/proc/self/clear_refs").write_text("5")
        before = _high_water()
        sys.argv = ["crossmesh", *arguments]
        from crossmesh.cluster.commands import run

        try:
            code = run()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        Path("tmp/peak").write_text(str(_high_water() - before))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _high_water() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:"))


def _peak(folder: Path) -> int:
    try:
        return int((folder / "tmp" / "peak").read_text())
    except OSError:
        return 0


def _waited(pid: int) -> tuple[int, float, float]:
    """Exit code, seconds of computing and of waiting; ends a process that waits for ever."""
    start = time.monotonic()
    while True:
        done, status, usage = os.wait4(pid, os.WNOHANG)
        took = time.monotonic() - start
        if done:
            computed = usage.ru_utime + usage.ru_stime
            return os.waitstatus_to_exitcode(status), computed, took
        if took > WALL_S:
            os.killpg(pid, signal.SIGKILL)
        time.sleep(0.002)


def _faults(code: int, said: str) -> Iterator[str]:
    lines = [line for line in said.splitlines() if line.strip()]
    if code not in {0, 1, 2}:
        yield f"exit code {code}"
    if "please report" in said:
        yield "an internal error"
    if "Traceback" in said:
        yield "a stack trace"
    errors = [line for line in lines if line.startswith("error: ")]
    if code in {1, 2} and (len(errors) != 1 or not lines[-1].startswith("error: ")):
        yield f"{len(errors)} lines of errors"
    if any(len(line) > 4000 for line in lines):
        yield "a line without end"
