"""Phase-change memories that are written by a RESET and a graded SET, and then left alone."""

from collections.abc import Callable
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from crossmesh.tiles.analog import phase_change
from crossmesh.tiles.analog.array import Array
from crossmesh.tiles.analog.costs import PHASE_CHANGE, CellDevices, Electrical, over
from crossmesh.tiles.analog.devices.limits import Noise, Seconds, Siemens, SiemensOrNone
from crossmesh.tiles.analog.devices.unsupported import OF_3T1C, Without

_SCALE = np.float32(1 / phase_change.SCALE_SIEMENS)


class PcmMemory(Without):
    """Conductances that are written now and then, scatter when written, and drift until then.

    A write is a RESET and, for a conductance above that, one graded SET whose length is chosen
    for the target (Ambrogio et al. 2018, Extended Data Fig. 7). How far the result scatters,
    drifts and fluctuates is taken from models of similar memories, since the paper's own numbers
    are not public.

    Attributes:
        range_siemens: Largest conductance that can be aimed at; targets above it are lost.
            Source: Ambrogio et al. 2018, Extended Data Fig. 7.
        write_noise: Factor of the scatter of a write, whose deviation in microsiemens is
            0.26348 + 1.965 g - 1.1731 g**2 with g relative to 25 uS. Source: Joshi et al. 2020
            (doi 10.1038/s41467-020-16108-9) as in aihwkit; 0 switches it off.
        lost_siemens: Deviation of a write whose target is beyond the range. Source: assumed.
        attempts: Writes at most for one target. Source: assumed, 1: the capacitor corrects.
        tolerance_siemens: Error from which a write is repeated, if attempts are left.
        reset_siemens: Conductance after a RESET. Source: Nandakumar et al. 2018
            (doi 10.1063/1.5042408).
        reset_noise_siemens: Spread of that conductance from RESET to RESET. Source: the same.
        drift: Factor of the drift exponents, whose mean and spread over devices depend on the
            conductance. Source: Joshi et al. 2020 as in aihwkit; 0 switches drift off.
        drift_start_s: Time after a write from which drift is counted. Source: the same, 20 s; far
            above the emulated time between two transfers, so drift then hardly shows.
        read_noise_siemens: Deviation from read to read at conductance 0. Source: Nandakumar 2018.
        read_noise_slope: Change of that deviation per change of conductance. Source: the same.
        electrical: What each is at its terminals; energy and area of a chip follow from it.
    """

    why_without: ClassVar[dict[str, str]] = OF_3T1C

    range_siemens: Siemens = 20e-6
    write_noise: Noise = 1.0
    lost_siemens: SiemensOrNone = 2e-6
    attempts: int = Field(1, ge=1, le=8)
    tolerance_siemens: Siemens = 0.5e-6
    reset_siemens: SiemensOrNone = 0.1e-6
    reset_noise_siemens: SiemensOrNone = 0.01e-6
    drift: float = Field(1.0, ge=0, le=1e3)
    drift_start_s: Seconds = 20.0
    read_noise_siemens: SiemensOrNone = 0.13e-6
    read_noise_slope: Noise = 0.03
    electrical: Annotated[Electrical, over(PHASE_CHANGE)] = PHASE_CHANGE

    def at_crosspoint(self) -> CellDevices:
        """The pair of a cell, which transfers write."""
        return CellDevices(self.electrical, 2, is_pulsed=False, is_written=True)

    @property
    def fluctuates(self) -> bool:
        """Whether conductances differ from read to read."""
        return bool(self.read_noise_siemens or self.read_noise_slope)

    def written(self, target: Array, normal: Callable[[int], Array]) -> Array:
        """Conductances after writing, in siemens.

        Args:
            target: ``(rows, cols)`` in siemens; 0 or less: only a RESET.
            normal: Standard normal numbers of that shape, by the number of the draw.
        """
        reset = np.float32(self.reset_siemens)
        after_reset = reset + np.float32(self.reset_noise_siemens) * normal(0)
        result = np.maximum(after_reset, 0)
        within = np.minimum(target, np.float32(self.range_siemens))
        deviation = self._deviation(target)
        open_ = target > reset
        for attempt in range(self.attempts):
            tried = np.maximum(within + deviation * normal(1 + attempt), 0)
            result = np.where(open_, tried, result)
            open_ = open_ & (np.abs(result - within) > np.float32(self.tolerance_siemens))
        return result

    def _deviation(self, target: Array) -> Array:
        within = phase_change.scatter(np.clip(target, 0, self.range_siemens) * _SCALE)
        lost = np.float32(self.lost_siemens)
        deviation = np.where(target > np.float32(self.range_siemens), lost, within)
        return np.float32(self.write_noise) * deviation

    def exponents(self, conductance: Array, normal: Array) -> Array:
        """Drift exponent of each device.

        Args:
            conductance: As written, in siemens.
            normal: A standard normal number for each device.
        """
        mean, spread = phase_change.exponents(conductance * _SCALE)
        return (self.drift * np.abs(mean + spread * normal)).astype(np.float32)

    def left(self, exponents: Array, age_s: NDArray[np.float64]) -> Array:
        """Part of the conductance that is left after a time: ``((t + start) / start) ** -nu``."""
        return np.exp(-exponents * np.log1p(age_s / self.drift_start_s).astype(np.float32))
