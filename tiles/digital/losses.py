"""Losses, and the errors that they send back."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from tiles.digital.base import Array


def _are_classes(targets: NDArray[np.generic]) -> bool:
    """Whether there is a class for every example or position, not values."""
    return targets.ndim == 1 or targets.dtype.kind in "iu"


def _steps(targets: NDArray[np.generic]) -> int:
    """Positions of an example that have a class each."""
    return targets.shape[1] if targets.ndim == 2 else 1


class Loss(ABC):
    """A loss, and the error that it sends back."""

    name: ClassVar[str]

    def evaluate(self, y: Array, targets: NDArray[np.generic]) -> tuple[float, Array]:
        """Sum of the losses of a micro-batch, and the error at the loss's input.

        Args:
            y: ``(examples * positions, n)`` outputs of the network.
            targets: Class numbers ``(examples,)`` or ``(examples, positions)``, or values
                ``(examples, n)``. Whole numbers in two dimensions are classes: the loss of such
                an example is the mean over its positions.
        """
        if not _are_classes(targets):
            return self._of_values(y, targets.astype(np.float32, copy=False))
        loss, d = self._of_classes(y, targets.reshape(-1))
        steps = _steps(targets)
        if steps > 1:
            loss /= steps
            d /= np.float32(steps)
        return loss, d

    @abstractmethod
    def _of_values(self, y: Array, wanted: Array) -> tuple[float, Array]:
        """Loss and error where values are wanted."""

    @abstractmethod
    def _of_classes(self, y: Array, classes: NDArray[np.generic]) -> tuple[float, Array]:
        """Sum of the positions' losses, and their errors, which are the caller's to change."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CrossEntropy(Loss):
    """``-sum(t * ln y)`` of a softmax; the error is that before the softmax, ``t - y``.

    Probabilities are held above 1e-30.
    """

    name: ClassVar[str] = "cross_entropy"

    def _of_values(self, y: Array, wanted: Array) -> tuple[float, Array]:
        logarithm = np.log(np.maximum(y, np.float32(1e-30)))
        return -float((wanted * logarithm).sum(dtype=np.float64)), wanted - y

    def _of_classes(self, y: Array, classes: NDArray[np.generic]) -> tuple[float, Array]:
        rows = np.arange(len(y))
        d = np.negative(y)
        d[rows, classes] += np.float32(1)
        logarithm = np.log(np.maximum(y[rows, classes], np.float32(1e-30)))
        return -math.fsum(logarithm.tolist()), d


@dataclass(frozen=True, kw_only=True, slots=True)
class MeanSquaredError(Loss):
    """``mean((t - y)**2) / 2`` over the outputs of each example; the error is ``(t - y) / n``.

    Class numbers count as one-hot vectors.
    """

    name: ClassVar[str] = "mean_squared_error"

    def _of_values(self, y: Array, wanted: Array) -> tuple[float, Array]:
        d = wanted - y
        d *= np.float32(1 / y.shape[1])
        return 0.5 * y.shape[1] * float((d * d).sum(dtype=np.float64)), d

    def _of_classes(self, y: Array, classes: NDArray[np.generic]) -> tuple[float, Array]:
        return self._of_values(y, (classes[:, None] == np.arange(y.shape[1])).astype(np.float32))


LOSSES: dict[str, Loss] = {f.name: f for f in (CrossEntropy(), MeanSquaredError())}


def count_correct(y: Array, targets: NDArray[np.generic]) -> int:
    """Positions whose largest output is that of their class; 0 for targets that are no classes."""
    if not _are_classes(targets):
        return 0
    return int(np.count_nonzero(y.argmax(axis=1) == targets.reshape(-1)))
