"""Devices that are read against a reference of their own, such as their symmetry point."""

import numpy as np
from pydantic import Field

from tiles.devices.base import Array, StepDevice
from tiles.random import Purpose, Stream


class ReferencedDevice(StepDevice):
    """A stepping device with a reference device beside it: what is seen is ``w - reference``.

    Attributes:
        symmetry_referenced: Whether the reference stands at the device's symmetry point, where up
            and down steps are equal, so that random pulses lead what is seen to 0
            [subtract_symmetry_point].
        reference_mean: Where it stands beside that [reference_mean].
        reference_noise: Its spread between devices, absolute [reference_std].
    """

    symmetry_referenced: bool = False
    reference_mean: float = 0.0
    reference_noise: float = Field(0.0, ge=0)

    @property
    def has_references(self) -> bool:
        """As the config says."""
        return bool(self.symmetry_referenced or self.reference_mean or self.reference_noise)

    def symmetry_points(self, values: Array) -> Array:
        """``(rows, cols)`` conductance at which up and down steps are equal, within the bounds."""
        raise NotImplementedError

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
