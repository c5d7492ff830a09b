"""Activation functions: of every value by itself, or of a vector's features among each other."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from crossmesh.common.compiled import FAST, inlined, kernel
from crossmesh.tiles.digital.base import Array, Call, Function
from crossmesh.tiles.digital.rows import fill

_HALF = np.float32(0.5)
_ONE = np.float32(1)
_SQRT_HALF = np.float32(np.sqrt(0.5))
_DENSITY = np.float32(1 / np.sqrt(2 * np.pi))

# erf(x) = x P(x^2) / Q(x^2) for |x| <= 4, beyond which it is 1 in float32; largest error 4e-7.
# Source of the coefficients: Eigen's and XLA's rational approximation for float32.
_LIMIT = np.float32(4)
_P0, _P1, _P2, _P3, _P4, _P5, _P6 = (
    np.float32(c)
    for c in (
        -1.60960333262415e-02, -2.95459980854025e-03, -7.34990630326855e-04,
        -5.69250639462346e-05, -2.10102402082508e-06, 2.77068142495902e-08,
        -2.72614225801306e-10,
    )
)  # fmt: skip
_Q0, _Q1, _Q2, _Q3, _Q4 = (
    np.float32(c)
    for c in (
        -1.42647390514189e-02, -7.37332916720468e-03, -1.68282697438203e-03,
        -2.13374055278905e-04, -1.45660718464996e-05,
    )
)  # fmt: skip

# The largest of a row is the same in any order, so that several numbers are compared at a time.
_reordered = njit(nogil=True, fastmath=FAST | {"nnan", "nsz", "reassoc"}, error_model="numpy")


@inlined
def _erf(x: Any) -> Any:
    """Error function."""
    v = min(max(x, -_LIMIT), _LIMIT)
    q = v * v
    p = _P0 + q * (_P1 + q * (_P2 + q * (_P3 + q * (_P4 + q * (_P5 + q * _P6)))))
    return v * p / (_Q0 + q * (_Q1 + q * (_Q2 + q * (_Q3 + q * _Q4))))


@inlined
def _normal_share(x: Any) -> Any:
    """Distribution function of the standard normal distribution: ``(1 + erf(x / sqrt(2))) / 2``."""
    return _HALF + _HALF * _erf(x * _SQRT_HALF)


@kernel
def error_function(
    x: Array,  # (n,)
    out: Array,  # (n,), written
) -> None:
    """The error function of every number."""
    for i in range(x.size):
        out[i] = _erf(x[i])


@kernel
def _pass_on(
    d: Array,  # (n, features)
    passes: NDArray[np.bool_],  # (n, features)
    out: Array,  # (n, features), written
) -> None:
    for i in range(d.shape[0]):
        for j in range(d.shape[1]):
            out[i, j] = d[i, j] if passes[i, j] else np.float32(0)


@kernel
def _gelu(
    u: Array,  # (n, features)
    out: Array,  # (n, features), written
) -> None:
    flat, result = u.reshape(u.size), out.reshape(u.size)
    for i in range(flat.size):
        result[i] = flat[i] * _normal_share(flat[i])


@kernel
def _gelu_error(
    d: Array,  # (n, features)
    u: Array,  # (n, features)
    bell: Array,  # (n, features) exp(-u^2 / 2); changed in place into the error before it
) -> None:
    error, flat, result = d.reshape(u.size), u.reshape(u.size), bell.reshape(u.size)
    for i in range(flat.size):
        result[i] = error[i] * (_normal_share(flat[i]) + flat[i] * (_DENSITY * result[i]))


@_reordered
def _largest_of_row(u: Array, i: int) -> Any:
    largest = u[i, 0]
    for j in range(1, u.shape[1]):
        largest = max(largest, u[i, j])
    return largest


@kernel
def _below_largest(
    u: Array,  # (n, features)
    out: Array,  # (n, features), written
) -> None:
    """Subtract from every number the largest of its row."""
    for i in range(u.shape[0]):
        largest = _largest_of_row(u, i)
        for j in range(u.shape[1]):
            out[i, j] = u[i, j] - largest


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity(Function):
    """``y = u``."""

    name: ClassVar[str] = "identity"

    def forward(self, inputs: Sequence[Array], out: Array, call: Call) -> None:
        """Copy."""
        out[:] = inputs[0]

    def backward(
        self, d: Array, index: int, inputs: Sequence[Array], y: Array | None, call: Call
    ) -> Array:
        """The same error."""
        return d


@dataclass(frozen=True, kw_only=True, slots=True)
class Relu(Function):
    """``y = max(0, u)``."""

    name: ClassVar[str] = "relu"
    limits: ClassVar[tuple[float, float]] = (0.0, math.inf)
    needs_output: ClassVar[bool] = True

    def forward(self, inputs: Sequence[Array], out: Array, call: Call) -> None:
        """Cut off below zero."""
        np.maximum(inputs[0], np.float32(0), out=out)

    def backward(
        self, d: Array, index: int, inputs: Sequence[Array], y: Array | None, call: Call
    ) -> Array:
        """Pass where the activation is positive."""
        assert y is not None
        result = np.empty(d.shape, np.float32)
        _pass_on(np.ascontiguousarray(d), y > 0, result)
        return result


@dataclass(frozen=True, kw_only=True, slots=True)
class Gelu(Function):
    """``y = u * (1 + erf(u / sqrt(2))) / 2``.

    Source: Hendrycks and Gimpel 2016, arXiv 1606.08415, section 2; exact, not its approximation
    by tanh.
    """

    name: ClassVar[str] = "gelu"
    limits: ClassVar[tuple[float, float]] = (-0.17, math.inf)
    needs_inputs: ClassVar[bool] = True

    def forward(self, inputs: Sequence[Array], out: Array, call: Call) -> None:
        """Weigh each value by the share of a normal distribution below it."""
        fill(out, lambda whole: _gelu(inputs[0], whole))

    def backward(
        self, d: Array, index: int, inputs: Sequence[Array], y: Array | None, call: Call
    ) -> Array:
        """``d`` times the share below ``u`` plus ``u`` times the density there."""
        u = inputs[0]
        result = np.square(u)
        result *= -_HALF
        np.exp(result, out=result)
        _gelu_error(np.ascontiguousarray(d), u, result)
        return result


@dataclass(frozen=True, kw_only=True, slots=True)
class Tanh(Function):
    """``y = tanh(u)``."""

    name: ClassVar[str] = "tanh"
    limits: ClassVar[tuple[float, float]] = (-1.0, 1.0)
    needs_output: ClassVar[bool] = True

    def forward(self, inputs: Sequence[Array], out: Array, call: Call) -> None:
        """Hyperbolic tangent."""
        np.tanh(inputs[0], out=out)

    def backward(
        self, d: Array, index: int, inputs: Sequence[Array], y: Array | None, call: Call
    ) -> Array:
        """``d * (1 - y**2)``."""
        assert y is not None
        result: Array = y * y
        np.subtract(_ONE, result, out=result)
        result *= d
        return result


@dataclass(frozen=True, kw_only=True, slots=True)
class Sigmoid(Function):
    """``y = 1 / (1 + exp(-u))``."""

    name: ClassVar[str] = "sigmoid"
    limits: ClassVar[tuple[float, float]] = (0.0, 1.0)
    needs_output: ClassVar[bool] = True

    def forward(self, inputs: Sequence[Array], out: Array, call: Call) -> None:
        """Logistic function, by way of tanh, which cannot overflow."""
        fill(out, lambda whole: _logistic(inputs[0], whole))

    def backward(
        self, d: Array, index: int, inputs: Sequence[Array], y: Array | None, call: Call
    ) -> Array:
        """``d * y * (1 - y)``."""
        assert y is not None
        return d * y * (_ONE - y)


@dataclass(frozen=True, kw_only=True, slots=True)
class Softmax(Function):
    """``y = exp(u) / sum(exp(u))`` over the features."""

    name: ClassVar[str] = "softmax"
    limits: ClassVar[tuple[float, float]] = (0.0, 1.0)
    sums_to_one: ClassVar[bool] = True
    needs_output: ClassVar[bool] = True

    def forward(self, inputs: Sequence[Array], out: Array, call: Call) -> None:
        """Shifted by the largest entry, which cannot overflow."""
        fill(out, lambda whole: _softmax(inputs[0], whole))

    def backward(
        self, d: Array, index: int, inputs: Sequence[Array], y: Array | None, call: Call
    ) -> Array:
        """``y * (d - sum(d * y))``."""
        assert y is not None
        result: Array = d * y
        np.subtract(d, np.add.reduce(result, axis=1, keepdims=True), out=result)
        result *= y
        return result


def _logistic(u: Array, out: Array) -> None:
    np.multiply(u, _HALF, out=out)
    np.tanh(out, out=out)
    out *= _HALF
    out += _HALF


def _softmax(u: Array, out: Array) -> None:
    _below_largest(np.ascontiguousarray(u), out)
    np.exp(out, out=out)
    out /= np.add.reduce(out, axis=1, keepdims=True)


ACTIVATIONS: dict[str, Function] = {
    f.name: f for f in (Identity(), Relu(), Gelu(), Tanh(), Sigmoid(), Softmax())
}
