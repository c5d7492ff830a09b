"""Device models by the name a config file uses."""

from pathlib import Path
from typing import Annotated

from crossmesh.common.registry import Kinds, Registry, kind_of
from crossmesh.tiles.analog.devices.base import Device
from crossmesh.tiles.analog.devices.constant_step import ConstantStep
from crossmesh.tiles.analog.devices.exp_step import ExpStep
from crossmesh.tiles.analog.devices.jump_table import JumpTable
from crossmesh.tiles.analog.devices.linear_step import LinearStep
from crossmesh.tiles.analog.devices.pcm import Pcm
from crossmesh.tiles.analog.devices.soft_bounds import SoftBounds
from crossmesh.tiles.analog.devices.step import StepDevice

_OWN: tuple[type[Device], ...] = (ConstantStep, LinearStep, SoftBounds, ExpStep, JumpTable, Pcm)


def _check(kind: type[Device]) -> None:
    if not (isinstance(kind, type) and issubclass(kind, Device)):
        raise TypeError("must be a subclass of crossmesh.tiles.analog.devices.Device")


DEVICES = Registry("crossmesh.devices", {kind_of(cls): cls for cls in _OWN}, _check)
AnyDevice = Annotated[Device, Kinds(Device, DEVICES)]
PRESETS = Path(__file__).parent / "shipped"  # a device file each

__all__ = [
    "DEVICES",
    "PRESETS",
    "AnyDevice",
    "ConstantStep",
    "Device",
    "ExpStep",
    "JumpTable",
    "LinearStep",
    "Pcm",
    "SoftBounds",
    "StepDevice",
]
