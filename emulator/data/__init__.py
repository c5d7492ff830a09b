"""Data sets by name, and the order of their examples in an epoch."""

from crossmesh.common.errors import DataError
from crossmesh.emulator.data.augment import Augment
from crossmesh.emulator.data.config import SOURCES, Crop, DataConfig, GivenScale
from crossmesh.emulator.data.examples import Dataset, Examples
from crossmesh.emulator.data.sources import load
from crossmesh.emulator.data.streams import order

__all__ = [
    "SOURCES",
    "Augment",
    "Crop",
    "DataConfig",
    "DataError",
    "Dataset",
    "Examples",
    "GivenScale",
    "load",
    "order",
]
