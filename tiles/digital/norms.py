"""Normalisation, with a learned factor and offset for every feature.

Sums are of float64. The way back computes them again, from the inputs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from interconnect.compiled import FAST, inlined, kernel
from tiles.digital.base import Array, Call, Learned
from tiles.digital.rows import fill
from tiles.random import Stream

Sums = NDArray[np.float64]
_FACTOR, _OFFSET, _MEAN, _VARIANCE = range(4)  # rows of the numbers


@kernel
def _add_up(
    x: Array,  # (n, features)
    sums: Sums,  # (2, features), zeros at first; written: sums of x and x^2
) -> None:
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            v = np.float64(x[i, j])
            sums[0, j] += v
            sums[1, j] += v * v


@kernel
def _add_up_errors(
    x: Array,  # (n, features)
    d: Array,  # (n, features)
    sums: Sums,  # (4, features), zeros at first; written: sums of x, x^2, d and d x
) -> None:
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            v, error = np.float64(x[i, j]), np.float64(d[i, j])
            sums[0, j] += v
            sums[1, j] += v * v
            sums[2, j] += error
            sums[3, j] += error * v


@kernel
def _scale(
    x: Array,  # (n, features)
    terms: Array,  # (3, features): mean, factor and offset
    out: Array,  # (n, features), written
) -> None:
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            out[i, j] = (x[i, j] - terms[0, j]) * terms[1, j] + terms[2, j]


@kernel
def _scale_errors(
    x: Array,  # (n, features)
    d: Array,  # (n, features)
    terms: Array,  # (4, features): mean, factor, mean error, error per distance from the mean
    out: Array,  # (n, features), written
) -> None:
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            rest = d[i, j] - terms[2, j] - (x[i, j] - terms[0, j]) * terms[3, j]
            out[i, j] = rest * terms[1, j]


class _Columns(NamedTuple):
    """Mean and one over the deviation of every feature, ``(features,)`` each, float64."""

    mean: Sums
    inverse: Sums


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchNorm(Learned):
    """Normalises every feature over the examples and positions of a micro-batch.

    Tests, and training where it is frozen, use running means of mean and variance, as in PyTorch:
    the running variance is unbiased. Source: Ioffe and Szegedy 2015, arXiv 1502.03167.

    Attributes:
        features: Of the value.
        epsilon: Added to the variance.
        momentum: Weight of the newest micro-batch in the running means.
        frozen: Whether nothing of it changes.
    """

    needs_inputs: ClassVar[bool] = True

    features: int
    epsilon: float = 1e-5
    momentum: float = 0.1
    frozen: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """Rows of factors, offsets, running means and running variances."""
        return 4, self.features

    def initial(self, stream: Stream) -> Array:
        """Ones and zeros."""
        return np.repeat(np.array([[1], [0], [0], [1]], np.float32), self.features, axis=1)

    def forward(self, inputs: Sequence[Array], out: Array, call: Call) -> None:
        """Normalise; in training, move the running means."""
        x, numbers = inputs[0], call.numbers
        if self._measures(call):
            sums = np.zeros((2, self.features))
            _add_up(x, sums)
            mean, variance = self._moments(sums, len(x))
            self._remember(numbers, mean, variance * (len(x) / max(len(x) - 1, 1)))
        else:
            mean, variance = self._remembered(numbers)
        factor = numbers[_FACTOR] / np.sqrt(variance + self.epsilon)
        terms = np.array([mean, factor, numbers[_OFFSET]], np.float32)
        fill(out, lambda whole: _scale(x, terms, whole))

    def backward(
        self, d: Array, index: int, inputs: Sequence[Array], y: Array | None, call: Call
    ) -> Array:
        """Through the value itself, and through mean and variance where they are the batch's."""
        x, factor = inputs[0], call.numbers[_FACTOR]
        if not self._measures(call):
            _, variance = self._remembered(call.numbers)
            return d * (factor / np.sqrt(variance + self.epsilon)).astype(np.float32)
        columns, total, product = self._error_sums(x, d, call)
        slope = product * columns.inverse / len(x)
        terms = np.array(
            [columns.mean, factor * columns.inverse, total / len(x), slope], np.float32
        )
        result = np.empty_like(x)
        _scale_errors(x, np.ascontiguousarray(d), terms, result)
        return result

    def learn(self, d: Array, inputs: Sequence[Array], call: Call, rate: float) -> None:
        """Change factors and offsets."""
        if self.frozen:
            return
        _, total, product = self._error_sums(inputs[0], d, call)
        numbers = call.numbers
        numbers[_FACTOR] = numbers[_FACTOR] + rate * product
        numbers[_OFFSET] = numbers[_OFFSET] + rate * total

    def _measures(self, call: Call) -> bool:
        """Whether mean and variance are the micro-batch's own."""
        return call.is_training and not self.frozen

    def _error_sums(self, x: Array, d: Array, call: Call) -> tuple[_Columns, Sums, Sums]:
        """Moments, and the sums of the errors and of their products with the normalised input."""
        sums = np.zeros((4, self.features))
        _add_up_errors(x, np.ascontiguousarray(d), sums)
        mean, variance = (
            self._moments(sums, len(x)) if self._measures(call) else self._remembered(call.numbers)
        )
        columns = _Columns(mean, 1 / np.sqrt(variance + self.epsilon))
        return columns, sums[2], (sums[3] - mean * sums[2]) * columns.inverse

    def _remember(self, numbers: Array, mean: Sums, variance: Sums) -> None:
        for row, newest in ((_MEAN, mean), (_VARIANCE, variance)):
            numbers[row] = (1 - self.momentum) * numbers[row].astype(float) + self.momentum * newest

    @staticmethod
    def _moments(sums: Sums, n: int) -> tuple[Sums, Sums]:
        mean = sums[0] / n
        return mean, np.maximum(sums[1] / n - mean * mean, 0)

    @staticmethod
    def _remembered(numbers: Array) -> tuple[Sums, Sums]:
        return numbers[_MEAN].astype(np.float64), numbers[_VARIANCE].astype(np.float64)


# Sums along a row in any order, so that they are taken several at a time. The order is that of the
# compiled code: it depends neither on values nor on where they lie.
_summed = njit(nogil=True, fastmath=FAST | {"reassoc"}, error_model="numpy")


@_summed
def _sums_of_row(x: Array, i: int) -> tuple[float, float]:
    """Sums of x and x^2 in row ``i``."""
    total, square = 0.0, 0.0
    for j in range(x.shape[1]):
        v = np.float64(x[i, j])
        total += v
        square += v * v
    return total, square


@_summed
def _error_sums_of_row(d: Array, x: Array, factor: Array, i: int) -> tuple[float, float]:
    """Sums of the errors before factor and offset in row ``i``, and of their products with x."""
    total, product = 0.0, 0.0
    for j in range(x.shape[1]):
        v = np.float64(d[i, j] * factor[j])
        total += v
        product += v * x[i, j]
    return total, product


@inlined
def _moments_of_row(x: Array, i: int, epsilon: float) -> tuple[float, float]:
    """Mean of row ``i``, and one over its deviation."""
    total, square = _sums_of_row(x, i)
    mean = total / x.shape[1]
    variance = max(square / x.shape[1] - mean * mean, 0.0)
    return mean, 1 / np.sqrt(variance + epsilon)


@kernel
def _normalise_rows(
    x: Array,  # (n, features)
    numbers: Array,  # (2, features) factor and offset
    epsilon: float,
    out: Array,  # (n, features), written
) -> None:
    for i in range(x.shape[0]):
        mean, inverse = _moments_of_row(x, i, epsilon)
        centre, scale = np.float32(mean), np.float32(inverse)
        for j in range(x.shape[1]):
            out[i, j] = (x[i, j] - centre) * scale * numbers[0, j] + numbers[1, j]


@kernel
def _derive_rows(
    x: Array,  # (n, features)
    d: Array,  # (n, features)
    numbers: Array,  # (2, features) factor and offset
    epsilon: float,
    out: Array,  # (n, features), written
) -> None:
    n = x.shape[1]
    for i in range(x.shape[0]):
        mean, inverse = _moments_of_row(x, i, epsilon)
        error, product = _error_sums_of_row(d, x, numbers[0], i)
        centre, scale, total = np.float32(mean), np.float32(inverse), np.float32(error / n)
        slope = np.float32((product - mean * error) * inverse * inverse / n)
        for j in range(n):
            rest = d[i, j] * numbers[0, j] - total - (x[i, j] - centre) * slope
            out[i, j] = rest * scale


@kernel
def _add_up_rows(
    x: Array,  # (n, features)
    d: Array,  # (n, features)
    epsilon: float,
    sums: Sums,  # (2, features), zeros at first; written: of d times the normalised x, and of d
) -> None:
    for i in range(x.shape[0]):
        mean, inverse = _moments_of_row(x, i, epsilon)
        for j in range(x.shape[1]):
            error = np.float64(d[i, j])
            sums[0, j] += error * ((x[i, j] - mean) * inverse)
            sums[1, j] += error


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerNorm(Learned):
    """Normalises the features of every position.

    Source: Ba, Kiros and Hinton 2016, arXiv 1607.06450.

    Attributes:
        features: Of the value.
        epsilon: Added to the variance.
    """

    needs_inputs: ClassVar[bool] = True

    features: int
    epsilon: float = 1e-5

    @property
    def shape(self) -> tuple[int, int]:
        """Rows of factors and offsets."""
        return 2, self.features

    def initial(self, stream: Stream) -> Array:
        """Ones and zeros."""
        return np.repeat(np.array([[1], [0]], np.float32), self.features, axis=1)

    def forward(self, inputs: Sequence[Array], out: Array, call: Call) -> None:
        """Normalise."""
        fill(out, lambda whole: _normalise_rows(inputs[0], call.numbers, self.epsilon, whole))

    def backward(
        self, d: Array, index: int, inputs: Sequence[Array], y: Array | None, call: Call
    ) -> Array:
        """Through the value itself, its mean and its variance."""
        result = np.empty_like(inputs[0])
        _derive_rows(inputs[0], np.ascontiguousarray(d), call.numbers, self.epsilon, result)
        return result

    def learn(self, d: Array, inputs: Sequence[Array], call: Call, rate: float) -> None:
        """Change factors and offsets."""
        sums = np.zeros(self.shape)
        _add_up_rows(inputs[0], np.ascontiguousarray(d), self.epsilon, sums)
        numbers = call.numbers
        numbers[:] = numbers + rate * sums
