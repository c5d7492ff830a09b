"""The pulse generators of a tile, and the trains that they make."""

import itertools
import threading
from collections.abc import Iterator
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.random import CHUNK, Purpose, Stream
from crossmesh.tiles.analog.counted import pulses_of
from crossmesh.tiles.analog.on_board import TileBoard
from crossmesh.tiles.analog.read import ReadConfig
from crossmesh.tiles.analog.readout import driven
from crossmesh.tiles.analog.update import TrainSettings, UpdateConfig, make_counts, make_trains

Array = NDArray[np.float32]
_SIGN = np.uint32(0x80000000)


class Site(NamedTuple):
    """Everything a crossbar needs besides its unit cell.

    Attributes:
        shape: Rows and columns.
        stream: Random numbers of the tile.
        update: Settings of the update cycle.
        example_s: Emulated seconds from one vector to the next.
        read: Periphery of the tile.
        scale: Weight of the network per unit of normalised conductance.
        vectors: Vectors of an example that the tile is driven with.
        first: First word line and bit line of the tile in its layer's matrix.
        whole: Word lines and bit lines of that matrix; 0: those of the tile.
        board: Where some of its devices really are, or None: all are emulated.
    """

    shape: tuple[int, int]
    stream: Stream
    update: UpdateConfig
    example_s: float
    read: ReadConfig = ReadConfig()
    scale: float = 1.0
    vectors: int = 1
    first: tuple[int, int] = (0, 0)
    whole: tuple[int, int] = (0, 0)
    board: TileBoard | None = None


class Trains(NamedTuple):
    """Pulse trains of consecutive examples.

    Attributes:
        rows: ``(examples, rows)`` words, as ``tiles/analog/update.py`` defines them.
        columns: ``(examples, cols padded to CHUNK)`` words.
        first_example: Number of the first example, which keys the noise.
    """

    rows: NDArray[np.uint32]
    columns: NDArray[np.uint32]
    first_example: int

    def reversed(self) -> Self:
        """The same pulses with up and down exchanged."""
        return self.turned(np.ones(self.rows.shape[1], np.bool_))

    def turned(self, lines: NDArray[np.bool_]) -> Self:
        """The same pulses with up and down exchanged on some word lines, ``(rows,)``."""
        return self._replace(rows=np.where(lines & (self.rows != 0), self.rows ^ _SIGN, self.rows))

    def pieces(self, every: int) -> Iterator[Self]:
        """The same pulses, each piece up to the next multiple of ``every`` examples."""
        n, first = len(self.rows), self.first_example
        stops = [*range(every - first % every, n, every), n]
        for start, stop in itertools.pairwise([0, *stops]):
            yield self._replace(
                rows=self.rows[start:stop],
                columns=self.columns[start:stop],
                first_example=first + start,
            )

    @property
    def driven(self) -> NDArray[np.bool_]:
        """``(rows,)`` word lines that have a pulse in any example."""
        return driven(self.rows)

    @property
    def last_example(self) -> int:
        """Number of the last example."""
        return self.first_example + len(self.rows) - 1

    def completes(self, every: int) -> bool:
        """Whether a multiple of ``every`` examples is completed by the last of these."""
        return (self.last_example + 1) % every == 0 and len(self.rows) > 0


class Counts(NamedTuple):
    """Pulses of one example, a number for each device, at consecutive word lines.

    Attributes:
        counts: ``(n, cols)`` pulses, int16: above 0 up, below 0 down.
        first_row: The first of the n word lines.
        n_rows: All word lines of the crossbar.
        first_example: Number of the example, which keys the noise.
    """

    counts: NDArray[np.int16]
    first_row: int
    n_rows: int
    first_example: int

    def reversed(self) -> Self:
        """The same pulses with up and down exchanged."""
        return self._replace(counts=-self.counts)

    def pieces(self, every: int) -> Iterator[Self]:
        """One piece."""
        yield self

    def turned(self, lines: NDArray[np.bool_]) -> Self:
        """The same pulses with up and down exchanged on some word lines, ``(rows,)``."""
        own = lines[self.first_row : self.first_row + len(self.counts), np.newaxis]
        return self._replace(counts=np.where(own, -self.counts, self.counts))

    @property
    def driven(self) -> NDArray[np.bool_]:
        """``(rows,)`` word lines that have a pulse."""
        lines = np.zeros(self.n_rows, np.bool_)
        lines[self.first_row : self.first_row + len(self.counts)] = self.counts.any(axis=1)
        return lines

    @property
    def last_example(self) -> int:
        """Number of the example."""
        return self.first_example

    def completes(self, every: int) -> bool:
        """Whether a multiple of ``every`` examples is completed by this one."""
        return (self.first_example + 1) % every == 0


class _Words(threading.local):
    """Room for the trains of one call: tiles pulse one after the other, so a thread needs it once.

    Lines that a crossbar does not have stay zero, since crossbars of other widths write elsewhere.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[str, int], NDArray[np.uint32]] = {}

    def room(self, side: str, n: int, lines: int, words: int) -> NDArray[np.uint32]:
        """``(n, words)`` for so many lines of one side."""
        kept = self._kept.get((side, lines))
        if kept is None or len(kept) < n:
            kept = self._kept[side, lines] = np.zeros((n, words), np.uint32)
        return kept[:n]


_WORDS = _Words()


class Pulser:
    """The pulse generators of a tile.

    Args:
        site: Shape, random numbers and settings.
        granularity: Change of a weight per coincidence, which trains are scaled for.
    """

    def __init__(self, site: Site, granularity: float) -> None:
        update, stream = site.update, site.stream
        self.pulses = 0
        self._granularity = granularity
        self._shape = site.shape
        self._are_counted = update.trains == "counted"
        self._settings = TrainSettings.of(update)
        self._keys = np.stack([stream.key(Purpose.ROW_TRAIN), stream.key(Purpose.COLUMN_TRAIN)])

    def draw(
        self, x: Array, d: Array, rate: float, first_example: int
    ) -> Iterator[Trains | Counts]:
        """Pulses of some examples: all at once, or counted, one after the other."""
        if not self._are_counted:
            yield self._trains(x, d, rate, first_example)
            return
        for e in range(len(x)):
            counts = np.empty(self._shape, np.int16)
            self.pulses += make_counts(
                x[e], d[e], rate, self._granularity, *self._settings[1:], counts
            )
            yield Counts(counts, 0, len(counts), first_example + e)

    def counted(self, counts: NDArray[np.int16], rows: slice, example: int) -> Counts:
        """Pulses of one example whose numbers are given, at some word lines."""
        self.pulses += pulses_of(counts)
        return Counts(counts, rows.start or 0, self._shape[0], example)

    def _trains(self, x: Array, d: Array, rate: float, first_example: int) -> Trains:
        """Draw the trains of some examples; they hold until any tile's next call."""
        n, lines = x.shape
        rows = _WORDS.room("rows", n, lines, lines)
        lines = d.shape[1]
        columns = _WORDS.room("columns", n, lines, -(-lines // CHUNK) * CHUNK)
        self.pulses += make_trains(
            x, d, rate, self._granularity, *self._settings, first_example, self._keys, rows, columns
        )
        return Trains(rows, columns, first_example)
