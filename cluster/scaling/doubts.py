"""What makes a measurement doubtful: a busy machine, one round, an efficiency above 100 %."""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from crossmesh.cluster.scaling.measured import Measured
from crossmesh.common.supervision import processes

_SAMPLE_S = 0.5
_BUSY = 0.15  # share of the processors that others may take
_MOST = 1.03  # of an efficiency, beyond which it is no rounding
_WORK = (1, 2, 3, 6, 7, 8)  # columns of /proc/stat: user, nice, system, irq, softirq, steal
_TIMES = slice(1, 9)
_SPENT = slice(11, 15)  # of /proc/PID/stat behind the name: user, system, and those of children


def others_busy() -> float:
    """Processors of this machine that are busy just now for processes not ours; 0 if unknown."""
    before, ours = _times(), _our_ticks()
    time.sleep(_SAMPLE_S)
    after = _times()
    elapsed = sum(after[cpu][1] - before[cpu][1] for cpu in after) / max(1, len(after))
    busy = sum(after[cpu][0] - before[cpu][0] for cpu in after)
    mine = max(0, _our_ticks() - ours)  # less where one of ours has ended and its ticks are gone
    return max(0.0, (busy - mine) / max(1.0, elapsed))


def _times() -> dict[int, tuple[int, int]]:
    """Ticks of work and of everything, of each processor that this process may use."""
    try:
        lines = Path("/proc/stat").read_text(encoding="ascii").splitlines()
    except OSError:  # no Linux
        return {}
    allowed, found = os.sched_getaffinity(0), {}
    for name, *ticks in map(str.split, lines):
        if name.startswith("cpu") and name[3:].isdigit() and int(name[3:]) in allowed:
            row = [0, *map(int, ticks)]
            found[int(name[3:])] = (sum(row[column] for column in _WORK), sum(row[_TIMES]))
    return found


def _our_ticks() -> int:
    """Ticks of work of this process and of those below it, of which some may have ended."""
    total = 0
    for pid in (os.getpid(), *processes.descendants()):
        with contextlib.suppress(OSError):  # gone meanwhile
            fields = Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(") ")[2]
            total += sum(map(int, fields.split()[_SPENT]))
    return total


def doubts(measured: Measured) -> Iterator[str]:
    """Reasons not to trust a measurement, nor what is projected from it, in sentences."""
    mine = len(os.sched_getaffinity(0))
    most = max(turn.others_busy for turn in measured.turns)
    if most > _BUSY * mine:
        yield (
            f"this machine was busy: other processes kept up to {most:.1f} of its {mine} "
            f"processors at work before turns (load average {os.getloadavg()[0]:.1f})"
        )
    for contestant in measured.contestants:
        efficiency = measured.efficiency(contestant).median if contestant.kind == "ray" else 0
        if efficiency > _MOST:
            yield (
                f"the efficiency of {contestant.name} is {100 * efficiency:.0f} %: more than 100 % "
                "is not what actors add; something else differed between turns"
            )
    if measured.plan.repeats == 1:
        yield "one round is all there was: nothing says how far figures scatter (--repeats)"
