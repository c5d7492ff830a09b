"""Constant-step device: every pulse moves the conductance alike, between hard bounds."""

from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

from crossmesh.tiles.analog.devices.kernels import STEP_DOWN, STEP_UP, Functions, register_model
from crossmesh.tiles.analog.devices.step import StepDevice


class ConstantStepConstants(NamedTuple):
    """Shared numbers of a constant-step array."""

    cycle_noise: np.float32


def _step(constants, device, j, w, up):
    step_up, step_down = device[STEP_UP, j], device[STEP_DOWN, j]
    return step_up if up else -step_down


def _noise(constants, device, j, w, step, up):
    return constants.cycle_noise * step


def _slope(constants, device, j, w, step, up):
    return np.float32(0)


register_model(
    ConstantStepConstants, Functions(_step, _noise, depends_on_state=False, slope=_slope)
)


class ConstantStep(StepDevice):
    """Steps of one size wherever the device stands.

    The change is ``step * (1 + cycle_noise * normal)`` per pulse, clipped to the device's bounds.
    Defaults are those of Gokmen & Vlasov (2016), doi 10.3389/fnins.2016.00333, as aihwkit's
    ``ConstantStepDevice`` has them: 1,200 states, 30 % spread of everything.
    """

    source: ClassVar[str] = "Gokmen & Vlasov 2016, doi 10.3389/fnins.2016.00333"

    kind: Literal["constant_step"] = "constant_step"

    @property
    def lacks_symmetry(self) -> str:
        """Steps that do not depend on ``w`` are equal everywhere or nowhere."""
        return "steps are the same at every conductance"

    def constants(self) -> Any:
        """The shared numbers."""
        return ConstantStepConstants(np.float32(self.cycle_noise))
