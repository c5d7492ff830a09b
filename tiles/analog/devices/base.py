"""What devices have in common: an abstract device."""

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.frozen import Frozen
from crossmesh.common.random import Stream
from crossmesh.tiles.analog.devices.limits import Seconds, Spread

Array = NDArray[np.float32]


class Retention(Frozen):
    """Exponential loss of conductance, towards ``w == 0``, or the bound that is nearest to it.

    Attributes:
        time_s: Time constant, in emulated seconds [lifetime, in mini-batches].
        device_noise: Its spread between devices, relative [lifetime_dtod].
    """

    time_s: Seconds
    device_noise: Spread = 0.0


class Device(Frozen):
    """One analog memory element; its normalised conductance moves by pulses.

    Attributes:
        n_parameters: Numbers that differ from device to device.
        n_arrays: Arrays with wires of their own, if a device alone is the cell.
        holds_anything: Whether it is a number rather than a device.
        transfers: What a cell has that writes its weights elsewhere now and then.
        source: Publication of model and defaults.
        has_history: Whether a device remembers more of its pulses than its conductance.
    """

    n_parameters: ClassVar[int] = 4
    n_arrays: ClassVar[int] = 2
    holds_anything: ClassVar[bool] = False
    transfers: ClassVar[None] = None
    source: ClassVar[str]
    has_history: ClassVar[bool] = False
    if TYPE_CHECKING:

        @property
        def kind(self) -> Any: ...  # noqa: D102  because it is a field of every class in a registry

    @property
    def granularity(self) -> float:
        """Change per pulse for which trains are scaled, in units of normalised conductance."""
        raise NotImplementedError

    @property
    def limits(self) -> tuple[float, float]:
        """Lower and upper bound of a typical device."""
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
    def fresh_history(self) -> float:
        """What a device remembers just after a reset."""
        return 0.0

    @property
    def write_deviation(self) -> float:
        """Standard deviation of what is seen about the state, drawn again when a device moves."""
        return 0.0

    @property
    def read_noise(self) -> tuple[float, float]:
        """Standard deviation from read to read at conductance 0, and its slope."""
        return 0.0, 0.0

    @property
    def decay(self) -> Retention | None:
        """How conductance is lost with time; None: not at all."""
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
    def largest_reference(self) -> float:
        """Where the reference of a typical device stands at most; 0 without one."""
        return 0.0

    @property
    def largest_conductance(self) -> float:
        """Of a typical device or its reference, from the lower bound on."""
        lower, upper = self.limits
        return (max(upper, self.largest_reference) if self.has_references else upper) - lower

    def constants(self) -> Any:
        """Constants that all devices share; their type selects the model (``kernels.register``)."""
        raise NotImplementedError

    def sample(self, shape: tuple[int, int], stream: Stream, part: int) -> Array:
        """Draw every device of an array.

        Args:
            shape: Rows and columns.
            stream: Random numbers of the tile.
            part: Which of the cell's devices this array is.

        Returns:
            ``(n_parameters, rows, cols)``: step up, step down (both positive), lower bound, upper
            bound, then the device's own.
        """
        raise NotImplementedError

    def references(self, values: Array, stream: Stream, part: int) -> Array | None:
        """``(rows, cols)`` conductance that each device is read against; None: all against 0."""
        return None

    def history_at(self, state: Array) -> Array:
        """What devices remember that were pulsed to ``state`` from their lower bound."""
        raise NotImplementedError
