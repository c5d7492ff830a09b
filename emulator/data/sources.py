"""Data sources by the name a config uses."""

from collections.abc import Callable

from emulator.data.backrand import load_backrand
from emulator.data.cifar10 import load_cifar10
from emulator.data.config import DataConfig
from emulator.data.digits import load_digits
from emulator.data.examples import Dataset
from emulator.data.idx import load_idx
from emulator.data.npz import load_npz
from emulator.data.parquet import load_parquet
from emulator.data.published import load_published
from emulator.data.synthetic import load_synthetic
from emulator.data.text import load_text

SOURCES: dict[str, Callable[[DataConfig], Dataset]] = {
    "digits": load_digits,
    "mnist": load_published,
    "mnist-backrand": load_backrand,
    "fashion-mnist": load_published,
    "cifar10": load_cifar10,
    "text": load_text,
    "idx": load_idx,
    "npz": load_npz,
    "parquet": load_parquet,
    "synthetic": load_synthetic,
}


def load(config: DataConfig) -> Dataset:
    """Load what a config names.

    Raises:
        DataError: If it cannot be had or cannot be used; one line says what must be otherwise.
    """
    return SOURCES[config.source](config)
