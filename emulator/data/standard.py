"""Inputs of mean 0 and deviation 1."""

import numpy as np

from emulator.data.errors import DataError
from emulator.data.examples import Examples


def standardise(train: Examples, test: Examples, shape: tuple[int, ...]) -> None:
    """Change the inputs by the mean and the standard deviation of those to train on.

    Args:
        train: Training examples, changed in place.
        test: Test examples, changed in place by the same numbers.
        shape: Shape of an example; one of three axes has channels first, each with numbers of its
            own.

    Raises:
        DataError: If all inputs, or all of a channel, are equal.
    """
    n_channels = shape[0] if len(shape) == 3 else 1
    fit, other = (part.inputs.reshape(len(part), n_channels, -1) for part in (train, test))
    means = fit.mean(axis=(0, 2), dtype=np.float64).astype(np.float32)
    for inputs in (fit, other):
        inputs -= means[:, np.newaxis]
    # The mean is gone, so no digits cancel. einsum makes no copy in float64, unlike var.
    squares = np.einsum("ncp,ncp->c", fit, fit, dtype=np.float64)
    deviations = np.sqrt(squares / (fit.shape[0] * fit.shape[2])).astype(np.float32)
    for channel in np.flatnonzero(deviations == 0):
        where = f"channel {channel}" if len(shape) == 3 else "all inputs"
        raise DataError(
            f"data.standardise must be false unless inputs differ from each other, "
            f"got {means[channel]:g} throughout {where}"
        )
    for inputs in (fit, other):
        inputs /= deviations[:, np.newaxis]
