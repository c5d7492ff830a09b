"""Ideal device: holds any value and takes any change exactly."""

from typing import ClassVar, Literal

from tiles.frozen import Frozen


class Ideal(Frozen):
    """A number instead of a device: no steps, no bounds, no noise, updated without pulses."""

    source: ClassVar[str] = "definition"

    kind: Literal["ideal"] = "ideal"
