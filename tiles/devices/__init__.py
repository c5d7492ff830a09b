"""Device models by the name a config file uses."""

from pathlib import Path

from tiles.devices.base import Device
from tiles.devices.constant_step import ConstantStep
from tiles.devices.exp_step import ExpStep
from tiles.devices.ideal import Ideal
from tiles.devices.linear_step import LinearStep
from tiles.devices.soft_bounds import SoftBounds

PULSED: tuple[type[Device], ...] = (ConstantStep, LinearStep, SoftBounds, ExpStep)
DEVICES: dict[str, type[Device] | type[Ideal]] = {
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
    "LinearStep",
    "SoftBounds",
]
