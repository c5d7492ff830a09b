"""What kinds of other packages are made of; stable, as the names of ``crossmesh`` itself.

Devices        Device, StepDevice; Functions of a model, register, rows of a device's parameters
Unit cells     UnitCell; what it must return: Crossbar; CellCosts, also of devices
Layers         AnyLayer, NamedLayer with one input, TileLayer; their Function, Learned, Call
Others         Loss, Topology with its FloorPlan, Schedule; DataConfig to Dataset
"""

from crossmesh.emulator.config.layer import AnyLayer, NamedLayer, TileLayer
from crossmesh.emulator.data.config import DataConfig
from crossmesh.emulator.data.examples import Dataset, Examples
from crossmesh.interconnect.noc import FloorPlan, Topology
from crossmesh.interconnect.schedule import Schedule
from crossmesh.tiles.analog.cells import Crossbar, UnitCell
from crossmesh.tiles.analog.costs import CellCosts
from crossmesh.tiles.analog.devices import Device, StepDevice
from crossmesh.tiles.analog.devices.kernels import (
    HISTORY,
    LOWER,
    STEP_DOWN,
    STEP_UP,
    UPPER,
    Functions,
    register,
)
from crossmesh.tiles.digital import Call, Function, Learned, Loss

__all__ = [
    "HISTORY",
    "LOWER",
    "STEP_DOWN",
    "STEP_UP",
    "UPPER",
    "AnyLayer",
    "Call",
    "CellCosts",
    "Crossbar",
    "DataConfig",
    "Dataset",
    "Device",
    "Examples",
    "FloorPlan",
    "Function",
    "Functions",
    "Learned",
    "Loss",
    "NamedLayer",
    "Schedule",
    "StepDevice",
    "TileLayer",
    "Topology",
    "UnitCell",
    "register",
]
