"""Operators that normalise: by mean and deviation, by a norm, or by what is near."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np

from crossmesh.common.compiled import kernel
from crossmesh.tiles.digital.base import Array
from crossmesh.tiles.digital.operators.base import Axes, Operator
from crossmesh.tiles.digital.operators.ordering import Along
from crossmesh.tiles.digital.operators.reductions import check_over
from crossmesh.tiles.digital.operators.sums import Sums, folded, summed, summing, unfolded
from crossmesh.tiles.digital.operators.weighing import Weights, weighed, weighed_error


@summing
def _sums_of_row(x: Array, v: Array, i: int) -> tuple[float, float]:
    """Sums of v and of x times v in row ``i``."""
    total, product = 0.0, 0.0
    for j in range(x.shape[1]):
        number = np.float64(v[i, j, 0])
        total += number
        product += number * x[i, j, 0]
    return total, product


@kernel
def _add_up(
    x: Array,  # (outer, folded, inner)
    v: Array,  # (outer, folded, inner)
    out: Sums,  # (2, outer, 1, inner), zeros at first; written: sums of v, and of x times v
) -> None:
    for i in range(x.shape[0]):
        if x.shape[2] == 1:
            out[0, i, 0, 0], out[1, i, 0, 0] = _sums_of_row(x, v, i)
        else:
            for j in range(x.shape[1]):
                for k in range(x.shape[2]):
                    number = np.float64(v[i, j, k])
                    out[0, i, 0, k] += number
                    out[1, i, 0, k] += number * x[i, j, k]


@kernel
def _scale(
    x: Array,  # (outer, folded, inner)
    moments: Array,  # (2, outer, 1, inner) mean, and one over the deviation
    out: Array,  # (outer, folded, inner), written
) -> None:
    for i in range(x.shape[0]):
        if x.shape[2] == 1:
            mean, inverse = moments[0, i, 0, 0], moments[1, i, 0, 0]
            for j in range(x.shape[1]):
                out[i, j, 0] = (x[i, j, 0] - mean) * inverse
        else:
            for j in range(x.shape[1]):
                for k in range(x.shape[2]):
                    out[i, j, k] = (x[i, j, k] - moments[0, i, 0, k]) * moments[1, i, 0, k]


@kernel
def _scale_error(
    d: Array,  # (outer, folded, inner)
    x: Array,  # (outer, folded, inner)
    factors: Array,  # (4, outer, 1, inner) mean, one over the deviation, mean error, slope
    out: Array,  # (outer, folded, inner), written
) -> None:
    for i in range(x.shape[0]):
        if x.shape[2] == 1:
            mean, inverse = factors[0, i, 0, 0], factors[1, i, 0, 0]
            total, slope = factors[2, i, 0, 0], factors[3, i, 0, 0]
            for j in range(x.shape[1]):
                out[i, j, 0] = (d[i, j, 0] - total - (x[i, j, 0] - mean) * slope) * inverse
        else:
            for j in range(x.shape[1]):
                for k in range(x.shape[2]):
                    shifted = (x[i, j, k] - factors[0, i, 0, k]) * factors[3, i, 0, k]
                    rest = d[i, j, k] - factors[2, i, 0, k] - shifted
                    out[i, j, k] = rest * factors[1, i, 0, k]


def _sums(x: Array, v: Array) -> Sums:
    """Sums of v, and of x times v, over the folded axis: ``(2, outer, 1, inner)``."""
    out = np.zeros((2, len(x), 1, x.shape[2]))
    _add_up(x, v, out)
    return out


@dataclass(frozen=True, kw_only=True)
class Normalise(Operator):
    """``(x - mean) / sqrt(variance + epsilon)`` over some axes.

    Attributes:
        over: The axes, in ascending order.
        epsilon: Added to the variance.
        centred: Whether the mean is taken off; else the mean square stands for the variance.
    """

    name: ClassVar[str] = "normalise"
    needs_inputs: ClassVar[bool] = True

    over: tuple[int, ...]
    epsilon: float = 1e-5
    centred: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_over(self, self.over)
        if self.epsilon < 0:
            raise ValueError(f"normalise.epsilon must not be below 0, got {self.epsilon}")

    @property
    def axes(self) -> Axes:
        """Those of the operand."""
        return self.operands[0].axes

    @property
    def work(self) -> float:
        """Sums of numbers and of squares, a difference and a product."""
        return 5.0

    def _folded(self, x: Array) -> Array:
        return folded(x, [1 + axis for axis in self.over])

    def _unfolded(self, three: Array, n: int) -> Array:
        return unfolded(three, (n, *self.axes), [1 + axis for axis in self.over])

    def _moments(self, x: Array) -> tuple[Sums, Sums]:
        """Mean of ``(outer, folded, inner)``, and one over the deviation."""
        mean, square = _sums(x, x) / x.shape[1]
        mean *= self.centred
        variance = np.maximum(square - mean * mean, 0)
        return mean, 1 / np.sqrt(variance + self.epsilon)

    def compute(self, tensors: Sequence[Array], out: Array) -> None:
        """Less the mean, times one over the deviation."""
        x = self._folded(tensors[0])
        result = np.empty_like(x)
        _scale(x, np.array(self._moments(x), np.float32), result)
        out[...] = self._unfolded(result, len(tensors[0]))

    def error(self, d: Array, index: int, tensors: Sequence[Array], y: Array | None) -> Array:
        """Through the number itself, the mean and the variance."""
        x, error = self._folded(tensors[0]), self._folded(d)
        mean, inverse = self._moments(x)
        total, product = _sums(x, error) / x.shape[1]
        slope = (product - mean * total) * inverse * inverse
        result = np.empty_like(x)
        factors = np.array((mean, inverse, total * self.centred, slope), np.float32)
        _scale_error(error, x, factors, result)
        return self._unfolded(result, len(d))


@dataclass(frozen=True, kw_only=True)
class LpNormalise(Along):
    """``x`` over its p-norm along an axis; 0 where that is 0.

    Attributes:
        axis: The axis.
        p: 1 or 2.
    """

    name: ClassVar[str] = "lp_normalise"
    needs_inputs: ClassVar[bool] = True
    needs_output: ClassVar[bool] = True

    p: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.p not in (1, 2):
            raise ValueError(f"lp_normalise.p must be 1 or 2, got {self.p}")

    @property
    def work(self) -> float:
        """A square, a sum and a quotient."""
        return 3.0

    def _inverse(self, x: Array) -> Array:
        """One over the norm, or 0."""
        powers = np.abs(x) if self.p == 1 else np.square(x)
        norm = summed(powers, (self._along,)) ** (1 / self.p)
        return np.where(norm == 0, 0, 1 / norm).astype(np.float32)

    def compute(self, tensors: Sequence[Array], out: Array) -> None:
        """Divide."""
        np.multiply(tensors[0], self._inverse(tensors[0]), out=out)

    def error(self, d: Array, index: int, tensors: Sequence[Array], y: Array | None) -> Array:
        """Through the number itself and the norm."""
        assert y is not None
        x = tensors[0]
        product = summed(d * y, (self._along,)).astype(np.float32)
        return (d - product * (np.sign(x) if self.p == 1 else y)) * self._inverse(x)


@dataclass(frozen=True, kw_only=True)
class LocalResponse(Along):
    """``x * (bias + alpha / size * sum of squares nearby) ** -beta`` along an axis.

    Source: Krizhevsky, Sutskever and Hinton 2012 (NIPS), section 3.3; windows as ONNX has them.

    Attributes:
        axis: The axis.
        size: How many numbers are nearby; of an even number, one more after than before.
        alpha: Factor of the mean square,
        beta: exponent,
        bias: and offset.
    """

    name: ClassVar[str] = "local_response"
    needs_inputs: ClassVar[bool] = True

    size: int
    alpha: float = 1e-4
    beta: float = 0.75
    bias: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size < 1:
            raise ValueError(f"local_response.size must be at least 1, got {self.size}")

    @property
    def work(self) -> float:
        """A square, sums and a power."""
        return self.size + 12.0

    @property
    def _near(self) -> Weights:
        return _nearby(self.axes[self.axis], self.size)

    def _scale(self, x: Array) -> Array:
        scale = np.empty(x.shape, np.float32)
        weighed(np.square(x), self._along, self._near, scale)
        scale *= np.float32(self.alpha / self.size)
        scale += np.float32(self.bias)
        return scale

    def compute(self, tensors: Sequence[Array], out: Array) -> None:
        """Scale."""
        np.power(self._scale(tensors[0]), np.float32(-self.beta), out=out)
        out *= tensors[0]

    def error(self, d: Array, index: int, tensors: Sequence[Array], y: Array | None) -> Array:
        """Through the number itself and all scales in which it is."""
        x = tensors[0]
        scale = self._scale(x)
        power: Array = np.power(scale, np.float32(-self.beta))
        product = d * x * power / scale
        near = weighed_error(product, self._along, self._near, x.shape)
        return d * power - np.float32(2 * self.alpha * self.beta / self.size) * x * near


@lru_cache(maxsize=64)
def _nearby(n: int, size: int) -> Weights:
    places = np.arange(n)[:, None] + np.arange(size) - (size - 1) // 2
    inside = (places >= 0) & (places < n)
    return Weights(np.clip(places, 0, n - 1), inside.astype(np.float32))


NORMS: tuple[type[Operator], ...] = (Normalise, LpNormalise, LocalResponse)
