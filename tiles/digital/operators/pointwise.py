"""Operators of every number by itself, without settings."""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from crossmesh.tiles.digital.base import Array
from crossmesh.tiles.digital.operators import curves
from crossmesh.tiles.digital.operators.base import Axes, Operator
from crossmesh.tiles.digital.operators.sums import PART
from crossmesh.tiles.digital.pointwise import error_function

_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)
_FUNCTION = 10.0  # operations that an exponential, a logarithm or the like stands for

Value = Callable[[Array, Array], object]


def parts(size: int) -> Iterator[slice]:
    """Ranges of numbers that are computed at a time."""
    return (slice(first, first + PART) for first in range(0, size, PART))


@dataclass(frozen=True, kw_only=True)
class Pointwise(Operator):
    """Base class: a function of one number.

    A subclass either ``needs_inputs`` or ``needs_output``, if its derivative is not constant.
    """

    @property
    def axes(self) -> Axes:
        """Those of the operand."""
        return self.operands[0].axes

    @abstractmethod
    def value(self, x: Array, out: Array) -> object:
        """Write the function of some numbers ``(n,)`` into ``out``."""

    def derivative(self, at: Array, out: Array) -> object:
        """Write the derivative at some numbers ``(n,)``: of the operand, or else of the result."""
        raise AssertionError(f"{self.name} passes no errors")

    def compute(self, tensors: Sequence[Array], out: Array) -> None:
        """Part by part."""
        x, y = np.ascontiguousarray(tensors[0]).reshape(-1), out.reshape(-1)
        for part in parts(x.size):
            self.value(x[part], y[part])

    def error(self, d: Array, index: int, tensors: Sequence[Array], y: Array | None) -> Array:
        """``d`` times the derivative, part by part."""
        source = tensors[0] if self.needs_inputs else d if y is None else y
        at, error = np.ascontiguousarray(source).reshape(-1), np.ascontiguousarray(d).reshape(-1)
        result = np.empty(d.shape, np.float32)
        flat = result.reshape(-1)
        for part in parts(flat.size):
            self.derivative(at[part], flat[part])
            flat[part] *= error[part]
        return result


def _softplus(x: Array, out: Array) -> None:
    np.log1p(np.exp(-np.abs(x)), out=out)
    out += np.maximum(x, 0)


def _made(name: str, value: Value, **body: Any) -> type[Pointwise]:
    members = {"name": name, "value": staticmethod(value), **body}
    members["__doc__"] = f"``{name}`` of every number."
    return type(name.title().replace("_", ""), (Pointwise,), members)


def _of_input(
    name: str, value: Value, derivative: Value, work: float = _FUNCTION
) -> type[Pointwise]:
    """An operator with a derivative at the operand."""
    slope = staticmethod(derivative)
    return _made(name, value, needs_inputs=True, derivative=slope, work=work)


def _of_output(
    name: str, value: Value, derivative: Value, work: float = _FUNCTION, **body: Any
) -> type[Pointwise]:
    """An operator with a derivative that follows from the result."""
    slope = staticmethod(derivative)
    return _made(name, value, needs_output=True, derivative=slope, work=work, **body)


def _constant(name: str, value: Value, derivative: float) -> type[Pointwise]:
    """An operator with a derivative that is the same everywhere."""
    slope = staticmethod(lambda at, out: out.fill(derivative))
    return _made(name, value, derivative=slope)


def _stepped(name: str, value: Value) -> type[Pointwise]:
    """An operator with steps, which passes no errors."""
    return _made(name, value, passes_errors=False)


def _one_more_square(x: Array, out: Array) -> Array:
    """``1 + x**2``."""
    np.square(x, out=out)
    return np.add(out, 1, out=out)


def _inverse_of_root(square: Value) -> Value:
    """One over the square root of a function."""

    def write(x: Array, out: Array) -> None:
        square(x, out)
        np.sqrt(out, out=out)
        np.reciprocal(out, out=out)

    return write


def _inverse_of(square: Value) -> Value:
    """One over a function."""

    def write(x: Array, out: Array) -> None:
        square(x, out)
        np.reciprocal(out, out=out)

    return write


def _minus(function: Value) -> Value:
    """Minus a function."""

    def write(x: Array, out: Array) -> None:
        function(x, out)
        np.negative(out, out=out)

    return write


def _bell(x: Array, out: Array) -> None:
    """Derivative of the error function."""
    np.exp(-x * x, out=out)
    out *= np.float32(2 / np.sqrt(np.pi))


POINTWISE: tuple[type[Pointwise], ...] = (
    _constant("identity", np.positive, 1.0),
    _constant("negate", np.negative, -1.0),
    _of_output(
        "relu",
        curves.relu,
        lambda y, out: curves.bent_slope(y, _ZERO, out),
        1.0,
        limits=(0.0, np.inf),
    ),
    _of_output("sigmoid", curves.logistic, curves.logistic_slope, limits=(0.0, 1.0)),
    _of_output("tanh", np.tanh, curves.one_less_square, limits=(-1.0, 1.0)),
    _of_input(
        "silu",
        lambda x, out: curves.swish(x, _ONE, out),
        lambda x, out: curves.swish_slope(x, _ONE, out),
    ),
    _of_input("hard_swish", curves.hard_swish, curves.hard_swish_slope, 5.0),
    _of_input("softplus", _softplus, curves.logistic),
    _of_input(
        "softsign",
        lambda x, out: np.divide(x, 1 + np.abs(x), out=out),
        _inverse_of(lambda x, out: np.square(1 + np.abs(x), out=out)),
        3.0,
    ),
    _of_input("mish", curves.mish, curves.mish_slope),
    _of_output("exp", np.exp, np.positive),
    _of_input("log", np.log, np.reciprocal),
    _of_output("sqrt", np.sqrt, lambda y, out: np.divide(_HALF, y, out=out), 4.0),
    _of_output("reciprocal", np.reciprocal, _minus(np.square), 1.0),
    _of_input("abs", np.abs, np.sign, 1.0),
    _of_input("erf", error_function, _bell),
    _of_input("sin", np.sin, np.cos),
    _of_input("cos", np.cos, _minus(np.sin)),
    _of_output("tan", np.tan, _one_more_square),
    _of_input("asin", np.arcsin, _inverse_of_root(curves.one_less_square)),
    _of_input("acos", np.arccos, _minus(_inverse_of_root(curves.one_less_square))),
    _of_input("atan", np.arctan, _inverse_of(_one_more_square)),
    _of_input("sinh", np.sinh, np.cosh),
    _of_input("cosh", np.cosh, np.sinh),
    _of_input("asinh", np.arcsinh, _inverse_of_root(_one_more_square)),
    _of_input(
        "acosh",
        np.arccosh,
        _inverse_of_root(lambda x, out: np.multiply(x - 1, x + 1, out=out)),
    ),
    _of_input("atanh", np.arctanh, _inverse_of(curves.one_less_square)),
    _stepped("sign", np.sign),
    _stepped("floor", np.floor),
    _stepped("ceil", np.ceil),
    _stepped("round", np.rint),
    _stepped("whole", np.trunc),
    _stepped("truth", lambda x, out: np.not_equal(x, 0, out=out)),
    _stepped("is_nan", np.isnan),
    _stepped("logical_not", np.logical_not),
)
