"""The capacitor of a 3T1C cell: two transistors move its charge, a third conducts as it says.

The state of these devices is the voltage of the capacitor. How the cells of an array differ, and
what of it is known, is said in ``Capacitor``.
"""

from typing import Annotated, Any, ClassVar, NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator

from crossmesh.common.random import Purpose, Stream
from crossmesh.tiles.analog.costs import CAPACITOR, Electrical, over
from crossmesh.tiles.analog.devices.base import Array, Device
from crossmesh.tiles.analog.devices.kernels import (
    LOWER,
    STEP_DOWN,
    STEP_UP,
    UPPER,
    Functions,
    register_model,
)
from crossmesh.tiles.analog.devices.limits import Noise, Seconds, Siemens, Spread, Volts
from crossmesh.tiles.analog.devices.unsupported import OF_3T1C, Without

_SLOPE, _THRESHOLD = range(UPPER + 1, UPPER + 3)  # draws of the read transistors


class CapacitorConstants(NamedTuple):
    """Shared numbers: steps fall off linearly with the voltage, by ``loss`` up to the bound."""

    cycle_noise: np.float32
    middle: np.float32
    loss: np.float32


def _step(constants, device, j, w, up):
    off = constants.loss * (w - constants.middle)
    rise = device[STEP_UP, j] * (np.float32(1) - off)
    fall = -device[STEP_DOWN, j] * (np.float32(1) + off)
    return rise if up else fall


def _noise(constants, device, j, w, step, up):
    return constants.cycle_noise * step


def _slope(constants, device, j, w, step, up):
    step_up, step_down = device[STEP_UP, j], device[STEP_DOWN, j]
    return -constants.loss * (step_up if up else step_down)


register_model(CapacitorConstants, Functions(_step, _noise, depends_on_state=True, slope=_slope))


class Capacitor(Without, Device):
    """A capacitor on the gate of a read transistor, with a pull-up and a pull-down transistor.

    What Ambrogio et al. 2018 (doi 10.1038/s41586-018-0180-5) say of it: it starts at 0.5 V after
    a transfer, leaks towards 0.8 V, both steps depend on the voltage, and read transistor, pull-up
    and pull-down differ from cell to cell (Extended Data Figs 9 and 10). The spreads are not
    public; they stand in from a measured capacitor cell (Li et al., VLSI 2018, as aihwkit's
    ``CapacitorPreset`` has it). The conductance is
    ``slope * (v - threshold)``, with a quadratic onset ``softness_v`` to both sides of the
    threshold; the defaults give 4 uS at 0.5 V and 20 uS at 1 V, the range of NeuroSim's
    ``_3T1C``.

    Attributes:
        initial_v: Voltage after a transfer. Source: Ambrogio et al. 2018, Extended Data Fig. 9.
        asymptote_v: Voltage that the charge leaks towards. Source: the same.
        leak_s: Time constant of the leak, emulated seconds. Source: assumed.
        leak_noise: Spread of ``leak_s`` between cells, relative. Source: Li 2018, lifetime.
        lower_v: Lowest voltage. Source: assumed, ground.
        upper_v: Highest voltage. Source: assumed, supply.
        step_v: Mean change per pulse at the middle of the range. Source: assumed; a thousand
            pulses over the range, the most that the paper's Extended Data Fig. 2 speaks of.
        step_loss: Part of a step that is lost between the middle of the range and the bound that
            it leads to. Source: Li 2018, 5 %.
        size_noise: Spread of the capacitance, which both directions share, relative. Source: Li
            2018, step 10 %.
        pull_up_noise: Spread of the pull-up transistor's current between cells, relative. Source:
            Li 2018; with ``pull_down_noise`` it gives the imbalance of 6 %.
        pull_down_noise: Spread of the pull-down transistor's current between cells, relative.
            Source: Li 2018.
        cycle_noise: Spread of a step from pulse to pulse, relative. Source: Li 2018.
        slope_siemens_per_v: Conductance of the read transistor per volt above its threshold.
            Source: NeuroSim's range over the assumed voltages.
        slope_noise: Spread of that slope between cells, relative. Source: assumed.
        threshold_v: Threshold of the read transistor. Source: as the slope.
        threshold_noise_v: Spread of that threshold between cells. Source: assumed.
        softness_v: Half width of the onset. Source: assumed.
    """

    source: ClassVar[str] = "Ambrogio et al. 2018, doi 10.1038/s41586-018-0180-5, and assumptions"

    why_without: ClassVar[dict[str, str]] = OF_3T1C

    initial_v: Volts = 0.5
    asymptote_v: Volts = 0.8
    leak_s: Seconds | None = 5e-3
    leak_noise: Spread = 0.3
    lower_v: Volts = 0.0
    upper_v: Volts = 1.0
    step_v: float = Field(1e-3, ge=1e-7, le=1e3)
    step_loss: float = Field(0.05, ge=0, lt=1)
    size_noise: Spread = 0.1
    pull_up_noise: Spread = 0.085
    pull_down_noise: Spread = 0.085
    cycle_noise: Noise = 0.3
    slope_siemens_per_v: Siemens = 32e-6
    slope_noise: Spread = 0.05
    threshold_v: Volts = 0.375
    threshold_noise_v: float = Field(0.01, ge=0, le=1e3)
    softness_v: float = Field(0.05, ge=1e-6, le=1e3)
    electrical: Annotated[Electrical, over(CAPACITOR)] = CAPACITOR

    @model_validator(mode="after")
    def _voltages_are_in_order(self) -> Self:
        if not self.lower_v < self.initial_v < self.upper_v:
            raise ValueError(
                f"initial_v must lie between lower_v ({self.lower_v}) and upper_v "
                f"({self.upper_v}), got {self.initial_v}"
            )
        return self

    @property
    def granularity(self) -> float:
        """Mean step, in volts."""
        return self.step_v

    @property
    def has_cycle_noise(self) -> bool:
        """As the config says."""
        return self.cycle_noise > 0

    @property
    def limits(self) -> tuple[float, float]:
        """Lowest and highest voltage."""
        return self.lower_v, self.upper_v

    def constants(self) -> Any:
        """The shared numbers."""
        middle, half = (self.lower_v + self.upper_v) / 2, (self.upper_v - self.lower_v) / 2
        return CapacitorConstants(
            np.float32(self.cycle_noise), np.float32(middle), np.float32(self.step_loss / half)
        )

    def sample(self, shape: tuple[int, int], stream: Stream, part: int) -> Array:
        """Steps of each cell, in volts."""

        def spread(deviation: float, draw: int) -> Array:
            normal = stream.normal(Purpose.DEVICE, shape, draw=draw, part=part)
            return np.abs(1 + np.float32(deviation) * normal)

        parameters = np.empty((self.n_parameters, *shape), np.float32)
        size = self.step_v / np.maximum(spread(self.size_noise, LOWER), 1e-3)
        parameters[STEP_UP] = size * spread(self.pull_up_noise, STEP_UP)
        parameters[STEP_DOWN] = size * spread(self.pull_down_noise, STEP_DOWN)
        parameters[LOWER], parameters[UPPER] = self.limits
        return parameters

    def transistors(self, shape: tuple[int, int], stream: Stream, part: int) -> tuple[Array, Array]:
        """Slope, in siemens per volt, and threshold, in volts, of each read transistor."""
        slope, threshold = (
            stream.normal(Purpose.DEVICE, shape, draw=draw, part=part)
            for draw in (_SLOPE, _THRESHOLD)
        )
        return (
            np.float32(self.slope_siemens_per_v) * np.abs(1 + np.float32(self.slope_noise) * slope),
            np.float32(self.threshold_v) + np.float32(self.threshold_noise_v) * threshold,
        )

    def kept(self, duration_s: float, normal: Array) -> Array:
        """Part of the distance to the asymptote that is left after a time.

        Args:
            duration_s: The time, in emulated seconds.
            normal: Standard normal number of each cell, for the spread of its time constant.
        """
        if self.leak_s is None:
            return np.ones_like(normal)
        spread = np.maximum(np.abs(1 + np.float32(self.leak_noise) * normal), 1e-3)
        return np.exp(-np.float32(duration_s / self.leak_s) / spread)
