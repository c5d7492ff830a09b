"""What devices have in common: an abstract device, and the stepping devices of most laws."""

from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from tiles.devices.law import LOWER, STEP_DOWN, STEP_UP, UPPER
from tiles.devices.stuck import Stuck
from tiles.frozen import Frozen
from tiles.random import Purpose, Stream

Array = NDArray[np.float32]


class Retention(Frozen):
    """Exponential loss of conductance, towards 0.

    Attributes:
        time_s: Time constant, in emulated seconds [lifetime, in mini-batches].
        device_noise: Its spread between devices, relative [lifetime_dtod].
    """

    time_s: float = Field(gt=0)
    device_noise: float = Field(0.0, ge=0)


class Device(Frozen):
    """One analog memory element; its normalised conductance moves by pulses.

    Attributes:
        n_parameters: Numbers that differ from device to device.
        source: Publication of law and defaults.
        has_history: Whether a device remembers more of its pulses than its conductance.
    """

    n_parameters: ClassVar[int] = 4
    source: ClassVar[str]
    has_history: ClassVar[bool] = False

    @property
    def granularity(self) -> float:
        """Change per pulse for which trains are scaled, in units of normalised conductance."""
        raise NotImplementedError

    @property
    def limits(self) -> tuple[float, float]:
        """Lower and upper bound of a typical device."""
        raise NotImplementedError

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
        """Standard deviation of what is seen about the state, drawn anew when a device moves."""
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

    def law(self) -> Any:
        """The numbers shared by all devices, as the ``NamedTuple`` that selects the law."""
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


class StepDevice(Device):
    """A device whose normalised conductance ``w`` moves by steps of a mean size.

    Parameters mean what they mean in aihwkit (Rasch et al., 2021, arXiv 2104.02184), whose names
    are given in brackets, so that published parameters carry over. A spread "between devices" is
    a standard deviation, drawn once per device; draws that would turn a sign are folded back.
    Unlike aihwkit, the cycle noise of the coincidences of up to eight consecutive examples enters
    as one draw of the same variance (see ``tiles/update.py``).

    Attributes:
        step: Mean change per pulse at ``w == 0`` [dw_min].
        device_noise: Spread of ``step`` between devices, relative [dw_min_dtod].
        device_noise_law: ``normal``, or ``log_normal``: each device's step is ``step`` times the
            exponential of a normal number of deviation ``device_noise`` [dw_min_dtod_log_normal].
        cycle_noise: Spread of a device's change from pulse to pulse, in steps [dw_min_std].
        asymmetry: Systematic imbalance of up and down; it shrinks the weaker direction, so 0.2
            leaves up steps and makes down steps 0.8 of ``step`` [up_down].
        asymmetry_device_noise: Spread of the imbalance between devices [up_down_dtod].
        upper: Mean upper bound of ``w`` [w_max].
        upper_device_noise: Spread of the upper bound between devices, relative [w_max_dtod].
        lower: Mean lower bound of ``w`` [w_min].
        lower_device_noise: Spread of the lower bound between devices, relative [w_min_dtod].
        write_noise: Standard deviation of what a read sees about the state that pulses move,
            drawn anew whenever a device is pulsed, in steps [write_noise_std].
        one_way: Whether down pulses do nothing, as a phase-change memory is only pulsed up.
        retention: How conductance is lost with time; None: not at all.
        stuck: Which devices do not move; None: all do.
    """

    step: float = Field(0.001, gt=0, le=1)
    device_noise: float = Field(0.3, ge=0)
    device_noise_law: Literal["normal", "log_normal"] = "normal"
    cycle_noise: float = Field(0.3, ge=0)
    asymmetry: float = Field(0.0, gt=-1, lt=1)
    asymmetry_device_noise: float = Field(0.01, ge=0, le=1)
    upper: float = Field(0.6, ge=0)
    upper_device_noise: float = Field(0.3, ge=0)
    lower: float = Field(-0.6, le=0)
    lower_device_noise: float = Field(0.3, ge=0)
    write_noise: float = Field(0.0, ge=0)
    one_way: bool = False
    retention: Retention | None = None
    stuck: Stuck | None = None

    @model_validator(mode="after")
    def _bounds_enclose_a_range(self) -> Self:
        if self.upper <= self.lower:
            raise ValueError(f"upper must be above lower ({self.lower}), got {self.upper}")
        return self

    @property
    def granularity(self) -> float:
        """Change per pulse for which trains are scaled, in units of ``w``."""
        return self.step

    @property
    def moves_one_way(self) -> bool:
        """As the config says."""
        return self.one_way

    @property
    def decay(self) -> Retention | None:
        """As the config says."""
        return self.retention

    @property
    def may_be_stuck(self) -> bool:
        """As the config says."""
        return self.stuck is not None

    @property
    def limits(self) -> tuple[float, float]:
        """Mean bounds."""
        return self.lower, self.upper

    @property
    def write_deviation(self) -> float:
        """Write noise in units of ``w``."""
        return self.write_noise * self.step

    def sample(self, shape: tuple[int, int], stream: Stream, part: int) -> Array:
        """Draw steps and bounds."""

        def normal(draw: int) -> Array:
            return stream.normal(Purpose.DEVICE, shape, draw=draw, part=part)

        parameters = np.empty((self.n_parameters, *shape), np.float32)
        spread = self.device_noise * normal(STEP_UP)
        common = np.exp(spread) if self.device_noise_law == "log_normal" else 1 + spread
        skew = self.asymmetry_device_noise * normal(STEP_DOWN)
        parameters[STEP_UP] = self.step * np.abs(common + skew + min(self.asymmetry, 0))
        parameters[STEP_DOWN] = self.step * np.abs(common - skew - max(self.asymmetry, 0))
        if self.one_way:
            parameters[STEP_DOWN] = 0
        parameters[LOWER] = self.lower * np.abs(1 + self.lower_device_noise * normal(LOWER))
        parameters[UPPER] = self.upper * np.abs(1 + self.upper_device_noise * normal(UPPER))
        if self.stuck:
            self.stuck.hold(parameters, stream, part)
        return parameters
