"""Ideal device: holds any value and takes any change exactly."""

from typing import ClassVar, Literal

from tiles.devices.without import FEATURES, Without


class Ideal(Without):
    """A number instead of a device: no steps, no bounds, no noise, updated without pulses."""

    source: ClassVar[str] = "definition"
    why_without: ClassVar[dict[str, str]] = dict.fromkeys(
        FEATURES, "an ideal weight is a number, not a device; constant_step has it"
    )

    kind: Literal["ideal"] = "ideal"
