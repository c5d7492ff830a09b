"""Operators that set numbers along an axis in relation to each other."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from crossmesh.tiles.digital.base import Array
from crossmesh.tiles.digital.operators.base import Axes, Operator
from crossmesh.tiles.digital.operators.movement import check_axis, replaced
from crossmesh.tiles.digital.operators.shares import (
    log_softmax_rows,
    log_softmax_rows_error,
    softmax_rows,
    softmax_rows_error,
)
from crossmesh.tiles.digital.operators.sums import cumulate, folded, row_parts, summed


@dataclass(frozen=True, kw_only=True)
class Along(Operator):
    """Base class: something of the numbers along an axis.

    Attributes:
        axis: The axis.
    """

    axis: int

    def __post_init__(self) -> None:
        super().__post_init__()
        check_axis(self, self.axis, len(self.operands[0].axes))

    @property
    def axes(self) -> Axes:
        """Those of the operand."""
        return self.operands[0].axes

    @property
    def _along(self) -> int:
        """The axis of ``(examples, *axes)``."""
        return 1 + self.axis


@dataclass(frozen=True, kw_only=True)
class Share(Along):
    """Base class: every number in proportion to all along the axis."""

    needs_output: ClassVar[bool] = True
    kernel: ClassVar[Any]  # numba's, of rows (x, largest of each, out)
    error_kernel: ClassVar[Any]  # of rows (d, y, out)

    @property
    def work(self) -> float:
        """An exponential, a sum and a quotient."""
        return 12.0

    def compute(self, tensors: Sequence[Array], out: Array) -> None:
        """Row by row, or part by part."""
        x, y = (folded(tensor, (self._along,)) for tensor in (tensors[0], out))
        if x.shape[2] == 1:
            self.kernel(x[:, :, 0], np.maximum.reduce(x[:, :, 0], axis=1), y[:, :, 0])
            return
        for part in row_parts(x):
            self.rows(x[part] - np.maximum.reduce(x[part], axis=1, keepdims=True), y[part])

    def error(self, d: Array, index: int, tensors: Sequence[Array], y: Array | None) -> Array:
        """Row by row, or part by part."""
        assert y is not None
        result = np.empty(d.shape, np.float32)
        error, at, to = (folded(tensor, (self._along,)) for tensor in (d, y, result))
        if at.shape[2] == 1:
            self.error_kernel(error[:, :, 0], at[:, :, 0], to[:, :, 0])
            return result
        for part in row_parts(at):
            self.rows_error(error[part], at[part], to[part])
        return result

    @abstractmethod
    def rows(self, x: Array, out: Array) -> None:
        """Write the result of some rows ``(outer, along, inner)``, whose largest number is 0."""

    @abstractmethod
    def rows_error(self, d: Array, y: Array, out: Array) -> None:
        """Write their error."""


def _total(three: Array) -> Array:
    return summed(three, (1,)).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class SoftmaxAlong(Share):
    """``exp(x) / sum(exp(x))``."""

    name: ClassVar[str] = "softmax"
    kernel = staticmethod(softmax_rows)
    error_kernel = staticmethod(softmax_rows_error)

    @property
    def sums_to_one(self) -> bool:  # type: ignore[override]  # follows the axes
        """Whether a result is one row of shares."""
        return len(self.axes) == 1

    limits: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def rows(self, x: Array, out: Array) -> None:
        """Exponentials over their sum."""
        np.exp(x, out=out)
        out /= _total(out)

    def rows_error(self, d: Array, y: Array, out: Array) -> None:
        """``y * (d - sum(d * y))``."""
        np.subtract(d, _total(d * y), out=out)
        out *= y


@dataclass(frozen=True, kw_only=True)
class LogSoftmax(Share):
    """The logarithm of a softmax."""

    name: ClassVar[str] = "log_softmax"
    kernel = staticmethod(log_softmax_rows)
    error_kernel = staticmethod(log_softmax_rows_error)
    limits: ClassVar[tuple[float, float]] = (-np.inf, 0.0)

    def rows(self, x: Array, out: Array) -> None:
        """Less the logarithm of the sum of exponentials."""
        np.subtract(x, np.log(_total(np.exp(x))), out=out)

    def rows_error(self, d: Array, y: Array, out: Array) -> None:
        """``d - exp(y) * sum(d)``."""
        np.multiply(np.exp(y), _total(d), out=out)
        np.subtract(d, out, out=out)


@dataclass(frozen=True, kw_only=True)
class Hardmax(Along):
    """1 at the largest number along an axis, the first of equal ones; else 0."""

    name: ClassVar[str] = "hardmax"
    passes_errors: ClassVar[bool] = False
    limits: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def compute(self, tensors: Sequence[Array], out: Array) -> None:
        """Find it."""
        out[...] = 0
        places = np.argmax(tensors[0], axis=self._along, keepdims=True)
        np.put_along_axis(out, places, np.float32(1), axis=self._along)

    def error(self, d: Array, index: int, tensors: Sequence[Array], y: Array | None) -> Array:
        """None."""
        return np.zeros_like(d)


@dataclass(frozen=True, kw_only=True)
class ArgMax(Along):
    """Place of the largest number along an axis.

    Attributes:
        axis: The axis.
        keep: Whether the axis stays, with size 1.
        last: Whether the last of equal ones counts, not the first.
    """

    name: ClassVar[str] = "argmax"
    passes_errors: ClassVar[bool] = False
    sign: ClassVar[int] = 1

    keep: bool = False
    last: bool = False

    @property
    def axes(self) -> Axes:
        """Without the axis, or with size 1."""
        return replaced(self.operands[0].axes, self.axis, *(1,) * self.keep)

    def compute(self, tensors: Sequence[Array], out: Array) -> None:
        """Find it."""
        x = tensors[0] if self.sign > 0 else -tensors[0]
        if self.last:
            behind = np.argmax(np.flip(x, self._along), axis=self._along)
            out[...] = (x.shape[self._along] - 1 - behind).reshape(-1, *self.axes)
        else:
            out[...] = np.argmax(x, axis=self._along).reshape(-1, *self.axes)

    def error(self, d: Array, index: int, tensors: Sequence[Array], y: Array | None) -> Array:
        """None."""
        return np.zeros((len(d), *self.operands[0].axes), np.float32)


@dataclass(frozen=True, kw_only=True)
class ArgMin(ArgMax):
    """Place of the smallest number along an axis; settings as of ``ArgMax``."""

    name: ClassVar[str] = "argmin"
    sign: ClassVar[int] = -1


@dataclass(frozen=True, kw_only=True)
class CumulativeSum(Along):
    """Sum of all numbers up to each, along an axis.

    Attributes:
        axis: The axis.
        exclusive: Whether a number itself does not count.
        reverse: Whether those after it count, not those before.
    """

    name: ClassVar[str] = "cumulative_sum"

    exclusive: bool = False
    reverse: bool = False

    def compute(self, tensors: Sequence[Array], out: Array) -> None:
        """Add one after the other."""
        out[...] = self._cumulated(tensors[0], self.reverse)

    def error(self, d: Array, index: int, tensors: Sequence[Array], y: Array | None) -> Array:
        """The errors of all sums in which a number is."""
        return self._cumulated(d, not self.reverse)

    def _cumulated(self, x: Array, reverse: bool) -> Array:
        three = folded(x, (self._along,))
        result = np.empty_like(three)
        cumulate(three, self.exclusive, reverse, result)
        return result.reshape(x.shape)


@dataclass(frozen=True, kw_only=True)
class Top(Along):
    """The largest or smallest numbers along an axis in their order, or their places.

    Attributes:
        axis: The axis.
        k: How many; of equal ones those that come first.
        largest: Whether the largest are meant.
        part: ``values`` or ``places``.
    """

    name: ClassVar[str] = "top"
    needs_inputs: ClassVar[bool] = True

    k: int
    largest: bool = True
    part: str = "values"

    def __post_init__(self) -> None:
        super().__post_init__()
        size = self.operands[0].axes[self.axis]
        if not 1 <= self.k <= size:
            raise ValueError(f"top.k must be from 1 to {size}, got {self.k}")
        if self.part not in ("values", "places"):
            raise ValueError(f"top.part must be values or places, got {self.part}")

    @property
    def passes_errors(self) -> bool:  # type: ignore[override]  # follows a setting
        """Whether these are values."""
        return self.part == "values"

    @property
    def axes(self) -> Axes:
        """So many along the axis."""
        return replaced(self.operands[0].axes, self.axis, self.k)

    def _places(self, x: Array) -> NDArray[np.int64]:
        order = np.argsort(-x if self.largest else x, axis=self._along, kind="stable")
        return np.take(order, np.arange(self.k), axis=self._along)

    def compute(self, tensors: Sequence[Array], out: Array) -> None:
        """Sort."""
        places = self._places(tensors[0])
        is_value = self.part == "values"
        out[...] = np.take_along_axis(tensors[0], places, self._along) if is_value else places

    def error(self, d: Array, index: int, tensors: Sequence[Array], y: Array | None) -> Array:
        """Back to the places."""
        x = tensors[0]
        result = np.zeros((len(d), *x.shape[1:]), np.float32)
        np.put_along_axis(result, self._places(x), d, axis=self._along)
        return result


ORDERINGS: tuple[type[Operator], ...] = (
    SoftmaxAlong, LogSoftmax, Hardmax, ArgMax, ArgMin, CumulativeSum, Top,
)  # fmt: skip
