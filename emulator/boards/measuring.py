"""Pulse responses and retention of cells of a board, a request for each pulse of a word line."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from crossmesh.emulator.boards.sampling import LineCells
from crossmesh.tiles.boards.access import BoardRestarted
from crossmesh.tiles.boards.client import BoardClient
from crossmesh.tiles.boards.hardware import Array

Watch = Callable[[int], None]  # is told how many requests are done, whenever some are
_READS = 8  # of a word line without pulses between them, which tell the noise of reading
_SIGMAS = 3.0  # of that noise, within which readings of a cell that does not move stay
_TIMES = 12  # of a table of retention; of 3, no criterion tells a loss from none
_RESTARTS = 3  # of a board within one word line, before it is given up


class Train(NamedTuple):
    """What cells are pulsed with.

    Attributes:
        pulses: Up pulses of a cycle, and down pulses.
        cycles: How often both.
        volts: Amplitude; 0: the board's own.
        width_s: Width; 0: the board's own.
    """

    pulses: int
    cycles: int = 1
    volts: float = 0.0
    width_s: float = 0.0


class LineReadings(NamedTuple):
    """Readings of the cells of a word line, in siemens.

    Attributes:
        cells: The cells.
        up: ``(cells, cycles, pulses)`` after each up pulse.
        down: ``(cells, cycles, pulses)`` after each down pulse.
        noise: Standard deviation of readings without pulses between them, over all cells.
    """

    cells: LineCells
    up: Array
    down: Array
    noise: float

    def are_still(self) -> NDArray[np.bool_]:
        """``(cells,)`` whether readings differ by no more than noise of reading."""
        whole = np.concatenate([self.up, self.down], axis=1).reshape(len(self.up), -1)
        spread = whole.std(axis=1, dtype=np.float64)
        return np.asarray((np.ptp(whole, axis=1) == 0) | (spread <= _SIGMAS * self.noise))

    def travel(self) -> NDArray[np.bool_]:
        """``(cells,)`` whether up pulses raise and down pulses lower a cell, on average."""
        return _rises(self.up) & _rises(-self.down)

    def of(self, which: NDArray[np.bool_]) -> "LineReadings":
        """Those of some cells."""
        cells = LineCells(self.cells.row, self.cells.cols[which])
        return LineReadings(cells, self.up[which], self.down[which], self.noise)


def requests(sample: Sequence[LineCells], train: Train) -> int:
    """How many requests ``pulsed`` sends."""
    return len(sample) * (1 + _READS + 2 * train.cycles * train.pulses)


def pulsed(
    board: BoardClient, sample: Sequence[LineCells], train: Train, watch: Watch = lambda done: None
) -> Iterator[LineReadings]:
    """Bring cells to their lower end, then pulse them up and down; a word line at a time.

    A word line during which the board starts anew begins again.

    Args:
        board: The board.
        sample: Cells of each word line.
        train: What they are pulsed with.
        watch: Is told how many requests are done.
    """
    each = requests(sample[:1], train)
    for k, cells in enumerate(sample):
        for trial in range(_RESTARTS + 1):
            try:
                yield _line(board, cells, train, _after(watch, k * each))
                break
            except BoardRestarted:
                if trial == _RESTARTS:
                    raise


def filled(times_s: Sequence[float]) -> tuple[float, ...]:
    """Times with others between the first and the last, at even ratios.

    >>> len(filled((1.0, 10.0, 60.0)))
    13
    """
    between = np.geomspace(times_s[0], times_s[-1], _TIMES)[1:-1]
    return tuple(sorted({*times_s, *map(float, between)}))


def kept(
    board: BoardClient, sample: Sequence[LineCells], train: Train, times_s: Sequence[float]
) -> Iterator[tuple[LineCells, float, Array]]:
    """Bring cells to their upper end, and read them some times afterwards.

    Args:
        board: The board.
        sample: Cells of each word line.
        train: Of which as many up pulses as a cycle has bring cells to their upper end.
        times_s: Seconds after the last pulse of a word line, rising.

    Yields:
        Cells of a word line, seconds since their last pulse, ``(cells,)`` conductances in siemens.
    """
    ends = []
    for cells in sample:
        _pulse(board, cells, train, train.pulses)
        ends.append(time.monotonic())
    for after_s in times_s:
        for cells, end in zip(sample, ends, strict=True):
            time.sleep(max(0.0, end + after_s - time.monotonic()))
            siemens = board.read(np.array([cells.row], np.uint16), cells.cols).reshape(-1)
            yield cells, time.monotonic() - end, siemens


def _line(board: BoardClient, cells: LineCells, train: Train, watch: Watch) -> LineReadings:
    shape = len(cells.cols), train.cycles, train.pulses
    ways = {1: np.zeros(shape, np.float32), -1: np.zeros(shape, np.float32)}
    _pulse(board, cells, train, -train.pulses)
    row = np.array([cells.row], np.uint16)
    still = np.array([board.read(row, cells.cols).reshape(-1) for _ in range(_READS)])
    watch(done := 1 + _READS)
    for cycle in range(train.cycles):
        for way, readings in ways.items():
            for pulse in range(train.pulses):
                readings[:, cycle, pulse] = _pulse(board, cells, train, way)
                watch(done := done + 1)
    noise = float(np.sqrt(still.var(axis=0, ddof=1, dtype=np.float64).mean()))
    return LineReadings(cells, ways[1], ways[-1], noise)


def _pulse(board: BoardClient, cells: LineCells, train: Train, count: int) -> Array:
    """``(cells,)`` conductances after so many pulses, down if below 0."""
    counts = np.full(len(cells.cols), count, np.int16)
    read = np.array([cells.row], np.uint16), cells.cols
    found = board.pulse(cells.rows, cells.cols, counts, train.volts, train.width_s, read)
    return found.reshape(-1)


def _after(watch: Watch, before: int) -> Watch:
    return lambda done: watch(before + done)


def _rises(readings: Array) -> NDArray[np.bool_]:
    """``(cells,)`` whether the last third of readings lies above the first, over all cycles."""
    few = max(1, readings.shape[2] // 3)
    first, last = (part.mean(axis=(1, 2)) for part in (readings[..., :few], readings[..., -few:]))
    return np.asarray(last > first)
