"""Device models by the name a config file uses: every class in a module here that has a kind."""

from pathlib import Path
from typing import Annotated

from crossmesh.common.discovery import classes_in
from crossmesh.common.registry import Kinds, Registry, kind_of
from crossmesh.tiles.analog.devices.base import Device
from crossmesh.tiles.analog.devices.constant_step import ConstantStep
from crossmesh.tiles.analog.devices.exp_step import ExpStep
from crossmesh.tiles.analog.devices.jump_table import JumpTable
from crossmesh.tiles.analog.devices.linear_step import LinearStep
from crossmesh.tiles.analog.devices.pcm import Pcm
from crossmesh.tiles.analog.devices.soft_bounds import SoftBounds
from crossmesh.tiles.analog.devices.step import StepDevice


def _check(kind: type[Device]) -> None:
    if not (isinstance(kind, type) and issubclass(kind, Device)):
        raise TypeError("must be a subclass of crossmesh.tiles.analog.devices.Device")


_OWN: dict[str, type[Device]] = {
    kind_of(cls): cls
    for cls in classes_in(__name__, Device)
    if "kind" in vars(cls)["__annotations__"]
}
DEVICES = Registry("crossmesh.devices", _OWN, _check)
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
