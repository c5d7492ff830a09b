"""What kinds of other packages are made of; stable, as the names of ``crossmesh`` itself.

Devices        Device, StepDevice, Retention; Functions, register_model, rows of parameters
Unit cells     UnitCell; what it takes and returns: Site, Crossbar, Wear; CellCosts, also of devices
Layers         AnyLayer, NamedLayer with one input, ImageLayer, SequenceLayer, TileLayer
Functions      Function and Learned of digital units, and the Call that they get; Loss
Learning       RateSchedule with the Moment that it gets; Optimizer; Algorithm, which makes a cell
Chips          Topology with its FloorPlan, Schedule of Slots with a Phase, Backend of AnalogTiles
Circuits       Adc, Dac and Memory beside an array, which give a Price
Boards         Hardware with its Description; serve, a Service of it, and address_of a text
Data           a function of DataConfig that gives a Dataset of Examples
Clusters       ClusterAtHand, GeneratedCluster; Order and LaunchPlan
"""

import importlib
from typing import TYPE_CHECKING, Any

from crossmesh.common.price import Price
from crossmesh.emulator.config.layer import (
    AnyLayer,
    ImageLayer,
    NamedLayer,
    SequenceLayer,
    TileLayer,
)
from crossmesh.emulator.config.rates import Moment, RateSchedule
from crossmesh.emulator.data.config import DataConfig
from crossmesh.emulator.data.examples import Dataset, Examples
from crossmesh.interconnect.noc import FloorPlan, Topology
from crossmesh.interconnect.schedule import Phase, Schedule, Slot
from crossmesh.tiles.analog.algorithms import Algorithm
from crossmesh.tiles.analog.backends import AnalogTile, Backend
from crossmesh.tiles.analog.cells import Crossbar, UnitCell
from crossmesh.tiles.analog.costs import CellCosts
from crossmesh.tiles.analog.devices import Device, StepDevice
from crossmesh.tiles.analog.devices.base import Retention
from crossmesh.tiles.analog.devices.kernels import (
    HISTORY,
    LOWER,
    STEP_DOWN,
    STEP_UP,
    UPPER,
    Functions,
    register_model,
)
from crossmesh.tiles.analog.pulser import Site
from crossmesh.tiles.analog.wear import Wear
from crossmesh.tiles.boards.addresses import address_of
from crossmesh.tiles.boards.hardware import Description, Hardware
from crossmesh.tiles.boards.listening import serve
from crossmesh.tiles.boards.serving import Service
from crossmesh.tiles.circuits import Adc, Dac, Memory
from crossmesh.tiles.digital import Call, Function, Learned, Loss, Optimizer

if TYPE_CHECKING:
    from crossmesh.cluster.launch.files import LaunchPlan
    from crossmesh.cluster.launch.generated import GeneratedCluster
    from crossmesh.cluster.launch.launcher import ClusterAtHand
    from crossmesh.cluster.launch.order import Order

# Imported when they are used, since they need the whole command line.
_LATER = {
    "ClusterAtHand": "launcher",
    "GeneratedCluster": "generated",
    "LaunchPlan": "files",
    "Order": "order",
}
__all__ = [
    "HISTORY",
    "LOWER",
    "STEP_DOWN",
    "STEP_UP",
    "UPPER",
    "Adc",
    "Algorithm",
    "AnalogTile",
    "AnyLayer",
    "Backend",
    "Call",
    "CellCosts",
    "ClusterAtHand",
    "Crossbar",
    "Dac",
    "DataConfig",
    "Dataset",
    "Description",
    "Device",
    "Examples",
    "FloorPlan",
    "Function",
    "Functions",
    "GeneratedCluster",
    "Hardware",
    "ImageLayer",
    "LaunchPlan",
    "Learned",
    "Loss",
    "Memory",
    "Moment",
    "NamedLayer",
    "Optimizer",
    "Order",
    "Phase",
    "Price",
    "RateSchedule",
    "Retention",
    "Schedule",
    "SequenceLayer",
    "Service",
    "Site",
    "Slot",
    "StepDevice",
    "TileLayer",
    "Topology",
    "UnitCell",
    "Wear",
    "address_of",
    "register_model",
    "serve",
]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(importlib.import_module(f"crossmesh.cluster.launch.{_LATER[name]}"), name)
