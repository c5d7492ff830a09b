"""Phase-change memory under partial SET pulses, with the memory of its pulses since the RESET."""

import math
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator

from crossmesh.common.random import Purpose, Stream
from crossmesh.tiles.analog.costs import PHASE_CHANGE, Electrical, over
from crossmesh.tiles.analog.devices.base import Array
from crossmesh.tiles.analog.devices.common import CommonDevice
from crossmesh.tiles.analog.devices.kernels import (
    HISTORY,
    LOWER,
    STEP_DOWN,
    STEP_UP,
    UPPER,
    Functions,
    register_model,
)
from crossmesh.tiles.analog.devices.limits import Level, Noise, Siemens, SiemensOrNone, Spread


class PcmConstants(NamedTuple):
    """Shared numbers of a phase-change array, conductances relative to full scale.

    The mean change is relative to a device's own step; ``quiet`` is 0 where there is no noise.
    """

    slope: np.float32
    memory: np.float32
    noise_offset: np.float32
    noise_slope: np.float32
    noise_memory: np.float32
    forgetting: np.float32


def _step(constants, device, j, w, up):
    rise = device[STEP_UP, j] * (
        np.float32(1)
        + constants.slope * w
        + constants.memory * device[HISTORY, j] * constants.forgetting
    )
    return max(rise, np.float32(0)) if up else np.float32(0)


def _noise(constants, device, j, w, step, up):
    memory = device[HISTORY, j] * constants.forgetting
    noise = constants.noise_offset + constants.noise_slope * w + constants.noise_memory * memory
    return noise if step > np.float32(0) else np.float32(0)


def _remember(constants, device, j, up):
    return device[HISTORY, j] * constants.forgetting if up else device[HISTORY, j]


register_model(PcmConstants, Functions(_step, _noise, depends_on_state=True, remember=_remember))


class Pcm(CommonDevice):
    """Conductance rises by a noisy step at every SET pulse; only a RESET takes it down.

    Mean and deviation of a step depend on the conductance and on a memory P of the pulses since
    the RESET: P is 1 after a RESET and is multiplied by ``exp(-1 / memory_pulses)`` by each pulse;
    ``mean = mean_slope * G + mean_offset + mean_memory * P``, and likewise for the deviation. The
    normalised conductance is relative to ``full_scale_siemens``. Nandakumar et al., J. Appl.
    Phys. 124, 152135 (2018), doi 10.1063/1.5042408, with the coefficients of its published
    implementations. Its drift is measured from 38.6 s on, far beyond the emulated time of a
    training, and is not applied while training.

    Attributes:
        full_scale_siemens: Largest conductance.
        floor_siemens: Smallest conductance.
        mean_offset_siemens: Mean step at conductance 0, long after a RESET.
        mean_slope: Change of the mean step per change of conductance.
        mean_memory_siemens: Mean step more, just after a RESET.
        noise_offset_siemens: Deviation of a step at conductance 0, long after a RESET.
        noise_slope: Change of that deviation per change of conductance.
        noise_memory_siemens: Deviation more, just after a RESET.
        cycle_noise: Factor of all deviations; 0 switches them off.
        memory_pulses: Pulses within which the memory of the RESET fades.
        device_noise: Spread of the mean step between devices, relative. Source: assumed; the
            published deviation contains it.
        read_noise_siemens: Deviation from read to read at conductance 0.
        read_noise_slope: Change of that deviation per change of conductance.
        write_noise: As of other devices, in mean steps at conductance 0, long after a RESET.
        retention: As of other devices, towards ``floor_siemens``.
    """

    source: ClassVar[str] = "Nandakumar et al. 2018, doi 10.1063/1.5042408"
    has_history: ClassVar[bool] = True

    kind: Literal["pcm"] = "pcm"
    full_scale_siemens: Siemens = 12e-6
    floor_siemens: SiemensOrNone = 0.1e-6
    mean_offset_siemens: Siemens = 0.88e-6
    mean_slope: Level = -0.084
    mean_memory_siemens: SiemensOrNone = 1.40e-6
    noise_offset_siemens: SiemensOrNone = 0.26e-6
    noise_slope: Noise = 0.091
    noise_memory_siemens: SiemensOrNone = 2.15e-6
    cycle_noise: Noise = 1.0
    memory_pulses: float = Field(2.6, ge=1e-3, le=1e9)
    device_noise: Spread = 0.0
    read_noise_siemens: SiemensOrNone = 0.13e-6
    read_noise_slope: Noise = 0.03
    electrical: Annotated[Electrical, over(PHASE_CHANGE)] = PHASE_CHANGE

    @model_validator(mode="after")
    def _bounds_enclose_a_range(self) -> Self:
        if self.floor_siemens >= self.full_scale_siemens:
            raise ValueError(
                f"floor_siemens must be below full_scale_siemens ({self.full_scale_siemens}), "
                f"got {self.floor_siemens}"
            )
        return self

    @property
    def granularity(self) -> float:
        """Mean step at conductance 0, long after a RESET."""
        return self.mean_offset_siemens / self.full_scale_siemens

    @property
    def limits(self) -> tuple[float, float]:
        """From the floor to full scale."""
        return self.floor_siemens / self.full_scale_siemens, 1.0

    @property
    def moves_one_way(self) -> bool:
        """A SET pulse only adds conductance."""
        return True

    @property
    def fresh_history(self) -> float:
        """P after a RESET."""
        return 1.0

    @property
    def read_noise(self) -> tuple[float, float]:
        """Deviation from read to read, relative to full scale."""
        return self.read_noise_siemens / self.full_scale_siemens, self.read_noise_slope

    def constants(self) -> Any:
        """The shared numbers."""
        scale, noise = self.full_scale_siemens, self.cycle_noise
        return PcmConstants(
            slope=np.float32(self.mean_slope * scale / self.mean_offset_siemens),
            memory=np.float32(self.mean_memory_siemens / self.mean_offset_siemens),
            noise_offset=np.float32(noise * self.noise_offset_siemens / scale),
            noise_slope=np.float32(noise * self.noise_slope),
            noise_memory=np.float32(noise * self.noise_memory_siemens / scale),
            forgetting=np.float32(math.exp(-1 / self.memory_pulses)),
        )

    def sample(self, shape: tuple[int, int], stream: Stream, part: int) -> Array:
        """Steps of each device; the bounds are shared."""
        parameters = np.zeros((self.n_parameters, *shape), np.float32)
        normal = stream.normal(Purpose.DEVICE, shape, draw=STEP_UP, part=part)
        parameters[STEP_UP] = self.granularity * np.abs(1 + self.device_noise * normal)
        parameters[STEP_DOWN] = 0
        parameters[LOWER], parameters[UPPER] = self.limits
        if self.stuck:
            self.stuck.hold(parameters, stream, part)
        return parameters

    def history_at(self, state: Array) -> Array:
        """P after the pulses that lead from a RESET to ``state``.

        Their number: 0.027 G**3 - 0.15 G**2 + 0.81 G with G in microsiemens, as published.
        """
        g = state * np.float32(self.full_scale_siemens * 1e6)
        pulses = np.maximum(((0.027 * g - 0.15) * g + 0.81) * g, 0)
        return np.exp(-pulses / np.float32(self.memory_pulses)).astype(np.float32)
