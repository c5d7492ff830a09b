"""The base class of devices."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.frozen import Frozen
from crossmesh.common.random import Stream
from crossmesh.tiles.analog.costs import IDEAL, CellCosts, CellDevices, Electrical, TransferCosts
from crossmesh.tiles.analog.devices.limits import Seconds, Spread

Array = NDArray[np.float32]


class Retention(Frozen):
    """Exponential loss of conductance, towards ``w == 0``, or the bound that is nearest to it.

    Attributes:
        time_s: Time constant, in emulated seconds [lifetime, in mini-batches].
        device_noise: Spread of ``time_s`` between devices, relative [lifetime_dtod].
    """

    time_s: Seconds
    device_noise: Spread = 0.0


class Device(Frozen):
    """One analog memory element; its normalised conductance moves by pulses.

    Conductances and changes of them are in normalised units unless a name ends in ``_siemens``. A
    model defines ``granularity``, ``limits``, ``constants`` and ``sample``, and registers its
    functions with ``kernels.register_model``; the rest has defaults.

    Attributes:
        n_parameters: Parameters that differ from device to device.
        n_arrays: Arrays with wires of their own, if a device alone is the cell.
        holds_anything: Whether it is a number rather than a device.
        transfers: Schedule of transfers to other memories; a device alone has none.
        words: Numbers in digital memory beside it: none.
        routes: What moves between its arrays: nothing.
        doubts: Why its training may fail: nothing is known.
        planes: Arrays that can lie on a board, by name, if a device alone is the cell.
        source: Publication of model and defaults.
        has_history: Whether a device remembers more of its pulses than its conductance.
        electrical: What it is at its terminals; energy and area of a chip follow from it.
    """

    n_parameters: ClassVar[int] = 4
    n_arrays: ClassVar[int] = 2
    holds_anything: ClassVar[bool] = False
    transfers: ClassVar[None] = None
    words: ClassVar[int] = 0
    routes: ClassVar[tuple[str, ...]] = ()
    doubts: ClassVar[tuple[str, ...]] = ()
    planes: ClassVar[Mapping[str, int]] = MappingProxyType({"devices": 1})
    source: ClassVar[str]
    has_history: ClassVar[bool] = False
    electrical: Electrical = IDEAL
    if TYPE_CHECKING:

        @property
        def kind(self) -> Any: ...  # noqa: D102  because it is a field of every class in a registry

    @property
    def cell_bytes(self) -> int:
        """Bytes that a crossbar keeps per cell, if a device alone is the cell."""
        from crossmesh.tiles.analog.cells.alone import alone_bytes  # which needs our kernels

        return alone_bytes(self)

    def crossbar(self, site: Any) -> Any:
        """A crossbar whose cells are such devices alone; see ``UnitCell``."""
        from crossmesh.tiles.analog.cells.alone import AloneCrossbar  # which needs our kernels

        return AloneCrossbar(self, site)

    @property
    def devices(self) -> Sequence[Any]:
        """Itself, if it is a cell alone."""
        return (self,)

    def transfer_costs(self, site: Any) -> Sequence[TransferCosts]:
        """What transfers cost; see ``UnitCell``."""
        return ()

    def doubts_of_run(self, site: Any, vectors: int) -> Sequence[str]:
        """Why a run may be too short; see ``UnitCell``."""
        return ()

    @property
    def costs(self) -> CellCosts:
        """What a device costs on a chip, if it is a cell alone."""
        return CellCosts(devices=(self.at_crosspoint(),))

    def at_crosspoint(self, number: float = 1) -> CellDevices:
        """So many of it at a crosspoint, each with its reference, if it has one."""
        return CellDevices(self.electrical, number * (1 + self.has_references))

    @property
    def granularity(self) -> float:
        """Mean change per pulse at ``w == 0``, normalised, for which pulse trains are scaled."""
        raise NotImplementedError

    @property
    def limits(self) -> tuple[float, float]:
        """Lower and upper bound of a typical device, in units of normalised conductance."""
        raise NotImplementedError

    @property
    def reach(self) -> float:
        """Largest weight that a typical device alone holds in both directions."""
        lower, upper = self.limits
        return min(upper, -lower) or upper - lower

    @property
    def moves_one_way(self) -> bool:
        """Whether down pulses do nothing."""
        return False

    @property
    def has_cycle_noise(self) -> bool:
        """Whether two pulses may do something else to a device at the same conductance."""
        return True

    @property
    def fresh_history(self) -> float:
        """History of a device just after a reset, as ``Functions.remember`` counts."""
        return 0.0

    @property
    def write_deviation(self) -> float:
        """Write noise: standard deviation of the read value about the state, drawn at each move."""
        return 0.0

    @property
    def read_noise(self) -> tuple[float, float]:
        """Standard deviation from read to read at conductance 0, and its slope over conductance."""
        return 0.0, 0.0

    @property
    def decay(self) -> Retention | None:
        """Retention: loss of conductance with time; None: none."""
        return None

    @property
    def may_be_stuck(self) -> bool:
        """Whether some devices do not move."""
        return False

    @property
    def has_references(self) -> bool:
        """Whether each device is read against a reference of its own."""
        return False

    @property
    def calibration(self) -> int:
        """Pulses by which each device finds its symmetry point; 0: it is known."""
        return 0

    def symmetry_points(self, values: Array) -> Array:
        """``(rows, cols)`` conductance at which up and down steps are equal; see ``sample``."""
        raise NotImplementedError

    @property
    def largest_reference(self) -> float:
        """Largest normalised reference of a typical device; 0 without one."""
        return 0.0

    @property
    def largest_conductance(self) -> float:
        """Largest conductance of a typical device or reference above the lower bound."""
        lower, upper = self.limits
        return (max(upper, self.largest_reference) if self.has_references else upper) - lower

    def constants(self) -> Any:
        """Constants that all devices share, as a named tuple of numbers for compiled functions.

        Its type selects the model; see ``kernels.register_model``.
        """
        raise NotImplementedError

    def sample(self, shape: tuple[int, int], stream: Stream, part: int) -> Array:
        """Draw every device of an array.

        Args:
            shape: Rows and columns.
            stream: Random numbers of the tile.
            part: Number of the array among those of the cell, a key of the random numbers.

        Returns:
            ``(n_parameters, rows, cols)`` float32: step up, step down (both positive), lower bound,
            upper bound, then the device's own.
        """
        raise NotImplementedError

    def references(self, values: Array, stream: Stream, part: int) -> Array | None:
        """Conductance of the reference that each device is read against.

        Args:
            values: ``(n_parameters, rows, cols)``, as ``sample`` drew them.
            stream: Random numbers of the tile.
            part: As in ``sample``.

        Returns:
            ``(rows, cols)`` float32, or None: all are read against 0.
        """
        return None

    def history_at(self, state: Array) -> Array:
        """History of devices that up pulses brought from their lower bound to a state.

        Args:
            state: ``(rows, cols)`` normalised conductances.

        Returns:
            ``(rows, cols)`` float32, as ``Functions.remember`` counts. Asked only of models with
            ``has_history``.
        """
        raise NotImplementedError
