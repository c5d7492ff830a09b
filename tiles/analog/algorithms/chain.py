"""A weight on a chain of arrays: the first takes the updates, each hands on to the next.

``w = sum_k factor_k * w_k``. Lines of an array are read in turn and written to the next one; all
arrays of a block, and what lies between them, are in one tile, so nothing is sent.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np

from crossmesh.common.frozen import FrozenDict, Many
from crossmesh.common.random import Purpose
from crossmesh.tiles.analog.algorithms.lines import Lines, Turn, pieces
from crossmesh.tiles.analog.array import FLOAT_BYTES, Array, Factor, State
from crossmesh.tiles.analog.cells import Cell, Crossbar, UnitCell
from crossmesh.tiles.analog.costs import WORD_BITS, CellCosts, TransferCosts
from crossmesh.tiles.analog.pulser import Site
from crossmesh.tiles.analog.read import Cells, ReadConfig, Reader


class FastRate(NamedTuple):
    """With which rate the first array of a chain is pulsed.

    Attributes:
        rate: Weights per product, or of ``is_automatic`` the part of a whole train that the
            largest product of a vector gives.
        is_automatic: Whether it follows the largest inputs and errors, in running means.
        momentum: Weight of the past in these means.
        share: Part of the rate that trains are drawn for.
    """

    rate: float
    is_automatic: bool
    momentum: float
    share: float


class Link(Protocol):
    """What lies between an array of a chain and the next.

    Attributes:
        lines: Which lines are due when.
        signs: ``(rows,)`` sign of the pulses of each word line of the first array, or None.
    """

    lines: Lines
    signs: Array | None

    def move(self, turn: Turn, rate: float, fast_rate: float) -> None:
        """Read a line of an array and write the next one.

        Args:
            turn: The line.
            rate: Learning rate, in units of the network's weights.
            fast_rate: Rate with which the first array was pulsed last, normalised.
        """
        ...

    def reset(self) -> None:
        """Forget what has been read."""
        ...

    def state(self) -> State:
        """Numbers beside the arrays that change in training, by name."""
        ...


class ChainCell(UnitCell):
    """A chain of cells at each crosspoint, trained by an algorithm with transfers.

    Attributes:
        algorithm: What moves weights along the chain: a ``TikiTaka``.
        cells: The cells, from the one that takes the updates to the one that holds the weight.
        factors: What each counts in the weight.
    """

    kind: Literal["chain"] = "chain"
    algorithm: Any
    cells: Many[Cell]
    factors: Many[float]

    @property
    def slow(self) -> Cell:
        """The cell that holds the weight."""
        return self.cells[-1]

    @property
    def n_arrays(self) -> int:
        """Arrays of all cells."""
        return sum(cell.n_arrays for cell in self.cells)

    @property
    def largest_conductance(self) -> float:
        """The largest of all cells."""
        return max(cell.largest_conductance for cell in self.cells)

    @property
    def reach(self) -> float:
        """That of the cell which is written with the initial weights."""
        return self.factors[-1] * self.slow.reach

    @property
    def granularity(self) -> float:
        """Change of the weight by one pulse of the cell that holds it."""
        return self.factors[-1] * self.slow.granularity

    @property
    def is_hidden(self) -> bool:
        """Whether reads see the last array only."""
        return not any(self.factors[:-1])

    @property
    def words(self) -> int:
        """Numbers in digital memory beside each chain."""
        return sum(cell.words for cell in self.cells) + self.algorithm.words * len(self.links)

    @property
    def links(self) -> range:
        """Numbers of the arrays that are read and handed on."""
        return range(len(self.cells) - 1)

    @property
    def cell_bytes(self) -> int:
        """Bytes of all cells, of the numbers beside them, and of the weight they make."""
        words = self.algorithm.words * len(self.links) + (not self.is_hidden)
        return sum(cell.cell_bytes for cell in self.cells) + FLOAT_BYTES * words

    @property
    def costs(self) -> CellCosts:
        """Parts of all cells; a read takes those that it sees, a pulse those of the first."""
        costs = [cell.costs for cell in self.cells]
        seen = [c for c, factor in zip(costs, self.factors, strict=True) if factor]
        return CellCosts(
            read=_sum(c.read for c in seen),
            pulse=costs[0].pulse,
            parts=_sum([*(c.parts for c in costs), {"buffer": WORD_BITS * self.words}]),
            reads=max(c.reads for c in seen),
            slots=costs[0].slots,
        )

    def transfer_costs(self, site: Site) -> Sequence[TransferCosts]:
        """A line is read, and written to the next array."""
        return [self.algorithm.costs_of_link(k, site) for k in self.links]

    def crossbar(self, site: Site) -> "ChainCrossbar":
        """A crossbar of such chains."""
        return ChainCrossbar(self, site)


def _sum(counts: Iterable[Mapping[str, int]]) -> Mapping[str, int]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return FrozenDict({name: n for name, n in total.items() if n})


class ChainCrossbar:
    """Arrays of cells, one behind the other.

    Args:
        cell: The chain.
        site: Shape, random numbers and settings.
    """

    def __init__(self, cell: ChainCell, site: Site) -> None:
        algorithm = cell.algorithm
        self._cell = cell
        self._shape = site.shape
        self._arrays: list[Crossbar] = []
        for k, each in enumerate(cell.cells):
            stream = site.stream.of_plane(k)
            update = algorithm.write_update(site.update) if k else site.update
            self._arrays.append(each.crossbar(site._replace(stream=stream, update=update)))
        self._links: list[Link] = [
            algorithm.link(k, cell, self._arrays, site._replace(stream=site.stream.of_plane(k)))
            for k in range(len(self._arrays) - 1)
        ]
        self._fast: FastRate = algorithm.fast(cell.cells)
        self._train = site.update.length * cell.cells[0].granularity
        self._scale = site.scale
        self._means = np.zeros(2)  # of the largest input and error
        last = self._arrays[-1]
        self.weights = last.weights if self._sees_last else np.zeros(site.shape, np.float32)
        varies = [a.variance is not None for a in self._arrays]
        self.variance = np.zeros(site.shape, np.float32) if any(varies) else None

    @property
    def _sees_last(self) -> bool:
        return self._cell.is_hidden and self._cell.factors[-1] == 1

    @property
    def pulses(self) -> int:
        """Pulses sent so far in all arrays."""
        return sum(array.pulses for array in self._arrays)

    def write(self, weights: Array) -> None:
        """Write the last array, and clear the others and all numbers between them."""
        *others, last = self._arrays
        for array in others:
            array.write(np.zeros(self._shape, np.float32))
        last.write(weights / np.float32(self._cell.factors[-1]))
        for link in self._links:
            link.reset()
        self._means[:] = 0
        self._read()

    def update(self, x: Array, d: Array, rate: float, first_example: int) -> None:
        """Pulse the first array with every outer product; transfer lines when they are due."""
        lines = [link.lines for link in self._links]
        n = len(x)
        cuts = [(e, e + 1) for e in range(n)] if self._fast.is_automatic else ()
        for start, stop in cuts or pieces(first_example, n, *lines):
            some, errors = x[start:stop], d[start:stop]
            fast_rate = self._fast_rate(some, errors)
            signs = self._links[0].signs
            if fast_rate:
                driving = some if signs is None else some * signs
                share = fast_rate * self._fast.share
                self._arrays[0].pulse(driving, errors, share, first_example + start)
            for array in self._arrays:
                array.elapse(first_example + start, stop - start)
            for link in self._links:
                for turn in link.lines.due(first_example + stop):
                    link.move(turn, rate * self._scale, fast_rate)
        self._read()

    def _fast_rate(self, x: Array, d: Array) -> float:
        fast = self._fast
        if not fast.is_automatic:
            return fast.rate / self._scale
        for i, values in enumerate((x, d)):
            most, mean = float(np.abs(values).max()), self._means[i]
            if mean <= 0:
                self._means[i] = most
            elif most > 0:
                self._means[i] += (1 - fast.momentum) * (most - mean)
        product = float(self._means.prod())
        return fast.rate * self._train / product if product and math.isfinite(product) else 0.0

    def _read(self) -> None:
        """What all arrays make together."""
        pairs = [
            (np.float32(factor), array)
            for factor, array in zip(self._cell.factors, self._arrays, strict=True)
            if factor
        ]
        if not self._sees_last:
            self.weights[:] = sum(factor * array.weights for factor, array in pairs)
        if self.variance is not None:
            self.variance[:] = 0
            for factor, array in pairs:
                if array.variance is not None:
                    self.variance += factor * factor * array.variance

    def arrays(self) -> list[tuple[Factor, Array]]:
        """The arrays of all cells that reads see."""
        return [
            (factor * inner, conductances)
            for factor, array in zip(self._cell.factors, self._arrays, strict=True)
            if factor
            for inner, conductances in array.arrays()
        ]

    def state(self) -> State:
        """States of all arrays, and the numbers between them."""
        state: State = {"means": self._means}
        for k, array in enumerate(self._arrays):
            state |= {f"array{k}_{name}": value for name, value in array.state().items()}
        for k, link in enumerate(self._links):
            state |= {f"link{k}_{name}": value for name, value in link.state().items()}
        return state

    def load(self, state: State) -> None:
        """Take over a saved state."""
        self._means[:] = state["means"]
        for k, array in enumerate(self._arrays):
            array.load(_named(state, f"array{k}_"))
        for k, link in enumerate(self._links):
            for name, value in link.state().items():
                value[:] = state[f"link{k}_{name}"]
        self._read()


def _named(state: State, prefix: str) -> State:
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


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
        self._reader = Reader(config.model_copy(update=unmanaged), repeats_on_saturation=False)
        self._array = array
        self._of_outputs = of_outputs
        keys = [site.stream.key(Purpose.TRANSFER_READ, part) for part in range(2)]
        self._keys = np.stack(keys)
        self._one = np.ones((1, 1), np.float32)

    def read(self, turn: Turn) -> Array:
        """The weights of a line, as they are read."""
        weights, variance = self._array.weights, self._array.variance
        cells = Cells(
            self._line(weights, turn), None if variance is None else self._line(variance, turn)
        )
        line: Array = self._reader.product(self._one, cells, turn.number, self._keys)[0]
        return line

    def _line(self, values: Array, turn: Turn) -> Array:
        line = values[:, turn.line] if self._of_outputs else values[turn.line]
        return np.ascontiguousarray(line).reshape(1, -1)


class LineWriter:
    """Writes single lines of an array, along values.

    Args:
        array: The array.
        shape: Its word lines and bit lines.
        of_outputs: Whether lines are bit lines.
    """

    def __init__(self, array: Crossbar, shape: tuple[int, int], *, of_outputs: bool) -> None:
        self._array = array
        self._shape = shape
        self._of_outputs = of_outputs

    def by_trains(self, turn: Turn, values: Array, rate: float) -> None:
        """Add ``rate * values``, by trains in which the line alone is driven."""
        one = np.zeros((1, self._shape[self._of_outputs]), np.float32)
        one[0, turn.line] = 1
        x, d = (values[np.newaxis], one) if self._of_outputs else (one, values[np.newaxis])
        self._array.pulse(x, d, rate, turn.number)

    def by_counts(self, turn: Turn, counts: np.ndarray[Any, Any]) -> None:
        """Add so many pulses of each device."""
        if self._of_outputs:
            every = np.zeros(self._shape, np.int16)
            every[:, turn.line] = counts
            self._array.pulse_counts(every, slice(0, self._shape[0]), turn.number)
        else:
            line = slice(turn.line, turn.line + 1)
            self._array.pulse_counts(counts[np.newaxis], line, turn.number)


def factors(visible: float, n: int) -> Sequence[float]:
    """What each of ``n`` arrays counts: ``visible`` to the power of its distance from the last."""
    return [visible ** (n - 1 - k) if k < n - 1 else 1.0 for k in range(n)]
