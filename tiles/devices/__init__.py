"""Device models by the name a config file uses."""

from pathlib import Path

from tiles.devices.base import Device, Pulsed
from tiles.devices.constant_step import ConstantStep
from tiles.devices.exp_step import ExpStep
from tiles.devices.ideal import Ideal
from tiles.devices.jump_table import JumpTable
from tiles.devices.linear_step import LinearStep
from tiles.devices.soft_bounds import SoftBounds

PULSED: tuple[type[Pulsed], ...] = (ConstantStep, LinearStep, SoftBounds, ExpStep, JumpTable)
DEVICES: dict[str, type[Pulsed] | type[Ideal]] = {
    Ideal.model_fields["kind"].default: Ideal,
    **{cls.model_fields["kind"].default: cls for cls in PULSED},
}
PRESETS = Path(__file__).parent / "presets"  # a device file each

__all__ = [
    "DEVICES",
    "PRESETS",
    "PULSED",
    "ConstantStep",
    "Device",
    "ExpStep",
    "Ideal",
    "JumpTable",
    "LinearStep",
    "Pulsed",
    "SoftBounds",
]
