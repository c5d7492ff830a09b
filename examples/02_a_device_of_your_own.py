"""A device whose steps fall off with the square of its conductance, beside one that ships.

A device is a class with parameters, and two functions of one device that numba compiles: its mean
change by a pulse, and the noise of that. `crossmesh.testing.DeviceTests` holds it to the rules of
all devices; an entry point `crossmesh.devices` lets configs name it.
"""

from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

from crossmesh import devices, load_config, train
from crossmesh.kinds import STEP_DOWN, STEP_UP, Functions, StepDevice, register_model


class CurvedConstants(NamedTuple):
    """What all devices of an array share."""

    cycle_noise: np.float32
    curvature: np.float32


def step(constants, device, j, w, up):
    """Mean change of device j by one pulse, at conductance w."""
    size = device[STEP_UP, j] if up else -device[STEP_DOWN, j]
    return size * max(np.float32(0), np.float32(1) - constants.curvature * w * w)


def noise(constants, device, j, w, step, up):
    """Standard deviation of that change."""
    return constants.cycle_noise * abs(step)


register_model(CurvedConstants, Functions(step, noise, depends_on_state=True))


class Curved(StepDevice):
    """Change per pulse: step * max(0, 1 - curvature * w**2)."""

    source: ClassVar[str] = "assumed"
    kind: Literal["curved"] = "curved"
    curvature: float = 1.0

    def constants(self) -> Any:
        """What all devices of an array share."""
        return CurvedConstants(np.float32(self.cycle_noise), np.float32(self.curvature))


fields = ["engine.kind=local", "training.epochs=3", "training.baseline=false"]
config = load_config("digits", fields)
for cell in (devices["soft_bounds"](step=0.002), Curved(step=0.002)):
    tile = config.tile.model_copy(update={"cell": cell})
    result = train(config.model_copy(update={"tile": tile}), False)
    print(f"{cell.kind}: {100 * result.test_accuracy:.1f} % right")

# soft_bounds: 73.3 % right
# curved: 93.3 % right
