"""Losses and their backward pass."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.registry import Registry
from crossmesh.tiles.digital.base import Array

_SMALLEST = np.float32(1e-30)
_LEAST_LOGARITHM = -100.0


def _are_classes(targets: NDArray[np.generic]) -> bool:
    """Whether there is a class for every example or position, not values."""
    return targets.ndim == 1 or targets.dtype.kind in "iu"


def _steps(targets: NDArray[np.generic]) -> int:
    """Positions of an example that have a class each."""
    return targets.shape[1] if targets.ndim == 2 else 1


class Loss(ABC):
    """A loss and its backward pass.

    A subclass defines ``name`` and ``_of_values``.

    Attributes:
        name: Name in configs.
        behind: Name of the activation that the loss includes, as PyTorch's ``CrossEntropyLoss``
            includes softmax: the network must end in it, and the error is with respect to its
            input. None: the network may end in any, and the error is with respect to the output.
        counts_values: Whether every value of a target is right or wrong by itself, as those of
            several labels; one output may then also tell two classes apart.
    """

    name: ClassVar[str]
    behind: ClassVar[str | None] = None
    counts_values: ClassVar[bool] = False

    def evaluate(self, y: Array, targets: NDArray[np.generic]) -> tuple[float, Array]:
        """Loss of a micro-batch, and its error.

        Args:
            y: ``(examples * positions, n)`` outputs of the network, float32.
            targets: Class numbers ``(examples,)`` or ``(examples, positions)``, or values
                ``(examples, n)``. Whole numbers in two dimensions are classes: the loss of such
                an example is the mean over its positions.

        Returns:
            Sum of the losses of the examples, and ``(examples * positions, n)`` float32: minus the
            gradient of that sum with respect to the input of ``behind``, or to ``y``.
        """
        if not _are_classes(targets):
            return self._of_values(y, targets.astype(np.float32, copy=False))
        loss, d = self._of_classes(y, targets.reshape(-1))
        steps = _steps(targets)
        if steps > 1:
            loss /= steps
            d /= np.float32(steps)
        return loss, d

    def evaluate_weighted(
        self, y: Array, targets: NDArray[np.generic], weights: Array
    ) -> tuple[float, Array]:
        """The same with losses and errors times a weight for each class.

        Args:
            y: As of ``evaluate``.
            targets: Class numbers, or ``(examples, 1)`` values that are 0 or 1.
            weights: ``(classes,)`` float32.
        """
        numbers = targets.reshape(-1).astype(np.intp)
        rows = numbers if _are_classes(targets) else targets  # a position is an example of its own
        of_rows, steps = weights[numbers], _steps(targets) if _are_classes(targets) else 1
        total, d = 0.0, np.empty_like(y)
        for weight in np.unique(of_rows):
            some = of_rows == weight
            loss, error = self.evaluate(y[some], rows[some])
            total += float(weight) * loss / steps
            d[some] = error * (weight / np.float32(steps))
        return total, d

    def count_correct(self, y: Array, targets: NDArray[np.generic]) -> int:
        """Positions whose largest output is that of the class, or of the largest value.

        Of a loss that counts values, those that lie on the same side of 1/2 as the output.
        """
        if self.counts_values and not _are_classes(targets):
            return int(np.count_nonzero((y > 0.5) == (targets.astype(np.float32) > 0.5)))
        classes = targets.reshape(-1) if _are_classes(targets) else targets.argmax(axis=1)
        return int(np.count_nonzero(y.argmax(axis=1) == classes))

    @abstractmethod
    def _of_values(self, y: Array, wanted: Array) -> tuple[float, Array]:
        """Loss and error for targets that are values.

        Args:
            y: ``(rows, n)`` outputs, float32; read only. A row is an example, or a position of one.
            wanted: ``(rows, n)`` targets, float32; one-hot for classes.

        Returns:
            Sum of the losses of all rows, and ``(rows, n)`` float32, a new array: minus the
            gradient of that sum with respect to the input of ``behind``, or to ``y``.
        """

    def _of_classes(self, y: Array, classes: NDArray[np.generic]) -> tuple[float, Array]:
        """Sum of the positions' losses, and their errors, which are the caller's to change."""
        return self._of_values(y, (classes[:, None] == np.arange(y.shape[1])).astype(np.float32))


@dataclass(frozen=True, kw_only=True, slots=True)
class CrossEntropy(Loss):
    """``-sum(t * ln y)`` of a softmax; the error is that before the softmax, ``t - y * sum(t)``.

    As PyTorch's ``CrossEntropyLoss`` of logits, whose targets are classes or probabilities.
    Outputs are held above 1e-30.
    """

    name: ClassVar[str] = "cross_entropy"
    behind: ClassVar[str | None] = "softmax"

    def _of_values(self, y: Array, wanted: Array) -> tuple[float, Array]:
        logarithm = np.log(np.maximum(y, _SMALLEST))
        d = wanted - y * wanted.sum(axis=1, keepdims=True)
        return -float((wanted * logarithm).sum(dtype=np.float64)), d

    def _of_classes(self, y: Array, classes: NDArray[np.generic]) -> tuple[float, Array]:
        rows = np.arange(len(y))
        d = np.negative(y)
        d[rows, classes] += np.float32(1)
        logarithm = np.log(np.maximum(y[rows, classes], _SMALLEST))
        return -math.fsum(logarithm.tolist()), d


@dataclass(frozen=True, kw_only=True, slots=True)
class BinaryCrossEntropy(Loss):
    """``-mean(t * ln y + (1 - t) * ln(1 - y))`` over the outputs of each example.

    As PyTorch's ``BCELoss`` of one example, whose logarithms are at least -100. Outputs are those
    of a sigmoid; the error is that before it, ``(t - y) / n``. Class numbers count as one-hot.
    """

    name: ClassVar[str] = "binary_cross_entropy"
    behind: ClassVar[str | None] = "sigmoid"
    counts_values: ClassVar[bool] = True

    def _of_values(self, y: Array, wanted: Array) -> tuple[float, Array]:
        share = y.astype(np.float64)
        with np.errstate(divide="ignore"):
            on = np.maximum(np.log(share), _LEAST_LOGARITHM)
            off = np.maximum(np.log1p(-share), _LEAST_LOGARITHM)
        d = wanted - y
        d *= np.float32(1 / y.shape[1])
        return -float((wanted * on + (1.0 - wanted) * off).sum()) / y.shape[1], d


@dataclass(frozen=True, kw_only=True, slots=True)
class MeanSquaredError(Loss):
    """``mean((t - y)**2) / 2`` over the outputs of each example; the error is ``(t - y) / n``.

    Half of PyTorch's ``MSELoss`` of one example. Class numbers count as one-hot.
    """

    name: ClassVar[str] = "mean_squared_error"

    def _of_values(self, y: Array, wanted: Array) -> tuple[float, Array]:
        d = wanted - y
        d *= np.float32(1 / y.shape[1])
        return 0.5 * y.shape[1] * float((d * d).sum(dtype=np.float64)), d


_OWN: tuple[Loss, ...] = (CrossEntropy(), BinaryCrossEntropy(), MeanSquaredError())


def _check(loss: Loss) -> None:
    if not isinstance(loss, Loss):
        raise TypeError("must be an object of a subclass of crossmesh.tiles.digital.Loss")


LOSSES: Registry[Loss] = Registry("crossmesh.losses", {f.name: f for f in _OWN}, _check)
