"""Devices whose steps vary from device to device."""

from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from crossmesh.common.random import Purpose, Stream
from crossmesh.tiles.analog.devices.base import Array
from crossmesh.tiles.analog.devices.common import CommonDevice
from crossmesh.tiles.analog.devices.kernels import LOWER, STEP_DOWN, STEP_UP, UPPER
from crossmesh.tiles.analog.devices.limits import LARGEST_SPREAD, Noise, Spread, Step

_LARGEST_LOGARITHM = 5.0  # deviation of the logarithm of a step: a factor of 150


class StepDevice(CommonDevice):
    """A device whose normalised conductance ``w`` moves by steps of a mean size.

    Parameters mean what they mean in aihwkit (Rasch et al., 2021, arXiv 2104.02184), whose names
    are given in brackets, so that published parameters carry over. A spread "between devices" is
    a standard deviation, drawn once per device; draws that would turn a sign are folded back.

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
        one_way: Whether down pulses do nothing, as a phase-change memory is only pulsed up.
    """

    step: Step = 0.001
    device_noise: float = Field(0.3, ge=0, le=_LARGEST_LOGARITHM)
    device_noise_law: Literal["normal", "log_normal"] = "normal"
    cycle_noise: Noise = 0.3
    asymmetry: float = Field(0.0, gt=-1, lt=1)
    asymmetry_device_noise: Spread = 0.01
    upper: float = Field(0.6, ge=0, le=1e6)
    upper_device_noise: Spread = 0.3
    lower: float = Field(-0.6, ge=-1e6, le=0)
    lower_device_noise: Spread = 0.3
    one_way: bool = False

    @model_validator(mode="after")
    def _spread_is_relative(self) -> Self:
        if self.device_noise_law == "normal" and self.device_noise > LARGEST_SPREAD:
            raise ValueError(
                "device_noise must be at most 1, a spread of 100 % (did you mean "
                f"{self.device_noise / 100:g}?), for the normal distribution, got "
                f"{self.device_noise:g}"
            )
        return self

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
    def has_cycle_noise(self) -> bool:
        """As the config says."""
        return self.cycle_noise > 0

    @property
    def write_deviation(self) -> float:
        """Write noise in units of ``w``: relative to ``step``, as in aihwkit."""
        return self.write_noise * self.step

    @property
    def limits(self) -> tuple[float, float]:
        """Mean bounds."""
        return self.lower, self.upper

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
