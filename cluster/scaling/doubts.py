"""What makes a measurement doubtful: a busy machine, one round, an efficiency above 100 %."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

from crossmesh.cluster.scaling.measured import Measured

_SAMPLE_S = 0.3
_BUSY = 0.15  # share of the processors that others may take
_MOST = 1.03  # of an efficiency, beyond which it is no rounding
_WORK = (1, 2, 3, 6, 7, 8)  # columns of /proc/stat: user, nice, system, irq, softirq, steal
_TIMES = slice(1, 9)


def busy_processors() -> float:
    """Processors of this machine that are busy just now, for whatever process; 0 if unknown."""
    before = _times()
    time.sleep(_SAMPLE_S)
    busy = 0.0
    for cpu, (work, total) in _times().items():
        was, until = before.get(cpu, (0, 0))
        busy += (work - was) / max(1, total - until)
    return busy


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
