"""Operators that combine numbers at the same place of several tensors, spread over each other."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from crossmesh.tiles.digital.base import Array
from crossmesh.tiles.digital.operators.base import Axes, Operator, gathered, spread

_HALF = np.float32(0.5)


@dataclass(frozen=True, kw_only=True)
class Combination(Operator):
    """Base class: numbers at the same place make one number.

    Attributes:
        function: NumPy's function, if there is one.
    """

    n_operands: ClassVar[int | None] = 2
    needs_inputs: ClassVar[bool] = True
    function: ClassVar[np.ufunc]

    @property
    def axes(self) -> Axes:
        """Those over which all are spread."""
        return spread(self.operands)

    def compute(self, tensors: Sequence[Array], out: Array) -> None:
        """NumPy's function."""
        self.function(*tensors, out=out)

    def error(self, d: Array, index: int, tensors: Sequence[Array], y: Array | None) -> Array:
        """Of each number, summed over what an operand was spread over."""
        return gathered(self.share(d, index, tensors, y), self.operands[index])

    @abstractmethod
    def share(self, d: Array, index: int, tensors: Sequence[Array], y: Array | None) -> Array:
        """The error at an operand for each number of the result, of the result's axes."""


@dataclass(frozen=True, kw_only=True)
class Add(Combination):
    """``a + b``."""

    name: ClassVar[str] = "add"
    function: ClassVar[np.ufunc] = np.add
    needs_inputs: ClassVar[bool] = False

    def share(self, d: Array, index: int, tensors: Sequence[Array], y: Array | None) -> Array:
        """The error itself."""
        return d


@dataclass(frozen=True, kw_only=True)
class Subtract(Combination):
    """``a - b``."""

    name: ClassVar[str] = "subtract"
    function: ClassVar[np.ufunc] = np.subtract
    needs_inputs: ClassVar[bool] = False

    def share(self, d: Array, index: int, tensors: Sequence[Array], y: Array | None) -> Array:
        """The error itself, or minus it."""
        return -d if index else d


@dataclass(frozen=True, kw_only=True)
class Multiply(Combination):
    """``a * b``."""

    name: ClassVar[str] = "multiply"
    function: ClassVar[np.ufunc] = np.multiply

    def share(self, d: Array, index: int, tensors: Sequence[Array], y: Array | None) -> Array:
        """Times the other one."""
        return d * tensors[1 - index]


@dataclass(frozen=True, kw_only=True)
class Divide(Combination):
    """``a / b``.

    Attributes:
        whole: Whether the result is truncated towards zero, which passes no errors.
    """

    name: ClassVar[str] = "divide"
    function: ClassVar[np.ufunc] = np.divide

    whole: bool = False

    @property
    def passes_errors(self) -> bool:  # type: ignore[override]  # follows a setting
        """Whether nothing is truncated."""
        return not self.whole

    def compute(self, tensors: Sequence[Array], out: Array) -> None:
        """The quotient; float64 keeps those of whole numbers exact."""
        if self.whole:
            out[...] = np.trunc(self.function(*tensors, dtype=np.float64))
        else:
            super().compute(tensors, out)

    def share(self, d: Array, index: int, tensors: Sequence[Array], y: Array | None) -> Array:
        """``d / b`` and ``-d * a / b**2``."""
        a, b = tensors
        return -d * a / (b * b) if index else d / b


@dataclass(frozen=True, kw_only=True)
class Power(Combination):
    """``a ** b``."""

    name: ClassVar[str] = "power"
    function: ClassVar[np.ufunc] = np.power

    @property
    def work(self) -> float:
        """A logarithm, a product and an exponential."""
        return 10.0

    def share(self, d: Array, index: int, tensors: Sequence[Array], y: Array | None) -> Array:
        """``d * b * a**(b - 1)`` and ``d * log(a) * a**b``, without the places where it is 0."""
        a, b = tensors
        if index:
            return np.where((a == 0) & (b >= 0), np.float32(0), d * np.power(a, b) * np.log(a))
        return np.where(b == 0, np.float32(0), d * b * np.power(a, b - 1))


@dataclass(frozen=True, kw_only=True)
class Maximum(Combination):
    """The larger of two numbers; equal ones share the error."""

    name: ClassVar[str] = "maximum"
    function: ClassVar[np.ufunc] = np.maximum

    def share(self, d: Array, index: int, tensors: Sequence[Array], y: Array | None) -> Array:
        """All of it, half of it or nothing."""
        return _won(d, tensors[index], tensors[1 - index])


@dataclass(frozen=True, kw_only=True)
class Minimum(Combination):
    """The smaller of two numbers; equal ones share the error."""

    name: ClassVar[str] = "minimum"
    function: ClassVar[np.ufunc] = np.minimum

    def share(self, d: Array, index: int, tensors: Sequence[Array], y: Array | None) -> Array:
        """All of it, half of it or nothing."""
        return _won(d, tensors[1 - index], tensors[index])


def _won(d: Array, larger: Array, smaller: Array) -> Array:
    """The error where one number is the larger, half of it where both are equal."""
    weight: Array = np.add(larger > smaller, larger >= smaller, dtype=np.float32)
    return d * (weight * _HALF)


@dataclass(frozen=True, kw_only=True)
class Modulo(Combination):
    """What is left of ``a`` when ``b`` is taken off it a whole number of times.

    Attributes:
        fmod: Whether the result has the sign of ``a``, not of ``b``.
    """

    name: ClassVar[str] = "modulo"

    fmod: bool = False

    @property
    def function(self) -> np.ufunc:  # type: ignore[override]  # follows a setting
        """NumPy's of the same names."""
        return np.fmod if self.fmod else np.mod

    def share(self, d: Array, index: int, tensors: Sequence[Array], y: Array | None) -> Array:
        """The error itself, or minus how often ``b`` was taken off."""
        if not index:
            return d
        a, b = tensors
        return -d * (np.trunc(a / b) if self.fmod else np.floor(a / b))


@dataclass(frozen=True, kw_only=True)
class Where(Combination):
    """``x`` where a condition is not 0, else ``y``; operands are condition, x and y."""

    name: ClassVar[str] = "where"
    n_operands: ClassVar[int | None] = 3

    def compute(self, tensors: Sequence[Array], out: Array) -> None:
        """Choose."""
        condition, x, y = tensors
        out[...] = y
        np.copyto(out, x, where=condition != 0)

    def share(self, d: Array, index: int, tensors: Sequence[Array], y: Array | None) -> Array:
        """Where it was chosen; the condition has none."""
        if index == 0:
            return np.zeros_like(d)
        return d * ((tensors[0] != 0) == (index == 1))


@dataclass(frozen=True, kw_only=True)
class Prelu(Combination):
    """``x`` above zero, ``slope * x`` below; operands are x and the slope.

    Source: He, Zhang, Ren and Sun 2015, arXiv 1502.01852.
    """

    name: ClassVar[str] = "prelu"

    def compute(self, tensors: Sequence[Array], out: Array) -> None:
        """Scale what is below zero."""
        x, slope = tensors
        np.multiply(x, slope, out=out)
        np.copyto(out, x, where=x > 0)

    def share(self, d: Array, index: int, tensors: Sequence[Array], y: Array | None) -> Array:
        """Times the slope, or times what it scaled."""
        x, slope = tensors
        if index:
            return d * np.minimum(x, np.float32(0))
        return d * np.where(x > 0, np.float32(1), slope)


@dataclass(frozen=True, kw_only=True)
class Comparison(Combination):
    """Base class: 1 where something holds for two numbers, else 0."""

    needs_inputs: ClassVar[bool] = False
    passes_errors: ClassVar[bool] = False
    limits: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def share(self, d: Array, index: int, tensors: Sequence[Array], y: Array | None) -> Array:
        """None."""
        return np.zeros_like(d)


def _comparison(name: str, holds: np.ufunc) -> type[Comparison]:
    """The operator of a function of two numbers."""
    title = name.title().replace("_", "")
    body = {"name": name, "function": holds, "__doc__": f"1 where ``{holds.__name__}``, else 0."}
    return type(title, (Comparison,), body)


COMBINATIONS: tuple[type[Combination], ...] = (
    Add,
    Subtract,
    Multiply,
    Divide,
    Power,
    Maximum,
    Minimum,
    Modulo,
    Where,
    Prelu,
    _comparison("equal", np.equal),
    _comparison("greater", np.greater),
    _comparison("greater_or_equal", np.greater_equal),
    _comparison("less", np.less),
    _comparison("less_or_equal", np.less_equal),
    _comparison("logical_and", np.logical_and),
    _comparison("logical_or", np.logical_or),
    _comparison("logical_xor", np.logical_xor),
)
