"""Single lines of an array: read, and written along values."""

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.random import Purpose
from crossmesh.tiles.analog.algorithms.accumulating import count_coincidences
from crossmesh.tiles.analog.algorithms.lines import Due, Lines
from crossmesh.tiles.analog.array import Array
from crossmesh.tiles.analog.cells import Crossbar
from crossmesh.tiles.analog.pulser import Pulser, Site, Trains
from crossmesh.tiles.analog.read import Cells, ReadConfig, Reader


class LineReader:
    """Reads single lines of an array, each driven at full scale.

    Args:
        config: The periphery; neither kind of management applies to a single line.
        array: The array.
        site: Its random numbers.
        of_outputs: Whether lines are bit lines.
    """

    def __init__(
        self, config: ReadConfig, array: Crossbar, site: Site, *, of_outputs: bool
    ) -> None:
        unmanaged = {"noise_management": "none", "bound_management": "none"}
        self._reader = Reader(config.model_copy(update=unmanaged), forward=False)
        self._array = array
        self._of_outputs = of_outputs
        keys = [site.stream.key(Purpose.TRANSFER_READ, part) for part in range(2)]
        self._keys = np.stack(keys)
        self._one = np.ones((1, 1), np.float32)

    def read(self, turn: Due) -> Array:
        """The weights of a line, as they are read."""
        weights, variance = self._array.weights, self._array.variance
        cells = Cells(
            self._line(weights, turn), None if variance is None else self._line(variance, turn)
        )
        line: Array = self._reader.product(self._one, cells, turn.number, self._keys)[0]
        return line

    def _line(self, values: Array, turn: Due) -> Array:
        line = values[:, turn.line] if self._of_outputs else values[turn.line]
        return np.ascontiguousarray(line).reshape(1, -1)


class LineWriter:
    """Writes single lines of an array, along values.

    Args:
        array: The array.
        granularity: Change of a weight by one of its pulses.
        site: Its shape and random numbers, and the trains of writes.
        of_outputs: Whether lines are bit lines.
    """

    def __init__(
        self, array: Crossbar, granularity: float, site: Site, *, of_outputs: bool
    ) -> None:
        self._array = array
        self._shape = site.shape
        self._of_outputs = of_outputs
        self._pulser = Pulser(site, granularity)
        self._counts = np.zeros(site.shape[not of_outputs], np.int16)

    def by_trains(self, turn: Due, values: Array, rate: float) -> None:
        """Add ``rate * values``, by trains in which the line alone is driven."""
        one = np.zeros((1, self._shape[self._of_outputs]), np.float32)
        one[0, turn.line] = 1
        x, d = (values[np.newaxis], one) if self._of_outputs else (one, values[np.newaxis])
        for pulses in self._pulser.draw(x, d, rate, turn.number):
            if isinstance(pulses, Trains):
                sides = pulses.rows[0], pulses.columns[0]
                line, others = sides[::-1] if self._of_outputs else sides
                driven = line[turn.line : turn.line + 1]
                count_coincidences(driven, others[np.newaxis], self._counts[np.newaxis])
                self.by_counts(turn, self._counts)
            else:
                every = pulses.counts.T if self._of_outputs else pulses.counts
                self.by_counts(turn, every[turn.line])

    def by_counts(self, turn: Due, counts: NDArray[np.int16]) -> None:
        """Add so many pulses of each device."""
        if self._of_outputs:
            every = np.zeros(self._shape, np.int16)
            every[:, turn.line] = counts
            self._array.pulse_counts(every, slice(0, self._shape[0]), turn.number)
        else:
            line = slice(turn.line, turn.line + 1)
            self._array.pulse_counts(counts[np.newaxis], line, turn.number)


class LinesWriter:
    """Writes several lines of an array at once, by trains in which one after the other is driven.

    Args:
        array: The array.
        granularity: Change of a weight by one of its pulses.
        site: Its shape and random numbers, and the trains of writes.
        lines: The turns of its lines.
        of_outputs: Whether lines are bit lines.
    """

    def __init__(
        self, array: Crossbar, granularity: float, site: Site, lines: Lines, *, of_outputs: bool
    ) -> None:
        self._array = array
        self._lines = lines
        self._of_outputs = of_outputs
        across = site.shape[not of_outputs]
        one_line = (across, 1) if of_outputs else (1, across)
        self._pulser = Pulser(site._replace(shape=one_line), granularity)
        self._written = np.zeros((site.shape[of_outputs], across), np.int16)

    def by_trains(self, turn: int, counts: NDArray[np.int16], rate: float) -> None:
        """Add ``rate * counts``.

        Args:
            turn: Number of the first turn of all lines that are due.
            counts: ``(rows, cols)``, 0 where no line is due.
            rate: Change of a weight per count.
        """
        wanted = counts.T if self._of_outputs else counts
        for start, stop, number in self._lines.runs(turn):
            values = np.ascontiguousarray(wanted[start:stop], np.float32)
            self._draw(values, rate, number, self._written[start:stop])
        written = self._written.T if self._of_outputs else self._written
        everywhere = slice(0, len(counts))
        self._array.pulse_counts(np.ascontiguousarray(written), everywhere, turn)

    def _draw(self, values: Array, rate: float, number: int, written: NDArray[np.int16]) -> None:
        """Pulses of consecutive lines, ``(n, across)``, from values of the same shape."""
        one = np.ones((len(values), 1), np.float32)
        x, d = (values, one) if self._of_outputs else (one, values)
        for e, pulses in enumerate(self._pulser.draw(x, d, rate, number)):
            if isinstance(pulses, Trains):
                sides = pulses.rows, pulses.columns
                others, line = sides if self._of_outputs else sides[::-1]
                count_coincidences(line[:, 0].copy(), others, written)
            else:
                written[e] = pulses.counts.ravel()


def let_pass(array: Crossbar, shape: tuple[int, int], first: int, n: int) -> None:
    """Let the time of ``n`` vectors from number ``first`` on pass for an array without updates."""
    if array.ages:
        nothing = [np.zeros((n, lines), np.float32) for lines in shape]
        array.update(nothing[0], nothing[1], 0.0, first)
