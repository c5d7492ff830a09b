"""Data sources by the name a config uses."""

from collections.abc import Callable

from crossmesh.emulator.data.backrand import load_backrand
from crossmesh.emulator.data.cifar10 import load_cifar10
from crossmesh.emulator.data.config import SOURCES, DataConfig
from crossmesh.emulator.data.digits import load_digits
from crossmesh.emulator.data.examples import Dataset
from crossmesh.emulator.data.idx import load_idx
from crossmesh.emulator.data.npz import load_npz
from crossmesh.emulator.data.published import load_published
from crossmesh.emulator.data.synthetic import load_synthetic
from crossmesh.emulator.data.text import load_text


def load_parquet(config: DataConfig) -> Dataset:
    """Columns of Parquet files."""
    from crossmesh.emulator.data import parquet  # takes a moment to import

    return parquet.load_parquet(config)


_OWN: dict[str, Callable[[DataConfig], Dataset]] = {
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
SOURCES.fill(_OWN)


def load(config: DataConfig) -> Dataset:
    """Load what a config names.

    Raises:
        DataError: If it cannot be had or cannot be used; one line says what must be otherwise.
    """
    dataset: Dataset = SOURCES[config.source](config)
    return dataset
