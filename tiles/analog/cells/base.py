"""The base class of unit cells, in which several devices hold one weight."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from crossmesh.tiles.analog.array import Array, Factor, State
from crossmesh.tiles.analog.costs import CellCosts, TransferCosts
from crossmesh.tiles.analog.devices.unsupported import Without
from crossmesh.tiles.analog.pulser import Site


class Crossbar(Protocol):
    """An array of unit cells. Weights are in units of normalised conductance.

    Attributes:
        weights: ``(rows, cols)`` float32, what a read sees; not to be written from outside.
        variance: ``(rows, cols)`` variance of each weight from read to read, or None.
    """

    weights: Array
    variance: Array | None

    @property
    def ages(self) -> bool:
        """Whether cells change as vectors go by, also without pulses."""
        ...

    @property
    def pulses(self) -> int:
        """Pulses sent so far on all word lines and bit lines.

        A crossbar of several arrays also has ``wear``, a ``Wear`` of each array by name.
        """
        ...

    def write(self, weights: Array) -> None:
        """Set the cells to ``weights`` ``(rows, cols)``, clipped to what their devices can hold."""
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

    def pulse_counts(self, counts: NDArray[np.int16], rows: slice, example: int) -> None:
        """Send every cell of some word lines a number of pulses, one after the other.

        Cells without pulses stay as they are. Examples do not go by: nothing decays or leaks.

        Args:
            counts: ``(n, cols)`` pulses: above 0 up, so that the weight grows, below 0 down.
            rows: The n consecutive word lines.
            example: Number of the example, which keys the noise; no two calls for one word line
                may share it.
        """
        ...

    def arrays(self) -> list[tuple[Factor, Array]]:
        """Factor and ``(rows, cols)`` conductances of each array with wires of its own.

        Conductances are normalised and count from the lower bound of a typical device. The sum of
        factor times conductances is ``weights``.
        """
        ...

    def state(self) -> State:
        """Arrays that change in training, by name; the rest follows from config and seed."""
        ...

    def load(self, state: State) -> None:
        """Take over a saved state."""
        ...


class Transfers(Protocol):
    """When a cell writes what it holds into memories.

    Attributes:
        every: Examples between two transfers.
        examples_per_row: Examples between the transfers of two word lines.
    """

    @property
    def every(self) -> int: ...  # noqa: D102  because the class says it

    @property
    def examples_per_row(self) -> int: ...  # noqa: D102  because the class says it

    def costs(self, rows: int, cells: CellCosts) -> TransferCosts:
        """What they cost on a tile of so many word lines, whose cells cost so much."""
        ...


class UnitCell(Without):
    """The devices at a crosspoint that hold one weight.

    A cell defines ``n_arrays``, ``largest_conductance``, ``reach``, ``granularity``,
    ``cell_bytes`` and ``crossbar``.

    Attributes:
        holds_anything: Whether it is a number, without bounds, rather than devices.
    """

    holds_anything: ClassVar[bool] = False
    if TYPE_CHECKING:
        kind: Any  # of every class, which narrows it

    @property
    def n_arrays(self) -> int:
        """Arrays with wires of their own."""
        raise NotImplementedError

    @property
    def largest_conductance(self) -> float:
        """Largest conductance of a typical device or reference above the lower bound, normalised.

        The wire model takes its load from it.
        """
        raise NotImplementedError

    @property
    def reach(self) -> float:
        """Largest weight that a typical cell holds in both directions, in normalised units."""
        raise NotImplementedError

    @property
    def granularity(self) -> float:
        """Mean change of the weight by one pulse at its middle, for which trains are scaled."""
        raise NotImplementedError

    @property
    def cell_bytes(self) -> int:
        """Bytes that a crossbar keeps per cell, from which the memory of a run is predicted."""
        raise NotImplementedError

    @property
    def costs(self) -> CellCosts:
        """What a cell costs on a chip."""
        return CellCosts()

    @property
    def transfers(self) -> Transfers | None:
        """When a cell writes what it holds into memories; None: never."""
        return None

    @property
    def words(self) -> int:
        """Numbers in digital memory beside each cell."""
        return 0

    @property
    def devices(self) -> Sequence[Any]:
        """The kinds of devices that it is made of."""
        return ()

    @property
    def planes(self) -> Mapping[str, int]:
        """Arrays of each part that can lie on a board, by name; see ``tile.array``."""
        return {}

    @property
    def doubts(self) -> Sequence[str]:
        """Why its training may fail, a line each."""
        return ()

    def doubts_of_run(self, site: Site, vectors: int) -> Sequence[str]:
        """Why a run of so many vectors may be too short for the cells of a tile, a line each."""
        return ()

    @property
    def routes(self) -> Sequence[str]:
        """What moves between its arrays and when, in words."""
        return ()

    def transfer_costs(self, site: Site) -> Sequence[TransferCosts]:
        """What its transfers cost on a tile, one entry for each array that is read or written.

        Args:
            site: The tile.
        """
        if self.transfers is None:
            return ()
        return [self.transfers.costs(site.shape[0], self.costs)]

    def crossbar(self, site: Site) -> Crossbar:
        """A crossbar of such cells.

        Args:
            site: Its shape, random numbers, update settings, and the time per example.
        """
        raise NotImplementedError
