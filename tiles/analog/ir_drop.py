"""Resistance of the wires: what a tile's arrays pass less, to first order or exactly.

Word lines are driven at their left end, bit lines are sensed at virtual ground at their bottom
end. A segment of wire lies before every crosspoint of a word line and behind every crosspoint of a
bit line, so devices see less than the voltage between their lines. A resistive network answers
linearly: what is read is a product with an array of smaller conductances, and driven and sensed the
other way round with its transpose.
"""

from collections.abc import Callable, Iterable
from functools import reduce
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from crossmesh.tiles.analog.array import FLOAT_BYTES, Factor
from crossmesh.tiles.analog.nodal import MOST_SOLVES, WireNetwork, needed_solves
from crossmesh.tiles.analog.read import Cells, ReadConfig

Array = NDArray[np.float32]
Arrays = list[tuple[Factor, Array]]
Asked = Literal["auto", "first_order", "exact"]
Model = Literal["first_order", "exact"]
LARGEST_LOSS = 0.005  # of a current; up to here the first order errs by 2 % of the drop at most
LARGEST_BY_FIRST_ORDER = 0.5  # if it is asked for; beyond it, the first order says nothing


def largest_loss(shape: tuple[int, int], resistance: float, conductance: float) -> float:
    """Part of its current that a device loses at most, to first order.

    It is that of the device farthest from driver and sense amplifier, if all conduct as well.

    Args:
        shape: Word lines and bit lines.
        resistance: Resistance of a segment, times the conductance of full scale.
        conductance: Conductance of all devices, relative to full scale.
    """
    rows, cols = shape
    return resistance * conductance * (rows * (rows + 1) + cols * (cols + 1)) / 2


def check_wires(shape: tuple[int, int], read: ReadConfig, conductance: float) -> None:
    """Refuse wires whose losses cannot be computed.

    Args:
        shape: Word lines and bit lines of a tile.
        read: How it is read.
        conductance: The largest of a device, normalised.

    Raises:
        ValueError: If the first order says nothing, or a read takes too long.
    """
    size = f"tiles of {shape[0]} x {shape[1]}"
    loss = largest_loss(shape, read.wire_resistance, conductance)
    if read.wire_model == "first_order" and loss > LARGEST_BY_FIRST_ORDER:
        raise ValueError(
            "read.wire_model must be auto or exact where a device may lose more than "
            f"{LARGEST_BY_FIRST_ORDER:.0%} of its current, got first_order, which takes up to "
            f"{loss:.0%} on {size}"
        )
    load = read.wire_resistance * conductance
    if needed_solves(shape, load) > MOST_SOLVES:
        raise ValueError(
            f"read.wire_resistance must leave a read within {MOST_SOLVES} solves of all lines, "
            f"got {read.wire_resistance:g}, which takes {needed_solves(shape, load)} on {size}"
        )


def model_of(asked: Asked, shape: tuple[int, int], resistance: float, conductance: float) -> Model:
    """The model for an array: ``auto`` is the first order where it errs by 2 % of the drop at most.

    The relative error of the first order is about the largest loss itself for inputs of one sign,
    and up to three times that for signed ones.

    Args:
        asked: ``read.wire_model``.
        shape: Word lines and bit lines.
        resistance: Resistance of a segment, times the conductance of full scale.
        conductance: Largest of a typical device, relative to full scale.
    """
    if asked != "auto":
        return asked
    loss = largest_loss(shape, resistance, conductance)
    return "first_order" if loss <= LARGEST_LOSS else "exact"


def lost_to_first_order(g: Array, resistance: float) -> Array:
    """``(rows, cols)`` that conductances act smaller, if currents are those without wires.

    Args:
        g: ``(rows, cols)`` conductances, 0 or more, relative to full scale.
        resistance: Resistance of a segment, times the conductance of full scale.
    """
    return np.float32(resistance) * (_shared(g) + _shared(g[::-1].T)[:, ::-1].T) * g


def _shared(g: Array) -> Array:
    """Per crosspoint, the currents of its line, each times the segments that both share.

    ``sum_l (min(j, l) + 1) * g[i, l]``, lines along the second axis, driven at their start.
    """
    number = np.arange(1, g.shape[1] + 1, dtype=np.float32)
    before = np.cumsum(g * number, axis=1)
    up_to = np.cumsum(g, axis=1)
    return before + number * (up_to[:, -1:] - up_to)


class Wires:
    """The wires of one tile's arrays, and what they take off at the tile's present state.

    Where many vectors are read at one state, what is lost becomes a matrix, computed once. Where
    few are, as between two updates, an exact solve of each vector costs less. Which is chosen
    follows from the config and the phase, so it is the same in every packing.

    Args:
        resistance: Resistance of a segment, times the conductance of full scale.
        asked: ``read.wire_model``.
        shape: Word lines and bit lines.
        conductance: Largest of a typical device, relative to full scale.
    """

    def __init__(
        self, resistance: float, asked: Asked, shape: tuple[int, int], conductance: float
    ) -> None:
        self._resistance = resistance
        self._model = model_of(asked, shape, resistance, conductance)
        self._largest = np.float32(LARGEST_LOSS if asked == "auto" else LARGEST_BY_FIRST_ORDER)
        self._shape = shape
        self._by_vector = False
        self.forget()

    def bytes_per_cell(self, arrays: int) -> int:
        """Bytes kept per crosspoint at most: the reduced weights, and what solves need."""
        return FLOAT_BYTES * (1 + 4 * arrays * (self._model == "exact"))

    def forget(self) -> None:
        """The state has changed."""
        self._reduced: Array | None = None
        self._networks: list[tuple[Factor, WireNetwork]] | None = None

    def expect(self, vectors: float) -> None:
        """Set how many vectors are read per state of the devices, forward and backward."""
        self._by_vector = self._model == "exact" and vectors < min(self._shape)

    def behind(self, weights: Array, arrays: Callable[[], Arrays], *, backward: bool) -> Cells:
        """Weights as reads see them through the wires.

        Args:
            weights: ``(rows, cols)`` without wires.
            arrays: Arrays of conductances with wires of their own, and their factors.
            backward: Whether vectors drive the bit lines.
        """
        if self._by_vector:
            if self._networks is None:
                self._networks = [(f, self._network(g)) for f, g in arrays()]
            return Cells(weights, lost=self._lost_backward if backward else self._lost)
        if self._reduced is None:
            self._reduced = weights.copy()
            for factor, g in arrays():
                self._reduced -= np.multiply(factor, self._lost_of_one(np.maximum(g, 0)))
        return Cells(self._reduced)

    def _network(self, g: Array) -> WireNetwork:
        return WireNetwork(np.maximum(g, 0), self._resistance)

    def _lost_of_one(self, g: Array) -> Array:
        if self._model == "first_order":
            lost = lost_to_first_order(g, self._resistance)
            if np.all(lost <= self._largest * g):  # else a state beyond what devices hold
                return lost
        return self._network(g).matrix()

    def _lost(self, x: Array) -> Array:
        networks = self._networks or []
        return _added(net.lost(x * _turned(f)) for f, net in networks)

    def _lost_backward(self, d: Array) -> Array:
        networks = self._networks or []
        return _added(net.lost_backward(d) * _turned(f) for f, net in networks)


def _turned(factor: Factor) -> Array:
    """A factor as it multiplies ``(vectors, rows)``."""
    return np.asarray(factor, np.float32).T


def _added(parts: Iterable[Array]) -> Array:
    """The sum, in order."""
    return reduce(np.add, parts)
