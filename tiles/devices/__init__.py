"""Device models by the name a config file uses."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from tiles.devices.base import Device
from tiles.devices.constant_step import ConstantStep
from tiles.devices.exp_step import ExpStep
from tiles.devices.ideal import Ideal
from tiles.devices.jump_table import JumpTable
from tiles.devices.linear_step import LinearStep
from tiles.devices.pcm import Pcm
from tiles.devices.soft_bounds import SoftBounds
from tiles.devices.step import StepDevice

# The kinds that a config can name, as pydantic needs them: a union written out.
PULSED_KINDS = ConstantStep | LinearStep | SoftBounds | ExpStep | JumpTable | Pcm
PulsedDevice = Annotated[PULSED_KINDS, Field(discriminator="kind")]
PULSED: tuple[type[Device], ...] = (ConstantStep, LinearStep, SoftBounds, ExpStep, JumpTable, Pcm)
DEVICES: dict[str, type[Device] | type[Ideal]] = {
    Ideal.model_fields["kind"].default: Ideal,
    **{cls.model_fields["kind"].default: cls for cls in PULSED},
}
PRESETS = Path(__file__).parent / "presets"  # a device file each

__all__ = [
    "DEVICES",
    "PRESETS",
    "PULSED",
    "PULSED_KINDS",
    "ConstantStep",
    "Device",
    "ExpStep",
    "Ideal",
    "JumpTable",
    "LinearStep",
    "Pcm",
    "PulsedDevice",
    "SoftBounds",
    "StepDevice",
]
