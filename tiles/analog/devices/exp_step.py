"""Exponential-step device: the step falls off exponentially towards the bound."""

import math
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from crossmesh.common.compiled import inlined
from crossmesh.tiles.analog.devices.base import Array
from crossmesh.tiles.analog.devices.kernels import (
    LOWER,
    PREPARED_UP,
    STEP_DOWN,
    STEP_UP,
    UPPER,
    Functions,
    register_model,
)
from crossmesh.tiles.analog.devices.limits import Level, Noise
from crossmesh.tiles.analog.devices.step import StepDevice

# 2**x on [-1/2, 1/2], least squares, relative error 7e-9.
_E1, _E2, _E3, _E4, _E5, _E6 = (
    np.float32(c)
    for c in (0.6931472, 0.2402265, 0.055503406, 0.00961804, 0.001339531, 0.00015465343)
)
_LOG2_E = np.float32(math.log2(math.e))
_ONE = np.float32(1)
_HALVINGS = 30  # after which a range is a point


@inlined
def exponential(x):
    """``exp(x)`` for ``abs(x) < 80`` in float32, in a form that compilers turn into vectors."""
    x = min(max(x, np.float32(-80)), np.float32(80)) * _LOG2_E
    whole = np.floor(x + np.float32(0.5))
    r = x - whole
    power = _ONE + r * (_E1 + r * (_E2 + r * (_E3 + r * (_E4 + r * (_E5 + r * _E6)))))
    biased = np.int32(np.int32(whole) + np.int32(127))
    scale = np.int32(biased << np.int32(23)).view(np.float32)
    return power * scale


def _power(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.exp(np.clip(x, -80, 80))  # as the model has it


class ExpStepConstants(NamedTuple):
    """Shared numbers of an exponential-step array, as in ``ExpStep``."""

    cycle_noise: np.float32
    a_up: np.float32
    a_down: np.float32
    gamma_up: np.float32
    gamma_down: np.float32
    a: np.float32
    b: np.float32
    noise_offset: np.float32
    noise_slope: np.float32


def _prepare(constants, device, j, up):
    span = max(device[UPPER, j] - device[LOWER, j], np.float32(1e-6))  # 0 if it is stuck
    return np.float32(2) * constants.a / span


def _step(constants, device, j, w, up):
    step_up, step_down = device[STEP_UP, j], device[STEP_DOWN, j]
    z = device[PREPARED_UP, j] * w + constants.b
    amplitude = constants.a_up if up else constants.a_down
    exponent = constants.gamma_up if up else -constants.gamma_down
    factor = max(np.float32(0), _ONE - amplitude * exponential(exponent * z))
    return factor * (step_up if up else -step_down)


def _slope(constants, device, j, w, step, up):
    # What saturation takes from a step is an exponential, and so is its derivative.
    step_up, step_down = device[STEP_UP, j], device[STEP_DOWN, j]
    unsaturated = step_up if up else -step_down
    exponent = constants.gamma_up if up else -constants.gamma_down
    slope = exponent * device[PREPARED_UP, j] * (step - unsaturated)
    return slope if step != np.float32(0) else np.float32(0)


def _noise(constants, device, j, w, step, up):
    # `|`, not `or`: a branch keeps the loop from running as vectors, and costs 18 times as much.
    moves = (step > np.float32(0)) | (device[STEP_DOWN, j] > np.float32(0))
    noise = constants.cycle_noise * (
        abs(step) + constants.noise_offset + constants.noise_slope * abs(w)
    )
    return noise if moves else np.float32(0)


register_model(
    ExpStepConstants,
    Functions(_step, _noise, depends_on_state=True, slope=_slope, prepare=_prepare),
)


class ExpStep(StepDevice):
    """Change per pulse ``step * max(0, 1 - A * exp(+-gamma * z))``, with noise.

    ``z = 2 * a * w / (upper - lower) + b``, plus for up and minus for down steps. The model of
    aihwkit's ``ExpStepDevice``, fitted there to ReRAM of Gong et al., Nat. Commun. 9, 2102
    (2018); the defaults are its defaults.

    Attributes:
        a_up: Amplitude A of up steps [A_up].
        a_down: Amplitude A of down steps [A_down].
        gamma_up: Exponent of up steps [gamma_up].
        gamma_down: Exponent of down steps [gamma_down].
        a: Slope of z [a].
        b: Offset of z [b].
        noise_offset: Added to the step that cycle noise is relative to [dw_min_std_add].
        noise_slope: Added to that step per unit of ``abs(w)`` [dw_min_std_slope].
    """

    source: ClassVar[str] = "model and defaults: aihwkit ExpStepDevice, arXiv 2104.02184"

    kind: Literal["exp_step"] = "exp_step"
    a_up: Level = 0.00081
    a_down: Level = 0.36833
    gamma_up: float = Field(12.44625, ge=0, le=1e3)
    gamma_down: float = Field(12.78785, ge=0, le=1e3)
    a: float = Field(0.244, ge=-1e3, le=1e3)
    b: float = Field(0.2425, ge=-1e3, le=1e3)
    noise_offset: Noise = 0.0
    noise_slope: Noise = 0.0

    @model_validator(mode="after")
    def _steps_do_not_vanish(self) -> Self:
        if self._down_factor == 0:
            raise ValueError(
                "a_down * exp(-gamma_down * b) must be below 1, or down steps vanish at w == 0, "
                f"got a_down={self.a_down}, gamma_down={self.gamma_down}, b={self.b}"
            )
        return self

    @property
    def granularity(self) -> float:
        """The down step at ``w == 0``, which is what aihwkit scales trains for."""
        return self.step * (1 - max(self.asymmetry, 0)) * self._down_factor

    @property
    def _down_factor(self) -> float:
        exponent = min(max(-self.gamma_down * self.b, -80.0), 80.0)  # as the model has it
        return max(0.0, 1 - self.a_down * math.exp(exponent))

    def symmetry_points(self, values: Array) -> Array:
        """By halving the range; where one direction is stronger throughout, the bound it leads to.

        The step at a point is that of the model, in which up steps fall and down steps rise with
        ``w`` if both amplitudes and ``a`` are positive.
        """
        up, down, low, high = (row.astype(np.float64) for row in values[:4])
        span = np.maximum(high - low, 1e-6)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            z = 2 * self.a * middle / span + self.b
            rise = up * np.maximum(0, 1 - self.a_up * _power(self.gamma_up * z))
            fall = down * np.maximum(0, 1 - self.a_down * _power(-self.gamma_down * z))
            low, high = np.where(rise > fall, middle, low), np.where(rise > fall, high, middle)
        return ((low + high) / 2).astype(np.float32)

    def constants(self) -> Any:
        """The shared numbers."""
        return ExpStepConstants(
            *(np.float32(getattr(self, name)) for name in ExpStepConstants._fields)
        )
