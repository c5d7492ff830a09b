"""Buffers between the arrays of a chain: numbers beside a tile that add up what is read."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from crossmesh.common.random import Purpose
from crossmesh.tiles.analog.algorithms.accumulating import accumulate
from crossmesh.tiles.analog.algorithms.chain import ChainCell
from crossmesh.tiles.analog.algorithms.lines import Due
from crossmesh.tiles.analog.algorithms.tiki_taka import AddingLink
from crossmesh.tiles.analog.array import Array, State
from crossmesh.tiles.analog.cells import Crossbar
from crossmesh.tiles.analog.pulser import Site


class BufferedLink(AddingLink):
    """A buffer between two arrays: numbers of the next array's pulses, for every weight."""

    def __init__(
        self, algorithm: Any, k: int, cell: ChainCell, arrays: Sequence[Crossbar], site: Site
    ) -> None:
        super().__init__(algorithm, k, cell, arrays, site)
        self._settings = algorithm
        self._of_outputs = algorithm.line == "bit"
        self.buffer = np.zeros(site.shape, np.float32)
        self._counts = np.zeros(site.shape[not self._of_outputs], np.int16)
        self._step = cell.cells[k + 1].granularity
        self._threshold = algorithm.threshold(k, cell, self.lines)
        visible, seen = cell.factors[k], cell.factors[k + 1]
        self._share = visible / seen if visible else 1.0

    def move(self, turn: Due, rate: float, fast_rate: float) -> None:
        """Add the line to the buffer, and write what makes whole pulses."""
        self._take(turn, self._reader.read(turn), self._scale(rate, fast_rate))

    def _scale(self, rate: float, fast_rate: float) -> float:
        """Pulses per unit of what is read."""
        del fast_rate
        return self._rate(rate) * self._share / self._threshold

    def _take(
        self, turn: Due, values: Array, scale: float, *, cap: float = 0.0, write: bool = True
    ) -> None:
        settings = self._settings
        line = self._line(self.buffer, turn)
        counts = self._counts
        any_pulses = accumulate(
            line, values, scale, settings.longest, settings.forget, settings.momentum, cap, counts
        )
        if any_pulses and write:
            if settings.write is None:
                self._writer.by_counts(turn, counts)
            else:
                self._writer.by_trains(turn, counts.astype(np.float32), self._step)

    def _line(self, values: Array, turn: Due) -> Array:
        """A view of a line."""
        return values[:, turn.line] if self._of_outputs else values[turn.line]

    def reset(self) -> None:
        """Empty the buffer."""
        self.buffer[:] = 0

    def state(self) -> State:
        """The buffer."""
        return {"buffer": self.buffer}


class ChoppedLink(BufferedLink):
    """A buffer whose lines change their sign now and then."""

    def __init__(
        self, algorithm: Any, k: int, cell: ChainCell, arrays: Sequence[Crossbar], site: Site
    ) -> None:
        super().__init__(algorithm, k, cell, arrays, site)
        self._chopping = algorithm
        self._stream = site.stream
        self.choppers = np.ones(self.lines.own, np.float32)
        self.signs = self.choppers

    def move(self, turn: Due, rate: float, fast_rate: float) -> None:
        """Add the line with its sign, write what makes whole pulses, and perhaps change the sign.

        The sign changes after the write, so that the next updates have the new one.
        """
        scale = self._scale(rate, fast_rate) * float(self.choppers[turn.line])
        self._take(turn, self._reader.read(turn), scale)
        if self._changes(turn):
            self.choppers[turn.line] *= -1

    def _scale(self, rate: float, fast_rate: float) -> float:
        scale = super()._scale(rate, fast_rate)
        follows = self._chopping.follows_fast_rate and fast_rate
        return scale / fast_rate if follows else scale

    def _changes(self, turn: Due) -> bool:
        chopping = self._chopping
        if not chopping.chop_at_random:
            return (turn.passes + 1) % chopping.period == 0
        first = (turn.passes & 0x7FFFFFFF, turn.line)
        drawn = self._stream.uniform(Purpose.CHOPPER, (1, 1), first=first)
        return bool(drawn[0, 0] < chopping.chop)

    def reset(self) -> None:
        """Empty the buffer; all signs are positive."""
        super().reset()
        self.choppers[:] = 1

    def state(self) -> State:
        """The buffer and the signs."""
        return {**super().state(), "choppers": self.choppers}


class FollowingLink(ChoppedLink):
    """A buffer with choppers that adds what a line has changed since its sign did."""

    def __init__(
        self, algorithm: Any, k: int, cell: ChainCell, arrays: Sequence[Crossbar], site: Site
    ) -> None:
        super().__init__(algorithm, k, cell, arrays, site)
        self._tail = np.float32(min(algorithm.tail / algorithm.period, 1))
        self._cap = algorithm.longest * algorithm.buffer_cap
        self.mean = np.zeros(site.shape, np.float32)
        self.past = np.zeros(site.shape, np.float32)
        self.changed = np.zeros(self.lines.own, np.int64)

    def move(self, turn: Due, rate: float, fast_rate: float) -> None:
        """Add the line less its reference; a sign that changes makes its mean the reference."""
        values = self._reader.read(turn)
        mean, past = self._line(self.mean, turn), self._line(self.past, turn)
        if self.changed[turn.line]:
            past[:] = mean
            self.changed[turn.line] = 0
        scale = self._scale(rate, fast_rate) * float(self.choppers[turn.line])
        is_known = turn.passes >= self._chopping.passes_before_writes
        self._take(turn, values - past, scale, cap=self._cap, write=is_known)
        mean *= np.float32(1) - self._tail
        mean += self._tail * values
        if self._changes(turn):
            self.choppers[turn.line] *= -1
            self.changed[turn.line] = 1

    def reset(self) -> None:
        """Forget the references as well."""
        super().reset()
        for array in (self.mean, self.past, self.changed):
            array[:] = 0

    def state(self) -> State:
        """The buffer, the signs, and the references."""
        state: dict[str, Any] = {"mean": self.mean, "past": self.past, "changed": self.changed}
        return {**super().state(), **state}
