"""Layer normalisation. Sums are of float64; the backward pass computes them again."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from crossmesh.common.compiled import FAST, inlined, kernel
from crossmesh.common.random import Stream
from crossmesh.tiles.digital.base import Array, Call, Learned
from crossmesh.tiles.digital.rows import fill

Sums = NDArray[np.float64]

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
    parameters: Array,  # (2, features) factor and offset
    epsilon: float,
    out: Array,  # (n, features), written
) -> None:
    for i in range(x.shape[0]):
        mean, inverse = _moments_of_row(x, i, epsilon)
        centre, scale = np.float32(mean), np.float32(inverse)
        for j in range(x.shape[1]):
            out[i, j] = (x[i, j] - centre) * scale * parameters[0, j] + parameters[1, j]


@kernel
def _derive_rows(
    x: Array,  # (n, features)
    d: Array,  # (n, features)
    parameters: Array,  # (2, features) factor and offset
    epsilon: float,
    out: Array,  # (n, features), written
) -> None:
    n = x.shape[1]
    for i in range(x.shape[0]):
        mean, inverse = _moments_of_row(x, i, epsilon)
        error, product = _error_sums_of_row(d, x, parameters[0], i)
        centre, scale, total = np.float32(mean), np.float32(inverse), np.float32(error / n)
        slope = np.float32((product - mean * error) * inverse * inverse / n)
        for j in range(n):
            rest = d[i, j] * parameters[0, j] - total - (x[i, j] - centre) * slope
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
        features: Features of the value.
        epsilon: Added to the variance.
    """

    needs_inputs: ClassVar[bool] = True
    decays: ClassVar[bool] = False

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
        fill(out, lambda whole: _normalise_rows(inputs[0], call.parameters, self.epsilon, whole))

    def backward(
        self, d: Array, index: int, inputs: Sequence[Array], y: Array | None, call: Call
    ) -> Array:
        """Through the value itself, its mean and its variance."""
        result = np.empty_like(inputs[0])
        _derive_rows(inputs[0], np.ascontiguousarray(d), call.parameters, self.epsilon, result)
        return result

    def parameter_error(self, d: Array, inputs: Sequence[Array], call: Call) -> Sums:
        """Of factors and offsets."""
        sums = np.zeros(self.shape)
        _add_up_rows(inputs[0], np.ascontiguousarray(d), self.epsilon, sums)
        return sums
