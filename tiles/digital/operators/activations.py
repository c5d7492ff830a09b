"""Operators of every number by itself, with settings."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from crossmesh.tiles.digital.base import Array, Call
from crossmesh.tiles.digital.operators import curves
from crossmesh.tiles.digital.operators.pointwise import Pointwise
from crossmesh.tiles.digital.pointwise import Gelu

_EXACT = Gelu()
_HALF = np.float32(0.5)
_TANH_SCALE, _TANH_CUBIC = np.float32(math.sqrt(2 / math.pi)), np.float32(0.044715)


@dataclass(frozen=True, kw_only=True)
class AffineMap(Pointwise):
    """``x * factor + offset``.

    Attributes:
        factor: A factor,
        offset: and an offset.
    """

    name: ClassVar[str] = "affine"

    factor: float = 1.0
    offset: float = 0.0

    def value(self, x: Array, out: Array) -> None:
        """Scaled and shifted."""
        np.multiply(x, np.float32(self.factor), out=out)
        out += np.float32(self.offset)

    def derivative(self, at: Array, out: Array) -> None:
        """The factor."""
        out.fill(self.factor)


@dataclass(frozen=True, kw_only=True)
class Elu(Pointwise):
    """``x`` above zero, ``alpha * (exp(x) - 1)`` below.

    Source: Clevert, Unterthiner and Hochreiter 2016, arXiv 1511.07289.

    Attributes:
        alpha: Minus the limit far below zero.
    """

    name: ClassVar[str] = "elu"
    needs_inputs: ClassVar[bool] = True

    alpha: float = 1.0

    @property
    def work(self) -> float:
        """An exponential."""
        return 10.0

    @property
    def _shape(self) -> tuple[float, float, float]:
        """Slope above zero; factor and scale of the exponential below."""
        return 1.0, self.alpha, 1.0

    def value(self, x: Array, out: Array) -> None:
        """Linear above zero, exponential below."""
        curves.elu(x, *(np.float32(number) for number in self._shape), out)

    def derivative(self, at: Array, out: Array) -> None:
        """Constant above zero, exponential below."""
        curves.elu_slope(at, *(np.float32(number) for number in self._shape), out)


@dataclass(frozen=True, kw_only=True)
class Selu(Elu):
    """An ``elu`` times ``gamma``.

    Source of the constants: Klambauer, Unterthiner, Mayr and Hochreiter 2017, arXiv 1706.02515.

    Attributes:
        alpha: Minus the limit far below zero, before the factor.
        gamma: The factor.
    """

    name: ClassVar[str] = "selu"

    alpha: float = 1.6732632423543772
    gamma: float = 1.0507009873554805

    @property
    def _shape(self) -> tuple[float, float, float]:
        return self.gamma, self.gamma * self.alpha, 1.0


@dataclass(frozen=True, kw_only=True)
class Celu(Elu):
    """``x`` above zero, ``alpha * (exp(x / alpha) - 1)`` below.

    Source: Barron 2017, arXiv 1704.07483.

    Attributes:
        alpha: Minus the limit far below zero; not 0.
    """

    name: ClassVar[str] = "celu"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.alpha == 0:
            raise ValueError(f"celu.alpha must not be 0, got {self.alpha}")

    @property
    def _shape(self) -> tuple[float, float, float]:
        return 1.0, self.alpha, self.alpha


@dataclass(frozen=True, kw_only=True)
class Swish(Pointwise):
    """``x`` times the logistic function of ``beta * x``.

    Source: Ramachandran, Zoph and Le 2017, arXiv 1710.05941.

    Attributes:
        beta: Steepness.
    """

    name: ClassVar[str] = "swish"
    needs_inputs: ClassVar[bool] = True

    beta: float = 1.0

    @property
    def work(self) -> float:
        """An exponential."""
        return 10.0

    def value(self, x: Array, out: Array) -> None:
        """Weighed by the logistic function."""
        curves.swish(x, np.float32(self.beta), out)

    def derivative(self, at: Array, out: Array) -> None:
        """Through both factors."""
        curves.swish_slope(at, np.float32(self.beta), out)


@dataclass(frozen=True, kw_only=True)
class GeluOf(Pointwise):
    """``x`` times the share of a normal distribution below it; see ``Gelu``.

    Attributes:
        approximate: ``none``, or ``tanh`` for its approximation.
    """

    name: ClassVar[str] = "gelu"
    needs_inputs: ClassVar[bool] = True

    approximate: str = "none"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.approximate not in ("none", "tanh"):
            raise ValueError(f"gelu.approximate must be none or tanh, got {self.approximate}")

    @property
    def work(self) -> float:
        """An error function."""
        return 10.0

    def value(self, x: Array, out: Array) -> None:
        """Weighed by the share."""
        if self.approximate == "none":
            _EXACT.forward([x], out, Call())
        else:
            np.multiply(x, (1 + self._tanh(x)) / 2, out=out)

    def derivative(self, at: Array, out: Array) -> None:
        """Through both factors."""
        if self.approximate == "none":
            out[...] = _EXACT.backward(np.ones_like(at), 0, [at], None, Call())
            return
        t = self._tanh(at)
        inner = _TANH_SCALE * (1 + 3 * _TANH_CUBIC * at * at)
        np.multiply(1 + t + at * (1 - t * t) * inner, _HALF, out=out)

    def _tanh(self, x: Array) -> Array:
        return np.tanh(_TANH_SCALE * x * (1 + _TANH_CUBIC * x * x))


ACTIVATION_OPERATORS: tuple[type[Pointwise], ...] = (
    AffineMap,
    Elu,
    Selu,
    Celu,
    Swish,
    GeluOf,
)
