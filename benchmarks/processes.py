"""A command watched from outside: what its processes hold in memory, and when it says what."""

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from threading import Thread

from crossmesh.common.free_memory import free_bytes

MARK = "CROSSMESH_BENCH"  # in the environment of a run's processes, those of Ray too
POLL_S = 0.2
LEAST_FREE_BYTES = 1_500_000_000  # with less, a command is ended before the machine is in trouble


@dataclass(kw_only=True)
class Watched:
    """What was seen of a command.

    Attributes:
        lines: What it wrote to its standard error, each with seconds since its start.
        bytes_held: Of all its processes together, each with seconds since its start.
        end_s: Seconds until its end.
    """

    lines: list[tuple[float, str]] = field(default_factory=list)
    bytes_held: list[tuple[float, int]] = field(default_factory=list)
    end_s: float = 0.0

    def said_s(self, beginning: str) -> float:
        """When it wrote the first line that begins so."""
        return next(seconds for seconds, line in self.lines if line.startswith(beginning))

    def peak(self, from_s: float = 0.0, to_s: float = float("inf")) -> int:
        """Most bytes held at once, within some time."""
        return max((held for at, held in self.bytes_held if from_s <= at <= to_s), default=0)


def watched(command: Sequence[str]) -> Watched:
    """Run a command to its end.

    Raises:
        RuntimeError: If it fails, or takes all memory of the machine.
    """
    mark, seen = token_hex(8), Watched()
    started = time.monotonic()
    with subprocess.Popen(
        command, env={**os.environ, MARK: mark}, text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    ) as run:  # fmt: skip
        assert run.stderr is not None
        reader = Thread(
            target=lambda stream: seen.lines.extend(
                (time.monotonic() - started, line.rstrip()) for line in stream
            ),
            args=(run.stderr,),
        )
        reader.start()
        while run.poll() is None:
            family = _family(mark)
            held = sum(map(_resident, family))
            seen.bytes_held.append((time.monotonic() - started, held))
            if (free_bytes() or 0) < LEAST_FREE_BYTES:
                for pid in family:
                    with suppress(OSError):
                        os.kill(pid, signal.SIGKILL)
                raise RuntimeError(f"{' '.join(command)} took all memory ({held / 1e9:.1f} GB)")
            time.sleep(POLL_S)
        reader.join()
    seen.end_s = time.monotonic() - started
    if run.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed: {seen.lines[-1:]}")
    return seen


def _family(mark: str) -> set[int]:
    """Processes of a run: those that inherited its mark, and their children.

    A process that changes its title may write over its environment, so neither alone is enough.
    """
    parents: dict[int, int] = {}
    family: set[int] = set()
    word = f"{MARK}={mark}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended, or is another user's
            pid = int(folder.name)
            parents[pid] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if word in (folder / "environ").read_bytes():
                family.add(pid)
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    return family


def _resident(pid: int) -> int:
    """Bytes of a process in memory; what several share, in parts."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return 1024 * int(line.split()[1])
    return 0
