"""Operators that treat numbers above and below a threshold differently."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from crossmesh.tiles.digital.base import Array
from crossmesh.tiles.digital.operators import curves
from crossmesh.tiles.digital.operators.pointwise import Pointwise


@dataclass(frozen=True, kw_only=True)
class ClipRange(Pointwise):
    """Numbers cut off below and above.

    Attributes:
        low: Smallest and
        high: largest result, which wins if it is below ``low``.
    """

    name: ClassVar[str] = "clip"
    needs_inputs: ClassVar[bool] = True

    low: float = -math.inf
    high: float = math.inf

    def value(self, x: Array, out: Array) -> None:
        """Cut off."""
        curves.clipped(x, np.float32(self.low), np.float32(self.high), out)

    def derivative(self, at: Array, out: Array) -> None:
        """1 where nothing is cut off."""
        curves.clipped_slope(at, np.float32(self.low), np.float32(self.high), out)


@dataclass(frozen=True, kw_only=True)
class LeakyRelu(Pointwise):
    """``x`` above zero, ``slope * x`` below.

    Attributes:
        slope: Slope below zero.
    """

    name: ClassVar[str] = "leaky_relu"
    needs_inputs: ClassVar[bool] = True

    slope: float = 0.01

    def value(self, x: Array, out: Array) -> None:
        """Scale what is below zero."""
        curves.bent(x, np.float32(self.slope), out)

    def derivative(self, at: Array, out: Array) -> None:
        """1 or the slope."""
        curves.bent_slope(at, np.float32(self.slope), out)


@dataclass(frozen=True, kw_only=True)
class HardSigmoid(Pointwise):
    """``alpha * x + beta``, cut off at 0 and 1.

    Attributes:
        alpha: Slope.
        beta: Value at zero.
    """

    name: ClassVar[str] = "hard_sigmoid"
    needs_output: ClassVar[bool] = True
    limits: ClassVar[tuple[float, float]] = (0.0, 1.0)

    alpha: float = 0.2
    beta: float = 0.5

    def value(self, x: Array, out: Array) -> None:
        """Linear, cut off."""
        curves.ramp(x, np.float32(self.alpha), np.float32(self.beta), out)

    def derivative(self, at: Array, out: Array) -> None:
        """The slope between 0 and 1."""
        curves.ramp_slope(at, np.float32(self.alpha), out)


@dataclass(frozen=True, kw_only=True)
class ThresholdedRelu(Pointwise):
    """``x`` above a threshold, else 0.

    Attributes:
        alpha: The threshold.
    """

    name: ClassVar[str] = "thresholded_relu"
    needs_inputs: ClassVar[bool] = True

    alpha: float = 1.0

    def value(self, x: Array, out: Array) -> None:
        """Let pass."""
        self.derivative(x, out)
        out *= x

    def derivative(self, at: Array, out: Array) -> None:
        """1 above the threshold."""
        np.greater(at, np.float32(self.alpha), out=out)


@dataclass(frozen=True, kw_only=True)
class Shrink(Pointwise):
    """``x - bias`` above ``lambd``, ``x + bias`` below ``-lambd``, else 0.

    Attributes:
        bias: By how much numbers are moved towards zero.
        lambd: Up to where they are zero.
    """

    name: ClassVar[str] = "shrink"
    needs_inputs: ClassVar[bool] = True

    bias: float = 0.0
    lambd: float = 0.5

    def value(self, x: Array, out: Array) -> None:
        """Move towards zero."""
        above, below = x > np.float32(self.lambd), x < -np.float32(self.lambd)
        np.multiply(x, above | below, out=out)
        out += (below.astype(np.float32) - above) * np.float32(self.bias)

    def derivative(self, at: Array, out: Array) -> None:
        """1 where numbers are not zero."""
        np.logical_or(at > np.float32(self.lambd), at < -np.float32(self.lambd), out=out)


@dataclass(frozen=True, kw_only=True)
class IsInf(Pointwise):
    """1 where a number is infinite, else 0.

    Attributes:
        positive: Whether plus infinity counts.
        negative: Whether minus infinity counts.
    """

    name: ClassVar[str] = "is_inf"
    passes_errors: ClassVar[bool] = False

    positive: bool = True
    negative: bool = True

    def value(self, x: Array, out: Array) -> None:
        """Compare."""
        plus, minus = (x == np.inf) & self.positive, (x == -np.inf) & self.negative
        np.logical_or(plus, minus, out=out)


THRESHOLDS: tuple[type[Pointwise], ...] = (
    ClipRange,
    LeakyRelu,
    HardSigmoid,
    ThresholdedRelu,
    Shrink,
    IsInf,
)
