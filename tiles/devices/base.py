"""What all devices have in common: bounds, a mean step in each direction, and their spread."""

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from tiles.devices.law import LOWER, STEP_DOWN, STEP_UP, UPPER
from tiles.frozen import Frozen
from tiles.random import Purpose, Stream


class Pulsed(Frozen):
    """One analog memory element; its normalised conductance ``w`` moves by pulses."""

    n_parameters: ClassVar[int] = 4
    source: ClassVar[str]

    @property
    def granularity(self) -> float:
        """Change per pulse for which trains are scaled, in units of ``w``."""
        raise NotImplementedError

    def law(self) -> Any:
        """The numbers shared by all devices, as the ``NamedTuple`` that selects the law."""
        raise NotImplementedError

    def sample(self, shape: tuple[int, int], stream: Stream, part: int) -> NDArray[np.float32]:
        """Draw every device of an array.

        Args:
            shape: Rows and columns.
            stream: Random numbers of the tile.
            part: Which of the cell's devices this array is.

        Returns:
            ``(n_parameters, rows, cols)``: what the law reads as step up and step down (both
            positive), lower bound, upper bound, then the device's own.
        """
        raise NotImplementedError


class Device(Pulsed):
    """A device that has a mean step in each direction, and spreads of its parameters.

    Parameters mean what they mean in aihwkit (Rasch et al., 2021, arXiv 2104.02184), whose names
    are given in brackets, so that published parameters carry over. A spread "between devices" is
    a standard deviation, drawn once per device; draws that would turn a sign are folded back.
    Unlike aihwkit, the cycle noise of the coincidences of up to eight consecutive examples enters
    as one draw of the same variance (see ``tiles/update.py``).

    Attributes:
        step: Mean change per pulse at ``w == 0`` [dw_min].
        device_noise: Spread of ``step`` between devices, relative [dw_min_dtod].
        cycle_noise: Spread of a device's change from pulse to pulse, in steps [dw_min_std].
        asymmetry: Systematic imbalance of up and down; it shrinks the weaker direction, so 0.2
            leaves up steps and makes down steps 0.8 of ``step`` [up_down].
        asymmetry_device_noise: Spread of the imbalance between devices [up_down_dtod].
        upper: Mean upper bound of ``w`` [w_max].
        upper_device_noise: Spread of the upper bound between devices, relative [w_max_dtod].
        lower: Mean lower bound of ``w`` [w_min].
        lower_device_noise: Spread of the lower bound between devices, relative [w_min_dtod].
    """

    step: float = Field(0.001, gt=0, le=1)
    device_noise: float = Field(0.3, ge=0)
    cycle_noise: float = Field(0.3, ge=0)
    asymmetry: float = Field(0.0, gt=-1, lt=1)
    asymmetry_device_noise: float = Field(0.01, ge=0)
    upper: float = Field(0.6, ge=0)
    upper_device_noise: float = Field(0.3, ge=0)
    lower: float = Field(-0.6, le=0)
    lower_device_noise: float = Field(0.3, ge=0)

    @model_validator(mode="after")
    def _bounds_enclose_a_range(self) -> Self:
        if self.upper <= self.lower:
            raise ValueError(f"upper must be above lower ({self.lower}), got {self.upper}")
        return self

    @property
    def granularity(self) -> float:
        """Change per pulse for which trains are scaled, in units of ``w``."""
        return self.step

    def sample(self, shape: tuple[int, int], stream: Stream, part: int) -> NDArray[np.float32]:
        """Step up, step down, lower bound, upper bound; a device appends its own."""

        def normal(draw: int) -> NDArray[np.float32]:
            return stream.normal(Purpose.DEVICE, shape, draw=draw, part=part)

        parameters = np.empty((self.n_parameters, *shape), np.float32)
        common = 1 + self.device_noise * normal(STEP_UP)
        skew = self.asymmetry_device_noise * normal(STEP_DOWN)
        parameters[STEP_UP] = self.step * np.abs(common + skew + min(self.asymmetry, 0))
        parameters[STEP_DOWN] = self.step * np.abs(common - skew - max(self.asymmetry, 0))
        parameters[LOWER] = self.lower * np.abs(1 + self.lower_device_noise * normal(LOWER))
        parameters[UPPER] = self.upper * np.abs(1 + self.upper_device_noise * normal(UPPER))
        return parameters
