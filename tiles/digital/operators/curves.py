"""Kernels of functions of one number, and of their derivatives."""

from typing import Any

import numpy as np

from crossmesh.common.compiled import inlined, kernel
from crossmesh.tiles.digital.base import Array

_ZERO, _HALF, _ONE, _TWO, _THREE = (np.float32(x) for x in (0, 0.5, 1, 2, 3))
_SIXTH, _THIRD = np.float32(1 / 6), np.float32(1 / 3)

# exp(x) = 2^n exp(r) with |r| <= log(2) / 2; relative error 1e-7. Source of the polynomial: expf of
# the Cephes library (Moshier), as in Eigen's and XLA's for float32.
_LOWEST, _HIGHEST = np.float32(-87.3), np.float32(88.3)
_LOG2_E = np.float32(1.44269504088896341)
_LOG_2, _LOG_2_REST = np.float32(0.693359375), np.float32(-2.12194440e-4)
_E0, _E1, _E2, _E3, _E4, _E5 = (
    np.float32(c)
    for c in (
        1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1,
        5.0000001201e-1,
    )
)  # fmt: skip
_BIAS, _SHIFT = np.int32(127), np.int32(23)  # of the exponent of a float32


@inlined
def _power_of_two(n: Any) -> Any:
    """2 to a whole number from -126 to 127."""
    return np.int32((np.int32(n) + _BIAS) << _SHIFT).view(np.float32)


@inlined
def _rest(v: Any, n: Any) -> Any:
    """``exp(v - n log(2)) - 1``."""
    r = v - n * _LOG_2 - n * _LOG_2_REST
    q = ((((_E0 * r + _E1) * r + _E2) * r + _E3) * r + _E4) * r + _E5
    return r * r * q + r


@inlined
def exponential(x: Any) -> Any:
    """``exp(x)``, of numbers cut off where float32 ends."""
    v = min(max(x, _LOWEST), _HIGHEST)
    n = np.floor(v * _LOG2_E + _HALF)
    return (_rest(v, n) + _ONE) * _power_of_two(n)


@inlined
def exponential_less_one(x: Any) -> Any:
    """``exp(x) - 1``, exact in proportion near 0."""
    v = min(max(x, _LOWEST), _HIGHEST)
    n = np.floor(v * _LOG2_E + _HALF)
    power = _power_of_two(n)
    return _rest(v, n) * power + (power - _ONE)


@inlined
def _logistic(x: Any) -> Any:
    return _ONE / (_ONE + exponential(-x))


@inlined
def _tanh_of_softplus(x: Any) -> Any:
    """``tanh(log(1 + exp(x)))``, which is 1 in float32 where x is large."""
    e = exponential(min(x, np.float32(20)))
    product = e * (e + _TWO)
    return product / (product + _TWO)


@kernel
def logistic(x: Array, out: Array) -> None:
    """``1 / (1 + exp(-x))``."""
    for i in range(x.size):
        out[i] = _logistic(x[i])


@kernel
def logistic_slope(y: Array, out: Array) -> None:
    """Derivative of ``logistic`` where it is ``y``."""
    for i in range(y.size):
        out[i] = y[i] * (_ONE - y[i])


@kernel
def one_less_square(x: Array, out: Array) -> None:
    """``1 - x**2``, exact in proportion near 1."""
    for i in range(x.size):
        out[i] = (_ONE - x[i]) * (_ONE + x[i])


@kernel
def swish(x: Array, beta: Any, out: Array) -> None:
    """``x / (1 + exp(-beta * x))``."""
    for i in range(x.size):
        out[i] = x[i] * _logistic(beta * x[i])


@kernel
def swish_slope(x: Array, beta: Any, out: Array) -> None:
    """Derivative of ``swish``."""
    for i in range(x.size):
        share = _logistic(beta * x[i])
        out[i] = share * (_ONE + beta * x[i] * (_ONE - share))


@kernel
def mish(x: Array, out: Array) -> None:
    """``x * tanh(log(1 + exp(x)))``."""
    for i in range(x.size):
        out[i] = x[i] * _tanh_of_softplus(x[i])


@kernel
def mish_slope(x: Array, out: Array) -> None:
    """Derivative of ``mish``."""
    for i in range(x.size):
        t = _tanh_of_softplus(x[i])
        out[i] = t + x[i] * _logistic(x[i]) * (_ONE - t * t)


@kernel
def elu(x: Array, above: Any, factor: Any, scale: Any, out: Array) -> None:
    """``above * x`` above zero, ``factor * (exp(x / scale) - 1)`` below."""
    for i in range(x.size):
        below = factor * exponential_less_one(min(x[i], _ZERO) / scale)
        out[i] = above * x[i] if x[i] > _ZERO else below


@kernel
def elu_slope(x: Array, above: Any, factor: Any, scale: Any, out: Array) -> None:
    """Derivative of ``elu``."""
    slope = factor / scale
    for i in range(x.size):
        below = slope * exponential(min(x[i], _ZERO) / scale)
        out[i] = above if x[i] > _ZERO else below


@kernel
def bent(x: Array, below: Any, out: Array) -> None:
    """``x`` above zero, ``below * x`` else."""
    for i in range(x.size):
        out[i] = x[i] if x[i] > _ZERO else below * x[i]


@kernel
def bent_slope(x: Array, below: Any, out: Array) -> None:
    """Derivative of ``bent``."""
    for i in range(x.size):
        out[i] = _ONE if x[i] > _ZERO else below


@kernel
def relu(x: Array, out: Array) -> None:
    """``max(0, x)``."""
    for i in range(x.size):
        out[i] = _ZERO if x[i] < _ZERO else x[i]


@kernel
def clipped(x: Array, low: Any, high: Any, out: Array) -> None:
    """Cut off below and above; ``high`` wins."""
    for i in range(x.size):
        v = low if x[i] < low else x[i]
        out[i] = high if v > high else v


@kernel
def clipped_slope(x: Array, low: Any, high: Any, out: Array) -> None:
    """1 within the limits, else 0."""
    for i in range(x.size):
        out[i] = _ONE if (x[i] >= low) & (x[i] <= high) else _ZERO


@kernel
def ramp(x: Array, slope: Any, offset: Any, out: Array) -> None:
    """``slope * x + offset``, cut off at 0 and 1."""
    for i in range(x.size):
        v = slope * x[i] + offset
        v = _ZERO if v < _ZERO else v
        out[i] = _ONE if v > _ONE else v


@kernel
def ramp_slope(y: Array, slope: Any, out: Array) -> None:
    """Derivative of ``ramp`` where it is ``y``."""
    for i in range(y.size):
        out[i] = slope if (y[i] > _ZERO) & (y[i] < _ONE) else _ZERO


@kernel
def hard_swish(x: Array, out: Array) -> None:
    """``x * min(max(x / 6 + 1 / 2, 0), 1)``."""
    for i in range(x.size):
        v = min(max(x[i] * _SIXTH + _HALF, _ZERO), _ONE)
        out[i] = x[i] * v


@kernel
def hard_swish_slope(x: Array, out: Array) -> None:
    """Derivative of ``hard_swish``."""
    for i in range(x.size):
        middle = x[i] * _THIRD + _HALF
        out[i] = middle if abs(x[i]) < _THREE else (_ONE if x[i] > _ZERO else _ZERO)
