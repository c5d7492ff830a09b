"""Soft-bounds device: a pulse moves the conductance less as it nears its bound."""

from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

from crossmesh.tiles.analog.devices.base import Array
from crossmesh.tiles.analog.devices.common import crossing
from crossmesh.tiles.analog.devices.kernels import (
    LOWER,
    PREPARED_DOWN,
    PREPARED_UP,
    STEP_DOWN,
    STEP_UP,
    UPPER,
    Functions,
    noise_of_step,
    register_model,
)
from crossmesh.tiles.analog.devices.step import StepDevice


class SoftBoundsConstants(NamedTuple):
    """Shared numbers of a soft-bounds array; ``multiplicative`` is 1 or 0."""

    cycle_noise: np.float32
    multiplicative: np.float32


def _prepare(constants, device, j, up):
    upper, lower = device[UPPER, j], device[LOWER, j]
    bound = upper if up else lower
    return np.float32(1) / bound if bound != np.float32(0) else np.float32(0)


def _step(constants, device, j, w, up):
    step_up, step_down = device[STEP_UP, j], device[STEP_DOWN, j]
    to_upper, to_lower = device[PREPARED_UP, j], device[PREPARED_DOWN, j]
    at_zero = step_up if up else -step_down
    over_bound = to_upper if up else to_lower
    step = at_zero * (np.float32(1) - w * over_bound)
    return step if over_bound != np.float32(0) else np.float32(0)


def _slope(constants, device, j, w, step, up):
    rise = -device[STEP_UP, j] * device[PREPARED_UP, j]
    fall = device[STEP_DOWN, j] * device[PREPARED_DOWN, j]
    return rise if up else fall


register_model(
    SoftBoundsConstants,
    Functions(_step, noise_of_step, depends_on_state=True, slope=_slope, prepare=_prepare),
)


class SoftBounds(StepDevice):
    """Change per pulse ``step * (1 - w / bound)``, with noise, ``bound`` the device's own.

    The model of aihwkit's ``SoftBoundsDevice``; a device saturates exponentially, and a pair of up
    and down pulses pulls it towards the point where both steps are equal. A bound of 0 makes the
    steps towards it 0, so such a device moves one way only.

    Attributes:
        multiplicative_noise: Whether cycle noise is relative to the present step, or to the step
            at ``w == 0`` [mult_noise].
    """

    source: ClassVar[str] = (
        "model: aihwkit SoftBoundsDevice, arXiv 2104.02184; defaults: its defaults"
    )

    kind: Literal["soft_bounds"] = "soft_bounds"
    multiplicative_noise: bool = True

    def constants(self) -> Any:
        """The shared numbers."""
        return SoftBoundsConstants(
            np.float32(self.cycle_noise), np.float32(self.multiplicative_noise)
        )

    def symmetry_points(self, values: Array) -> Array:
        """From each device's own steps and bounds."""
        up, down, lower, upper = values[:4]
        with np.errstate(divide="ignore"):
            return crossing(up, down, -1 / upper, -1 / lower)
