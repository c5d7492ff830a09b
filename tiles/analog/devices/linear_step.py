"""Linear-step device: the step shrinks linearly on the way to the bound."""

from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field

from crossmesh.common.random import Purpose, Stream
from crossmesh.tiles.analog.devices.base import Array
from crossmesh.tiles.analog.devices.common import crossing
from crossmesh.tiles.analog.devices.kernels import (
    LOWER,
    STEP_DOWN,
    STEP_UP,
    UPPER,
    Functions,
    noise_of_step,
    register_model,
)
from crossmesh.tiles.analog.devices.limits import Spread
from crossmesh.tiles.analog.devices.step import StepDevice

SLOPE_UP, SLOPE_DOWN = UPPER + 1, UPPER + 2


class LinearStepConstants(NamedTuple):
    """Shared numbers of a linear-step array; ``multiplicative`` is 1 or 0."""

    cycle_noise: np.float32
    multiplicative: np.float32


def _step(constants, device, j, w, up):
    step_up, step_down = device[STEP_UP, j], device[STEP_DOWN, j]
    slope_up, slope_down = device[SLOPE_UP, j], device[SLOPE_DOWN, j]
    rise = step_up * (np.float32(1) + slope_up * w)
    fall = -step_down * (np.float32(1) + slope_down * w)
    return rise if up else fall


def _slope(constants, device, j, w, step, up):
    step_up, step_down = device[STEP_UP, j], device[STEP_DOWN, j]
    slope_up, slope_down = device[SLOPE_UP, j], device[SLOPE_DOWN, j]
    return (step_up if up else -step_down) * (slope_up if up else slope_down)


register_model(
    LinearStepConstants, Functions(_step, noise_of_step, depends_on_state=True, slope=_slope)
)


class LinearStep(StepDevice):
    """Change per pulse ``step * (1 - gamma * w / bound)``, with noise.

    The model of aihwkit's ``LinearStepDevice`` (capacitor of Li et al., VLSI 2018; ECRAM of Tang et
    al., IEDM 2018). ``bound`` is the mean bound of the direction; if it is 0, the
    direction's steps do not depend on ``w``.

    Attributes:
        gamma_up: Relative loss of up steps between 0 and the upper bound [gamma_up].
        gamma_down: Relative loss of down steps between 0 and the lower bound [gamma_down].
        gamma_device_noise: Spread of both between devices, absolute [gamma_up_dtod].
        multiplicative_noise: Whether cycle noise is relative to the present step, or to the step
            at ``w == 0`` [mult_noise].
    """

    n_parameters: ClassVar[int] = 6
    source: ClassVar[str] = (
        "model: aihwkit LinearStepDevice, arXiv 2104.02184; defaults: its defaults"
    )

    kind: Literal["linear_step"] = "linear_step"
    gamma_up: float = Field(0.0, ge=0, le=1e3)
    gamma_down: float = Field(0.0, ge=0, le=1e3)
    gamma_device_noise: Spread = 0.05
    multiplicative_noise: bool = True

    def constants(self) -> Any:
        """The shared numbers."""
        return LinearStepConstants(
            np.float32(self.cycle_noise), np.float32(self.multiplicative_noise)
        )

    def sample(self, shape: tuple[int, int], stream: Stream, part: int) -> Array:
        """Common parameters, then the change of the step per unit of ``w``, up and down."""
        parameters = super().sample(shape, stream, part)
        for row, gamma, bound in (
            (SLOPE_UP, self.gamma_up, self.upper),
            (SLOPE_DOWN, self.gamma_down, self.lower),
        ):
            normal = stream.normal(Purpose.DEVICE, shape, draw=row, part=part)
            slope = np.abs(gamma + self.gamma_device_noise * normal)
            parameters[row] = -slope / bound if bound else 0
        return parameters

    def symmetry_points(self, values: Array) -> Array:
        """From each device's own steps and slopes, held within its bounds."""
        points = crossing(values[STEP_UP], values[STEP_DOWN], values[SLOPE_UP], values[SLOPE_DOWN])
        return np.clip(points, values[LOWER], values[UPPER])
