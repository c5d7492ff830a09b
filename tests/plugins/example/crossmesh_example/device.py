"""Steps that fall off with the square of the conductance."""

from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field

from crossmesh.kinds import STEP_DOWN, STEP_UP, Functions, StepDevice, register_model

CURVATURE = np.float32(1.0)  # of the step at the bound of a typical device


class CurvedStepConstants(NamedTuple):
    """Numbers that all devices share."""

    cycle_noise: np.float32
    curvature: np.float32


def _step(constants, device, j, w, up):
    size = device[STEP_UP, j] if up else -device[STEP_DOWN, j]
    return size * max(np.float32(0), CURVATURE - constants.curvature * w * w)


def _noise(constants, device, j, w, step, up):
    return constants.cycle_noise * abs(step)


register_model(CurvedStepConstants, Functions(_step, _noise, depends_on_state=True))


class CurvedStep(StepDevice):
    """Change per pulse ``step * max(0, 1 - curvature * w**2)``, with noise relative to it.

    Attributes:
        curvature: How fast the step falls off. Source: assumed.
    """

    source: ClassVar[str] = "model and defaults: assumed"

    kind: Literal["example.curved_step"] = "example.curved_step"
    curvature: float = Field(0.5, ge=0, le=100)

    @property
    def lacks_symmetry(self) -> str:
        """Up and down steps fall off alike."""
        return "up and down steps fall off alike"

    def constants(self) -> Any:
        """The numbers that all devices share."""
        return CurvedStepConstants(np.float32(self.cycle_noise), np.float32(self.curvature))
