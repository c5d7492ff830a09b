"""When a cell leaks, drifts and is transferred: pure functions of the number of examples seen."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEAK_EVERY = 32  # examples; 7.7 us of a time constant of milliseconds
DRIFT_EVERY = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Clock:
    """Counts in examples; a count of n means that n examples have been applied.

    Attributes:
        rows: Word lines.
        every: Examples between two transfers of a word line; 0: no transfers.
        examples_per_row: Examples between the transfers of two word lines; 0: all at once.
    """

    rows: int
    every: int
    examples_per_row: int

    def due(self, count: int) -> slice | None:
        """Word lines that are transferred when ``count`` examples have been applied.

        >>> clock = Clock(rows=3, every=10, examples_per_row=2)
        >>> [(n, clock.due(n).start) for n in range(1, 20) if clock.due(n)]
        [(10, 0), (12, 1), (14, 2)]
        """
        if not self.every or count < self.every:
            return None
        since = count % self.every
        if not self.examples_per_row:
            return slice(0, self.rows) if since == 0 else None
        row, between = divmod(since, self.examples_per_row)
        return slice(row, row + 1) if between == 0 and row < self.rows else None

    def transfers(self, count: int) -> NDArray[np.int64]:
        """``(rows,)`` transfers of each word line so far."""
        if not self.every:
            return np.zeros(self.rows, np.int64)
        return np.maximum(count - self._delays, 0) // self.every

    def written(self, count: int) -> NDArray[np.int64]:
        """``(rows,)`` count at which each word line was last written; 0: at the beginning."""
        transfers = self.transfers(count)
        return np.where(transfers > 0, transfers * self.every + self._delays, 0)

    @property
    def _delays(self) -> NDArray[np.int64]:
        return np.arange(self.rows, dtype=np.int64) * self.examples_per_row

    def pieces(self, first: int, n: int) -> Iterator[tuple[int, int]]:
        """Cut ``n`` examples from number ``first`` on after those at whose end something is due."""
        start = 0
        for stop in range(1, n + 1):
            count = first + stop
            if stop == n or count % LEAK_EVERY == 0 or count % DRIFT_EVERY == 0 or self.due(count):
                yield start, stop
                start = stop
