"""Inputs of mean 0 and deviation 1."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.errors import DataError
from crossmesh.emulator.data.config import GivenScale
from crossmesh.emulator.data.examples import Examples

Real = NDArray[np.float64]


class Standard(NamedTuple):
    """What is taken off the inputs of each channel, and what they are divided by then.

    Attributes:
        means: ``(channels,)``.
        deviations: ``(channels,)``.
    """

    means: NDArray[np.float32]
    deviations: NDArray[np.float32]

    def applied(self, examples: Examples) -> Examples:
        """Examples standardised; inputs that are kept in float32 are changed in place."""
        means, deviations = self.means[:, np.newaxis], self.deviations[:, np.newaxis]
        if examples.levels is not None:
            return replace(examples, levels=(examples.levels - means) / deviations)
        inputs = examples.inputs.reshape(len(examples), len(self.means), -1)
        inputs -= means
        inputs /= deviations
        return examples


def given_standard(normalise: GivenScale, shape: tuple[int, ...]) -> Standard:
    """Means and deviations that a config says.

    Raises:
        DataError: If there is neither one nor one for each channel.
    """
    n, n_channels = len(normalise.mean), shape[0] if len(shape) == 3 else 1
    if n not in {1, n_channels}:
        raise DataError(
            f"data.normalise.mean must have one entry or one for each of {n_channels} channels, "
            f"got {n}"
        )
    means, deviations = (
        np.resize(np.array(values, np.float32), n_channels)
        for values in (normalise.mean, normalise.std)
    )
    return Standard(means, deviations)


def standardised(
    train: Examples, test: Examples, shape: tuple[int, ...]
) -> tuple[Examples, Examples, Standard]:
    """Both with inputs less the mean of those to train on, divided by their deviation; and these.

    Args:
        train: Training examples; inputs that are kept in float32 are changed in place.
        test: Test examples, likewise, by the same numbers.
        shape: Shape of an example; one of three axes has channels first, each with numbers of its
            own.

    Raises:
        DataError: If all inputs, or all of a channel, are equal.
    """
    n_channels = shape[0] if len(shape) == 3 else 1
    if train.levels is not None:
        standard = _of_levels(train, train.levels, n_channels, len(shape) == 3)
        return standard.applied(train), standard.applied(test), standard
    fit, other = (part.inputs.reshape(len(part), n_channels, -1) for part in (train, test))
    means = fit.mean(axis=(0, 2), dtype=np.float64).astype(np.float32)
    for inputs in (fit, other):
        inputs -= means[:, np.newaxis]
    # The mean is gone, so no digits cancel. einsum makes no copy in float64, unlike var.
    squares = np.einsum("ncp,ncp->c", fit, fit, dtype=np.float64)
    deviations = _deviations(squares / (fit.shape[0] * fit.shape[2]), means, len(shape) == 3)
    for inputs in (fit, other):
        inputs /= deviations[:, np.newaxis]
    return train, test, Standard(means, deviations)


def _of_levels(
    train: Examples, plain: NDArray[np.float32], n_channels: int, has_channels: bool
) -> Standard:
    """Mean and deviation of each channel of bytes, from how often each byte is there."""
    counts = np.zeros((n_channels, 256))
    for part in train.parts():
        kept = part.kept.reshape(len(part), n_channels, -1)
        for channel in range(n_channels):
            counts[channel] += np.bincount(kept[:, channel].ravel(), minlength=256)
    n = counts[0].sum()
    means = ((counts * plain.astype(np.float64)).sum(1) / n).astype(np.float32)
    centred = plain - means[:, np.newaxis]
    squares = (counts * np.square(centred, dtype=np.float64)).sum(1)
    return Standard(means, _deviations(squares / n, means, has_channels))


def _deviations(
    variances: Real, means: NDArray[np.float32], has_channels: bool
) -> NDArray[np.float32]:
    deviations = np.sqrt(variances).astype(np.float32)
    for channel in np.flatnonzero(deviations == 0):
        where = f"channel {channel}" if has_channels else "all inputs"
        raise DataError(
            f"data.standardise must be false unless inputs differ from each other, "
            f"got {means[channel]:g} throughout {where}"
        )
    return deviations
