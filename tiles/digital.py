"""The digital unit of a tile: activation functions and losses, float32, whole vectors.

Errors carry the sign of the update: ``d`` is minus the gradient of the loss, so that a weight
changes by ``rate * x * d``.
"""

import math
from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


class Activation(ABC):
    """A function of a vector and the way back through it."""

    name: ClassVar[str]

    @abstractmethod
    def forward(self, u: Array, out: Array) -> None:
        """Write the activations of ``u`` (examples, n) to ``out`` (examples, n)."""

    @abstractmethod
    def backward(self, d: Array, y: Array) -> Array:
        """Error before the function, from the error ``d`` and activation ``y`` behind it."""


class Identity(Activation):
    """``y = u``."""

    name = "identity"

    def forward(self, u: Array, out: Array) -> None:
        """Copy."""
        out[:] = u

    def backward(self, d: Array, y: Array) -> Array:
        """The same error."""
        return d


class Relu(Activation):
    """``y = max(0, u)``."""

    name = "relu"

    def forward(self, u: Array, out: Array) -> None:
        """Cut off below zero."""
        np.maximum(u, np.float32(0), out=out)

    def backward(self, d: Array, y: Array) -> Array:
        """Pass where the activation is positive."""
        return np.where(y > 0, d, np.float32(0))


class Tanh(Activation):
    """``y = tanh(u)``."""

    name = "tanh"

    def forward(self, u: Array, out: Array) -> None:
        """Hyperbolic tangent."""
        np.tanh(u, out=out)

    def backward(self, d: Array, y: Array) -> Array:
        """``d * (1 - y**2)``."""
        return d * (np.float32(1) - y * y)


class Sigmoid(Activation):
    """``y = 1 / (1 + exp(-u))``."""

    name = "sigmoid"

    def forward(self, u: Array, out: Array) -> None:
        """Logistic function, by way of tanh, which cannot overflow."""
        np.tanh(u * np.float32(0.5), out=out)
        out *= np.float32(0.5)
        out += np.float32(0.5)

    def backward(self, d: Array, y: Array) -> Array:
        """``d * y * (1 - y)``."""
        return d * y * (np.float32(1) - y)


class Softmax(Activation):
    """``y = exp(u) / sum(exp(u))``."""

    name = "softmax"

    def forward(self, u: Array, out: Array) -> None:
        """Shifted by the largest entry, which cannot overflow."""
        np.exp(u - np.maximum.reduce(u, axis=1, keepdims=True), out=out)
        out /= np.add.reduce(out, axis=1, keepdims=True)

    def backward(self, d: Array, y: Array) -> Array:
        """``y * (d - sum(d * y))``."""
        return y * (d - (d * y).sum(axis=1, keepdims=True))


ACTIVATIONS: dict[str, Activation] = {
    f.name: f for f in (Identity(), Relu(), Tanh(), Sigmoid(), Softmax())
}


class Loss(ABC):
    """A loss, and the error that it sends back."""

    name: ClassVar[str]

    @abstractmethod
    def evaluate(self, y: Array, targets: NDArray[np.generic]) -> tuple[float, Array]:
        """Sum of the losses of a micro-batch, and the error at the loss's input.

        Args:
            y: ``(examples, n)`` outputs of the network.
            targets: Class numbers ``(examples,)``, or values ``(examples, n)``.
        """


def _one_hot(targets: NDArray[np.generic], n: int) -> Array:
    if targets.ndim == 2:
        return targets.astype(np.float32, copy=False)
    return (targets[:, None] == np.arange(n)).astype(np.float32)


class CrossEntropy(Loss):
    """``-sum(t * ln y)`` of a softmax; the error is that before the softmax, ``t - y``."""

    name = "cross_entropy"

    def evaluate(self, y: Array, targets: NDArray[np.generic]) -> tuple[float, Array]:
        """Natural logarithm, probabilities held above 1e-30."""
        least = np.float32(1e-30)
        if targets.ndim == 2:
            wanted = targets.astype(np.float32, copy=False)
            logarithm = np.log(np.maximum(y, least))
            return -float((wanted * logarithm).sum(dtype=np.float64)), wanted - y
        rows = np.arange(len(y))
        d = np.negative(y)
        d[rows, targets] += np.float32(1)
        logarithm = np.log(np.maximum(y[rows, targets], least))
        return -math.fsum(logarithm.tolist()), d


class MeanSquaredError(Loss):
    """``mean((t - y)**2) / 2`` over the outputs of each example; the error is ``(t - y) / n``."""

    name = "mean_squared_error"

    def evaluate(self, y: Array, targets: NDArray[np.generic]) -> tuple[float, Array]:
        """Class numbers count as one-hot vectors."""
        d = _one_hot(targets, y.shape[1]) - y
        d *= np.float32(1 / y.shape[1])
        return 0.5 * y.shape[1] * float((d * d).sum(dtype=np.float64)), d


LOSSES: dict[str, Loss] = {f.name: f for f in (CrossEntropy(), MeanSquaredError())}


def count_correct(y: Array, targets: NDArray[np.generic]) -> int:
    """Examples whose largest output is that of their class; 0 for targets that are no classes."""
    if targets.ndim == 2:
        return 0
    return int(np.count_nonzero(y.argmax(axis=1) == targets))
