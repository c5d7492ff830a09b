"""Ideal device: holds any value and takes any change exactly."""

from typing import ClassVar, Literal

from tiles.devices.without import FEATURES, Without


class Ideal(Without):
    """A number instead of a device: no steps, no bounds, no noise, updated without pulses."""

    source: ClassVar[str] = "definition"
    why_without: ClassVar[dict[str, str]] = dict.fromkeys(
        FEATURES, "an ideal weight is a number, not a device; constant_step has it"
    )

    n_arrays: ClassVar[int] = 2  # as two arrays would hold weights above and below zero
    largest_conductance: ClassVar[float] = 1.0

    kind: Literal["ideal"] = "ideal"
