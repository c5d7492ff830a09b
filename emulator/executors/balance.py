"""How evenly tile hosts are busy, and what other shares would save. Pure arithmetic, no clock."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from crossmesh.tiles.runtime.measure import HostReport

UNEVEN = 0.15  # more work than the mean, from which on other shares are looked for


@dataclass(frozen=True, kw_only=True)
class Busy:
    """How busy hosts were for a while.

    Attributes:
        run_s: Wall seconds within spans.
        busy_s: Of these, seconds of each host in anything but waiting.
    """

    run_s: float
    busy_s: tuple[float, ...]

    @property
    def excess(self) -> float:
        """By what part of the mean the busiest host exceeds it.

        >>> round(Busy(run_s=10, busy_s=(9, 3)).excess, 3)
        0.5
        """
        return excess(self.busy_s)

    def saved(self, busy_s: Sequence[float]) -> float:
        """Share of the time that is saved if hosts were busy for other seconds.

        A span takes what its busiest host takes, and a part of what the others do: nothing if they
        overlap, all if only one works at a time. That part is as it was measured.

        >>> pipeline = Busy(run_s=10, busy_s=(10, 2))
        >>> in_turns = Busy(run_s=12, busy_s=(10, 2))
        >>> pipeline.saved([6, 6]), in_turns.saved([6, 6])
        (0.4, 0.0)
        """
        most, all_s = max(self.busy_s), sum(self.busy_s)
        rest = min(1.0, max(0.0, self.run_s - most) / (all_s - most)) if all_s > most else 0.0
        after = max(busy_s) + rest * (sum(busy_s) - max(busy_s))
        before = most + rest * (all_s - most)
        return max(0.0, 1 - after / before) if before else 0.0


def excess(busy_s: Sequence[float]) -> float:
    """By what part of the mean the largest exceeds it."""
    mean = sum(busy_s) / len(busy_s)
    return max(busy_s) / mean - 1 if mean else 0.0


def load_between(before: Mapping[int, HostReport], after: Mapping[int, HostReport]) -> Busy:
    """How busy hosts were between two reports of each."""
    run_s, busy_s = [0.0], []
    for host, now in sorted(after.items()):
        then = before.get(host)
        run_s.append(now.run_s - (then.run_s if then else 0.0))
        waited_s = now.wait_s - (then.wait_s if then else 0.0)
        busy_s.append(max(0.0, run_s[-1] - waited_s))
    return Busy(run_s=max(run_s), busy_s=tuple(busy_s))


def work_of_tiles(
    seconds: Sequence[Mapping[int, float]], busy_s: Sequence[float], units: Sequence[int]
) -> list[int]:
    """Work of each tile in microseconds: its measured share of what its host was busy with.

    Args:
        seconds: Of each host, the seconds of each block that it holds.
        busy_s: Seconds that each host was busy, with its messages.
        units: The tile that each block is, or lies beside.

    >>> work_of_tiles([{0: 1.0, 1: 3.0}], [8.0], [0, 1])
    [2000000, 6000000]
    """
    work = [0.0] * (max(units) + 1)
    for blocks, busy in zip(seconds, busy_s, strict=True):
        scale = busy / measured if (measured := sum(blocks.values())) else 0.0
        for block, s in blocks.items():
            work[units[block]] += scale * s
    return [max(1, round(1e6 * s)) for s in work]


def by_host(work: Sequence[int], of_tile: Sequence[int]) -> list[float]:
    """Seconds of work of each host."""
    sums = [0.0] * (max(of_tile) + 1)
    for tile, host in enumerate(of_tile):
        sums[host] += work[tile] / 1e6
    return sums
