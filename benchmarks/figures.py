"""Figures and how they are taken: contestants in turns, so that a slow spell meets all alike."""

import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

Seconds = dict[str, list[float]]  # of each contestant, by round


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One line of the table.

    Attributes:
        suite: Part of the benchmark that it belongs to.
        name: What was measured.
        value: Median over the rounds.
        low: Smallest of the rounds.
        high: Largest of the rounds.
        unit: ``ratio``, ``examples/s``, ``s`` or ``us``.
        rounds: How many rounds.
        aim: What we want, or None.
        better: Which side of the aim is good.
        remark: What a reader should know.
    """

    suite: str
    name: str
    value: float
    low: float
    high: float
    unit: str
    rounds: int
    aim: float | None = None
    better: Literal["low", "high"] = "low"
    remark: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether the aim is reached; None where there is none."""
        if self.aim is None:
            return None
        return self.value <= self.aim if self.better == "low" else self.value >= self.aim


def take_turns(
    contestants: Mapping[str, Callable[[], object]],
    rounds: int,
    before: Callable[[], object] = lambda: None,
) -> Seconds:
    """Wall seconds of every contestant in each round, after one round that does not count.

    Args:
        contestants: What each does in a turn.
        rounds: How many rounds count.
        before: Called before each turn, off the clock.
    """
    seconds: Seconds = {name: [] for name in contestants}
    for contestant in contestants.values():
        contestant()
    for _ in range(rounds):
        for name, contestant in contestants.items():
            before()
            started = time.perf_counter()
            contestant()
            seconds[name].append(time.perf_counter() - started)
    return seconds


def ratios(seconds: Seconds, of: str, to: str) -> list[float]:
    """Round by round, the time of one contestant over that of another."""
    return [a / b for a, b in zip(seconds[of], seconds[to], strict=True)]


def figure(suite: str, name: str, values: Iterable[float], unit: str, **more: object) -> Figure:
    """The median of ``values`` as a figure."""
    values = list(values)
    return Figure(
        suite=suite,
        name=name,
        value=statistics.median(values),
        low=min(values),
        high=max(values),
        unit=unit,
        rounds=len(values),
        **more,  # type: ignore[arg-type]  # the fields of Figure
    )
