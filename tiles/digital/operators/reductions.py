"""Operators that make one number of those along some axes."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from crossmesh.tiles.digital.base import Array
from crossmesh.tiles.digital.operators.base import Axes, Operator
from crossmesh.tiles.digital.operators.sums import Sums, folded, summed, unfolded


def check_over(operator: Operator, over: tuple[int, ...]) -> None:
    """Refuse axes that are not there, or not in ascending order.

    Raises:
        ValueError: Naming the operator.
    """
    n = len(operator.operands[0].axes)
    if any(not 0 <= axis < n for axis in over) or list(over) != sorted(set(over)):
        raise ValueError(
            f"{operator.name}.over must be ascending axes from 0 to {n - 1}, got {over}"
        )


@dataclass(frozen=True, kw_only=True)
class Reduction(Operator):
    """Base class: one number of many.

    Attributes:
        over: The axes that are reduced, in ascending order; none of them: numbers by themselves.
        keep: Whether they stay, with size 1.
    """

    over: tuple[int, ...]
    keep: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_over(self, self.over)

    @property
    def axes(self) -> Axes:
        """Without those that are reduced, or with size 1."""
        taken = enumerate(self.operands[0].axes)
        if self.keep:
            return tuple(1 if axis in self.over else size for axis, size in taken)
        return tuple(size for axis, size in taken if axis not in self.over)

    @property
    def count(self) -> int:
        """How many numbers make one."""
        return math.prod(self.operands[0].axes[axis] for axis in self.over)

    @property
    def _reduced(self) -> tuple[int, ...]:
        """The axes of ``(examples, *axes)``."""
        return tuple(1 + axis for axis in self.over)

    def compute(self, tensors: Sequence[Array], out: Array) -> None:
        """Reduce, and write."""
        out[...] = self.reduced(tensors[0]).reshape(-1, *self.axes)

    def error(self, d: Array, index: int, tensors: Sequence[Array], y: Array | None) -> Array:
        """Spread over the numbers, times the derivative."""
        taken = self.operands[0].axes
        kept = [1 if axis in self.over else size for axis, size in enumerate(taken)]
        x = tensors[0] if tensors else d
        result = None if y is None else y.reshape(len(y), *kept)
        share = self.share(d.reshape(len(d), *kept), x, result)
        return np.broadcast_to(share, (len(d), *taken))

    @abstractmethod
    def reduced(self, x: Array) -> Array | Sums:
        """The numbers of the result, of any shape."""

    @abstractmethod
    def share(self, d: Array, x: Array, y: Array | None) -> Array:
        """The error at the operand; reduced axes of ``d`` and ``y`` have size 1."""


@dataclass(frozen=True, kw_only=True)
class Sum(Reduction):
    """The sum."""

    name: ClassVar[str] = "sum"

    def reduced(self, x: Array) -> Array | Sums:
        """Add up."""
        return summed(x, self._reduced)

    def share(self, d: Array, x: Array, y: Array | None) -> Array:
        """All of it."""
        return d


@dataclass(frozen=True, kw_only=True)
class Mean(Reduction):
    """The mean."""

    name: ClassVar[str] = "mean"

    def reduced(self, x: Array) -> Array | Sums:
        """Add up and divide."""
        return summed(x, self._reduced) / self.count

    def share(self, d: Array, x: Array, y: Array | None) -> Array:
        """Shared out."""
        return d / np.float32(self.count)


@dataclass(frozen=True, kw_only=True)
class Extreme(Reduction):
    """Base class: the largest or smallest; all that are equal to it share the error."""

    needs_inputs: ClassVar[bool] = True
    needs_output: ClassVar[bool] = True
    function: ClassVar[np.ufunc]

    def reduced(self, x: Array) -> Array | Sums:
        """Compare."""
        result: Array = self.function.reduce(x, axis=self._reduced)
        return result

    def share(self, d: Array, x: Array, y: Array | None) -> Array:
        """Shared equally."""
        ties = x == y
        return ties * (d / summed(ties, self._reduced).astype(np.float32))


@dataclass(frozen=True, kw_only=True)
class Max(Extreme):
    """The largest."""

    name: ClassVar[str] = "max"
    function: ClassVar[np.ufunc] = np.maximum


@dataclass(frozen=True, kw_only=True)
class Min(Extreme):
    """The smallest."""

    name: ClassVar[str] = "min"
    function: ClassVar[np.ufunc] = np.minimum


@dataclass(frozen=True, kw_only=True)
class ProductOf(Reduction):
    """The product."""

    name: ClassVar[str] = "product"
    needs_inputs: ClassVar[bool] = True

    def reduced(self, x: Array) -> Array | Sums:
        """Multiply in float64, one after the other."""
        three = folded(x, self._reduced)
        result = np.ones((three.shape[0], three.shape[2]))
        for j in range(three.shape[1]):
            result *= three[:, j]
        return result

    def share(self, d: Array, x: Array, y: Array | None) -> Array:
        """Times the product of all others, also where there are zeros."""
        three = folded(x, self._reduced).astype(np.float64)
        before, after = np.ones_like(three), np.ones_like(three)
        for j in range(1, three.shape[1]):
            np.multiply(before[:, j - 1], three[:, j - 1], out=before[:, j])
            np.multiply(after[:, -j], three[:, -j], out=after[:, -j - 1])
        others = (before * after).astype(np.float32)
        return d * unfolded(others, x.shape, self._reduced)


@dataclass(frozen=True, kw_only=True)
class L1(Reduction):
    """The sum of absolute values."""

    name: ClassVar[str] = "l1"
    needs_inputs: ClassVar[bool] = True

    def reduced(self, x: Array) -> Array | Sums:
        """Add up."""
        return summed(np.abs(x), self._reduced)

    def share(self, d: Array, x: Array, y: Array | None) -> Array:
        """With the sign of the number."""
        return d * np.sign(x)


@dataclass(frozen=True, kw_only=True)
class L2(Reduction):
    """The square root of the sum of squares."""

    name: ClassVar[str] = "l2"
    needs_inputs: ClassVar[bool] = True
    needs_output: ClassVar[bool] = True

    def reduced(self, x: Array) -> Array | Sums:
        """Add up squares."""
        return np.sqrt(summed(np.square(x), self._reduced))

    def share(self, d: Array, x: Array, y: Array | None) -> Array:
        """``d * x / y``; none where all are 0."""
        assert y is not None
        return x * np.where(y == 0, np.float32(0), d / y)


@dataclass(frozen=True, kw_only=True)
class SumSquare(Reduction):
    """The sum of squares."""

    name: ClassVar[str] = "sum_square"
    needs_inputs: ClassVar[bool] = True

    def reduced(self, x: Array) -> Array | Sums:
        """Add up squares."""
        return summed(np.square(x), self._reduced)

    def share(self, d: Array, x: Array, y: Array | None) -> Array:
        """``2 * d * x``."""
        return 2 * d * x


@dataclass(frozen=True, kw_only=True)
class LogSum(Reduction):
    """The logarithm of the sum."""

    name: ClassVar[str] = "log_sum"
    needs_output: ClassVar[bool] = True

    def reduced(self, x: Array) -> Array | Sums:
        """Add up."""
        return np.log(summed(x, self._reduced))

    def share(self, d: Array, x: Array, y: Array | None) -> Array:
        """``d`` over the sum."""
        assert y is not None
        return d * np.exp(-y)


@dataclass(frozen=True, kw_only=True)
class LogSumExp(Reduction):
    """The logarithm of the sum of exponentials."""

    name: ClassVar[str] = "log_sum_exp"
    needs_inputs: ClassVar[bool] = True
    needs_output: ClassVar[bool] = True

    @property
    def work(self) -> float:
        """An exponential and a sum."""
        return 11.0

    def reduced(self, x: Array) -> Array | Sums:
        """Shifted by the largest, which cannot overflow."""
        largest = np.maximum.reduce(x, axis=self._reduced, keepdims=True)
        shift = np.where(np.isfinite(largest), largest, np.float32(0))
        return np.log(summed(np.exp(x - shift), self._reduced)) + shift

    def share(self, d: Array, x: Array, y: Array | None) -> Array:
        """In proportion to the exponentials."""
        assert y is not None
        return d * np.exp(x - y)


REDUCTIONS: tuple[type[Operator], ...] = (
    Sum, Mean, Max, Min, ProductOf, L1, L2, SumSquare, LogSum, LogSumExp,
)  # fmt: skip
