"""The time that is left of a phase, by the pace at which examples are trained."""

from collections import deque
from statistics import median

LEAST_S = 2.0  # of a measurement of the pace
FEWEST, MOST = 3, 15  # measurements that an estimate is made of


class TimeLeft:
    """Estimates the time that is left, once the pace is known.

    The median of the last measurements counts, so that neither kernels that are compiled, before
    the first report or between two, nor examples that a resumed run has trained before are in it.

    Args:
        total: Examples of the phase.
        now_s: When it begins, in seconds of any clock.
    """

    def __init__(self, total: int, now_s: float) -> None:
        self._total = total
        self._paces: deque[float] = deque(maxlen=MOST)  # seconds per example
        self._at: tuple[int, float] | None = None
        self._seconds: float | None = None
        self._now_s = now_s

    def report(self, examples: int, now_s: float) -> None:
        """So many examples are done now."""
        self._now_s = now_s
        if self._at is None:
            self._at = (examples, now_s) if examples else None
            return
        before, since = self._at
        if examples > before and now_s >= since + LEAST_S:
            self._paces.append((now_s - since) / (examples - before))
            self._at = (examples, now_s)
        if len(self._paces) >= FEWEST:
            self._seconds = median(self._paces) * max(0, self._total - examples)

    def at(self, now_s: float) -> float | None:
        """Seconds left at that time; None: not known yet."""
        return None if self._seconds is None else max(0.0, self._seconds - (now_s - self._now_s))
