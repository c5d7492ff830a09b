"""Batch normalisation. Sums are of float64; the backward pass computes them again."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.compiled import kernel
from crossmesh.common.random import Stream
from crossmesh.tiles.digital.base import Array, Call, Learned
from crossmesh.tiles.digital.rows import fill

Sums = NDArray[np.float64]
_FACTOR, _OFFSET, _MEAN, _VARIANCE = range(4)  # rows of the parameters


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
        features: Features of the value.
        epsilon: Added to the variance.
        momentum: Weight of the newest micro-batch in the running means.
        frozen: Whether nothing of it changes.
    """

    needs_inputs: ClassVar[bool] = True
    decays: ClassVar[bool] = False

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
        x, parameters = inputs[0], call.parameters
        if self._measures(call):
            sums = np.zeros((2, self.features))
            _add_up(x, sums)
            mean, variance = self._moments(sums, len(x))
            self._remember(parameters, mean, variance * (len(x) / max(len(x) - 1, 1)))
        else:
            mean, variance = self._remembered(parameters)
        factor = parameters[_FACTOR] / np.sqrt(variance + self.epsilon)
        terms = np.array([mean, factor, parameters[_OFFSET]], np.float32)
        fill(out, lambda whole: _scale(x, terms, whole))

    def backward(
        self, d: Array, index: int, inputs: Sequence[Array], y: Array | None, call: Call
    ) -> Array:
        """Through the value itself, and through mean and variance where they are the batch's."""
        x, factor = inputs[0], call.parameters[_FACTOR]
        if not self._measures(call):
            _, variance = self._remembered(call.parameters)
            return d * (factor / np.sqrt(variance + self.epsilon)).astype(np.float32)
        columns, total, product = self._error_sums(x, d, call)
        slope = product * columns.inverse / len(x)
        terms = np.array(
            [columns.mean, factor * columns.inverse, total / len(x), slope], np.float32
        )
        result = np.empty_like(x)
        _scale_errors(x, np.ascontiguousarray(d), terms, result)
        return result

    @property
    def learned_rows(self) -> int:
        """Factors and offsets, unless it is frozen."""
        return 0 if self.frozen else 2

    def parameter_error(self, d: Array, inputs: Sequence[Array], call: Call) -> Sums:
        """Of factors and offsets."""
        _, total, product = self._error_sums(inputs[0], d, call)
        return np.stack([product, total])[: self.learned_rows]

    def _measures(self, call: Call) -> bool:
        """Whether mean and variance are the micro-batch's own."""
        return call.is_training and not self.frozen

    def _error_sums(self, x: Array, d: Array, call: Call) -> tuple[_Columns, Sums, Sums]:
        """Moments, and the sums of the errors and of their products with the normalised input."""
        sums = np.zeros((4, self.features))
        _add_up_errors(x, np.ascontiguousarray(d), sums)
        mean, variance = (
            self._moments(sums, len(x))
            if self._measures(call)
            else self._remembered(call.parameters)
        )
        columns = _Columns(mean, 1 / np.sqrt(variance + self.epsilon))
        return columns, sums[2], (sums[3] - mean * sums[2]) * columns.inverse

    def _remember(self, parameters: Array, mean: Sums, variance: Sums) -> None:
        for row, newest in ((_MEAN, mean), (_VARIANCE, variance)):
            parameters[row] = (1 - self.momentum) * parameters[row].astype(
                float
            ) + self.momentum * newest

    @staticmethod
    def _moments(sums: Sums, n: int) -> tuple[Sums, Sums]:
        mean = sums[0] / n
        return mean, np.maximum(sums[1] / n - mean * mean, 0)

    @staticmethod
    def _remembered(parameters: Array) -> tuple[Sums, Sums]:
        return parameters[_MEAN].astype(np.float64), parameters[_VARIANCE].astype(np.float64)
