"""A crossbar of chains: arrays of cells, one behind the other."""
# ruff: noqa: D102  because ChainCell says what each member of Chained is

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from crossmesh.tiles.analog.algorithms.line_access import let_pass
from crossmesh.tiles.analog.algorithms.lines import Due, Lines, pieces
from crossmesh.tiles.analog.array import Array, Factor, State
from crossmesh.tiles.analog.cells import Crossbar
from crossmesh.tiles.analog.pulser import Site
from crossmesh.tiles.analog.wear import Wear, named, wear_of


def array_names(n: int) -> Sequence[str]:
    """Names of the arrays of a chain: those of publications where there are two."""
    return ("A", "C") if n == 2 else [f"array {k}" for k in range(n)]


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

    def move(self, turn: Due, rate: float, fast_rate: float) -> None:
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


class Chained(Protocol):
    """What a crossbar asks of its cell; every member is as in ``ChainCell``."""

    @property
    def algorithm(self) -> Any: ...

    @property
    def cells(self) -> Sequence[Any]: ...

    @property
    def factors(self) -> Sequence[float]: ...

    @property
    def is_hidden(self) -> bool: ...


class ChainCrossbar:
    """Arrays of cells, one behind the other.

    Args:
        cell: The chain.
        site: Shape, random numbers and settings.
    """

    def __init__(self, cell: Chained, site: Site) -> None:
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
        self._means = np.zeros(2, np.float32)  # of the largest input and error
        self._seen = [
            (np.float32(factor), array)
            for factor, array in zip(cell.factors, self._arrays, strict=True)
            if factor
        ]
        self._sees_last = cell.is_hidden and cell.factors[-1] == 1
        self._aging = [array for array in self._arrays if array.ages]
        last = self._arrays[-1]
        self.weights = last.weights if self._sees_last else np.zeros(site.shape, np.float32)
        varies = [a.variance is not None for a in self._arrays]
        self.variance = np.zeros(site.shape, np.float32) if any(varies) else None

    @property
    def ages(self) -> bool:
        """Whether an array changes with time alone."""
        return bool(self._aging)

    @property
    def pulses(self) -> int:
        """Pulses sent so far in all arrays."""
        return sum(array.pulses for array in self._arrays)

    @property
    def wear(self) -> Mapping[str, Wear]:
        """A, and the C that holds the weights; of more arrays, their numbers."""
        arrays: dict[str, Wear] = {}
        for name, array in zip(array_names(len(self._arrays)), self._arrays, strict=True):
            arrays |= named(name, wear_of(array))
        return arrays

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
                self._arrays[0].update(driving, errors, share, first_example + start)
            for array in self._aging:
                if array is not self._arrays[0] or not fast_rate:
                    let_pass(array, self._shape, first_example + start, stop - start)
            for link in self._links:
                for turn in link.lines.due(first_example + stop):
                    link.move(turn, rate * self._scale, fast_rate)
        self._read()

    def pulse_counts(self, counts: NDArray[np.int16], rows: slice, example: int) -> None:
        """Send the array that holds the weights so many pulses."""
        self._arrays[-1].pulse_counts(counts, rows, example)
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
        if not math.isfinite(product):
            return 1.0  # with which the update is refused
        return fast.rate * self._train / product if product else 0.0

    def _read(self) -> None:
        """What all arrays make together."""
        if not self._sees_last:
            self.weights[:] = sum(factor * array.weights for factor, array in self._seen)
        if self.variance is not None:
            self.variance[:] = 0
            for factor, array in self._seen:
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
