"""Fields that all pulsed devices share: noise, stuck devices, references, retention.

Stuck devices, loss of conductance with time, noise of writing, and a reference of its own.
"""

from typing import Self

import numpy as np
from pydantic import Field, model_validator

from crossmesh.common.random import Purpose, Stream
from crossmesh.tiles.analog.devices.base import Array, Device, Retention
from crossmesh.tiles.analog.devices.limits import Level, Noise
from crossmesh.tiles.analog.devices.stuck import Stuck


class CommonDevice(Device):
    """A device with everything that does not depend on how a pulse moves it.

    A device with a reference is read against it: what is seen is ``w - reference``.

    Attributes:
        write_noise: Standard deviation of what a read sees about the state that pulses move,
            drawn again whenever a device is pulsed, in steps [write_noise_std].
        retention: Loss of conductance with time; None: none.
        stuck: Which devices do not move; None: all do.
        symmetry_referenced: Whether the reference stands at the device's symmetry point, where up
            and down steps are equal, so that random pulses lead what is seen to 0
            [subtract_symmetry_point].
        zero_shift_pulses: Pulses, up and down in turn, by which each device finds that point before
            training; 0: it is known exactly.
        reference_mean: Mean offset of the reference from that [reference_mean].
        reference_noise: Spread of the reference between devices, absolute [reference_std].
    """

    write_noise: Noise = 0.0
    retention: Retention | None = None
    stuck: Stuck | None = None
    symmetry_referenced: bool = False
    zero_shift_pulses: int = Field(0, ge=0, le=10**5)
    reference_mean: Level = 0.0
    reference_noise: float = Field(0.0, ge=0, le=1e6)

    @model_validator(mode="after")
    def _has_a_symmetry_point(self) -> Self:
        if self.symmetry_referenced and (why := self.lacks_symmetry):
            raise ValueError(f"symmetry_referenced must be false where {why}, got true")
        return self

    @model_validator(mode="after")
    def _pulses_find_a_point(self) -> Self:
        if self.zero_shift_pulses and not self.symmetry_referenced:
            raise ValueError(
                "zero_shift_pulses must be 0 where the reference does not stand at the symmetry "
                f"point (symmetry_referenced), got {self.zero_shift_pulses}"
            )
        return self

    @property
    def lacks_symmetry(self) -> str:
        """Why up and down steps are equal at no conductance of their own, or nothing."""
        return "devices move one way only" if self.moves_one_way else ""

    @property
    def write_deviation(self) -> float:
        """Write noise in units of ``w``."""
        return self.write_noise * self.granularity

    @property
    def decay(self) -> Retention | None:
        """As the config says."""
        return self.retention

    @property
    def may_be_stuck(self) -> bool:
        """As the config says."""
        return self.stuck is not None

    @property
    def has_references(self) -> bool:
        """As the config says."""
        return bool(self.symmetry_referenced or self.reference_mean or self.reference_noise)

    @property
    def largest_reference(self) -> float:
        """As the config says; symmetry points lie within the bounds."""
        return self.reference_mean + (self.limits[1] if self.symmetry_referenced else 0.0)

    def symmetry_points(self, values: Array) -> Array:
        """``(rows, cols)`` conductance at which up and down steps are equal, within the bounds."""
        raise NotImplementedError

    @property
    def calibration(self) -> int:
        """As the config says."""
        return self.zero_shift_pulses

    def references(self, values: Array, stream: Stream, part: int) -> Array | None:
        """``(rows, cols)`` conductance that each device is read against."""
        if not self.has_references:
            return None
        normal = stream.normal(Purpose.REFERENCE, (values.shape[1], values.shape[2]), part=part)
        reference: Array = (
            np.float32(self.reference_mean) + np.float32(self.reference_noise) * normal
        )
        if self.symmetry_referenced:
            reference = reference + self.symmetry_points(values)
        return reference.astype(np.float32)


def crossing(up: Array, down: Array, slope_up: Array, slope_down: Array) -> Array:
    """Where ``up * (1 + slope_up * w)`` equals ``down * (1 + slope_down * w)``; 0 if nowhere."""
    difference = down * slope_down - up * slope_up
    return np.where(difference > 0, (up - down) / np.where(difference > 0, difference, 1), 0)
