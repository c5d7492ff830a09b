"""Crossbars: the unit cells of one tile, how they are read as weights, pulsed, saved and loaded."""

from typing import Protocol

from tiles.array import Array, Factor, Site, State
from tiles.cells import Cell
from tiles.cells.alone import AloneCrossbar
from tiles.cells.ideal import IdealCrossbar
from tiles.devices import Device, Ideal
from tiles.random import Stream
from tiles.update import UpdateConfig


class Crossbar(Protocol):
    """An array of unit cells. Weights are in units of normalised conductance.

    Attributes:
        weights: ``(rows, cols)`` float32, what a read sees; not to be written from outside.
        variance: ``(rows, cols)`` variance of each weight from read to read, or None.
    """

    weights: Array
    variance: Array | None

    @property
    def pulses(self) -> int:
        """Pulses sent so far on all word lines and bit lines."""
        ...

    def write(self, weights: Array) -> None:
        """Set every cell to ``weights`` as far as its devices reach."""
        ...

    def update(self, x: Array, d: Array, rate: float, first_example: int) -> None:
        """Add ``rate * x.T @ d``, example after example, by pulses.

        Args:
            x: ``(examples, rows)`` word-line values.
            d: ``(examples, cols)`` bit-line values.
            rate: Learning rate per unit of normalised conductance.
            first_example: Number of the first example, which keys the noise.
        """
        ...

    def arrays(self) -> list[tuple[Factor, Array]]:
        """Arrays of conductances with wires of their own, and their factors.

        Conductances count from the lower bound of a typical device. The sum of factor times
        conductances is ``weights``.
        """
        ...

    def state(self) -> State:
        """What changes while training, by name; the rest follows from config and seed."""
        ...

    def load(self, state: State) -> None:
        """Take over a saved state."""
        ...


EXAMPLE_S = 240e-9


def build(
    cell: Cell,
    shape: tuple[int, int],
    stream: Stream,
    update: UpdateConfig,
    example_s: float = EXAMPLE_S,
) -> Crossbar:
    """A crossbar of ``shape`` whose unit cells are ``cell``.

    Args:
        cell: What the cells are.
        shape: Rows and columns.
        stream: Random numbers of the tile.
        update: How outer products become pulses.
        example_s: Emulated seconds from one example to the next.
    """
    site = Site(shape, stream, update, example_s)
    if isinstance(cell, Ideal):
        return IdealCrossbar(shape)
    if isinstance(cell, Device):
        return AloneCrossbar(cell, site)
    return cell.crossbar(site)


def reach(cell: Cell) -> float:
    """Largest weight that a typical cell holds in both directions, in normalised units."""
    if isinstance(cell, Ideal):
        return 1.0
    if isinstance(cell, Device):
        lower, upper = cell.limits
        return min(upper, -lower) or upper - lower
    return cell.reach
