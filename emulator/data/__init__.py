"""What is learnt: data sets by name, and the order of their examples in an epoch."""

from emulator.data.config import Crop, DataConfig
from emulator.data.errors import DataError
from emulator.data.examples import Dataset, Examples
from emulator.data.sources import SOURCES, load
from emulator.data.streams import order

__all__ = ["SOURCES", "Crop", "DataConfig", "DataError", "Dataset", "Examples", "load", "order"]
