"""Validation: training examples set aside to choose by, a function of seed and data alone."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.errors import DataError
from crossmesh.emulator.data.config import DataConfig
from crossmesh.emulator.data.examples import Dataset
from crossmesh.emulator.data.streams import DataPurpose, shuffled

Indices = NDArray[np.int64]


def with_validation(dataset: Dataset, config: DataConfig, seed: int) -> Dataset:
    """The data with a part of its training examples set aside, if the config asks for it.

    Args:
        dataset: The data.
        config: Says which part.
        seed: The run's seed.

    Raises:
        DataError: If there are too few, or no classes to set a part aside of each.
    """
    if config.validation is None:
        return dataset
    order = shuffled(DataPurpose.VALIDATION, len(dataset.train), seed)
    groups = _by_class(dataset, order) if config.stratified else [order]
    sizes = _sizes([len(rows) for rows in groups], config.validation)
    aside = np.concatenate([rows[:size] for rows, size in zip(groups, sizes, strict=True)])
    if len(aside) == len(order):
        raise DataError(
            "data.validation must leave a training example or more, "
            f"got {config.validation} of {len(order)}"
        )
    return replace(
        dataset,
        train=dataset.train.chosen(np.setdiff1d(order, aside)),
        validation=dataset.train.chosen(np.sort(aside)),
    )


def _sizes(counts: list[int], part: float) -> Indices:
    """How many of each group are set aside: in all the part, at least one; of each the same part.

    >>> _sizes([60, 30, 14], 0.1).tolist()
    [6, 3, 1]
    """
    exact = np.array(counts) * part
    sizes = np.floor(exact).astype(np.int64)
    left = max(1, round(sum(counts) * part)) - sizes.sum()
    sizes[np.argsort(sizes - exact, kind="stable")[:left]] += 1  # the largest remainders
    return sizes


def _by_class(dataset: Dataset, order: Indices) -> list[Indices]:
    """Indices of each class, in the order given."""
    labels = dataset.train.targets
    if not dataset.has_classes or labels.ndim != 1:
        raise DataError(
            "data.stratified must be false unless examples have one class each, "
            f"got targets {labels.dtype} {labels.shape}"
        )
    return [order[labels[order] == label] for label in np.unique(labels)]
