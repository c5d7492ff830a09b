"""Weights of classes in the loss of training."""

import numpy as np

from crossmesh.common.errors import ConfigError, DataError
from crossmesh.emulator.config.run import Training
from crossmesh.emulator.data import Dataset


def class_weights(training: Training, dataset: Dataset, outputs: int) -> tuple[float, ...]:
    """The weight of each class, or nothing where all count the same.

    ``balanced`` is ``n / (k * n_c)`` for a class of ``n_c`` of ``n`` examples or positions, ``k``
    being the classes that occur, as scikit-learn has it: the mean weight of the examples is 1.

    Args:
        training: Settings.
        dataset: The data, its targets as they were given.
        outputs: Outputs of the network for each position; of one, classes are 0 and 1.

    Raises:
        ConfigError: If there is not one weight for each class.
        DataError: If targets are no classes.
    """
    given = training.class_weights
    if given is None:
        return ()
    if not dataset.has_classes or (outputs == 1 and dataset.n_outputs > 2):
        raise DataError("training.class_weights must be left out unless targets are classes")
    n_classes = max(outputs, 2)
    if given == "balanced":
        counts = np.bincount(dataset.train.targets.reshape(-1), minlength=n_classes)
        share = counts.sum() / (np.count_nonzero(counts) * np.maximum(counts, 1))
        return tuple(np.where(counts, share, 1.0).tolist())
    if len(given) != n_classes:
        raise ConfigError(
            f"training.class_weights must have one entry for each of {n_classes} classes, "
            f"got {len(given)}"
        )
    return tuple(map(float, given))
