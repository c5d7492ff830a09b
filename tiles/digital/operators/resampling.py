"""Resampling along an axis: between numbers that lie at other places, as ONNX defines it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from crossmesh.tiles.digital.base import Array
from crossmesh.tiles.digital.operators.base import Axes, Operator
from crossmesh.tiles.digital.operators.movement import replaced
from crossmesh.tiles.digital.operators.ordering import Along
from crossmesh.tiles.digital.operators.weighing import Weights, weighed, weighed_error

Numbers = NDArray[np.float64]


class _Sizes(NamedTuple):
    """Numbers along the axis, results, and results per number."""

    taken: int
    results: int
    scale: float

    @property
    def steps(self) -> Numbers:
        """Number of each result."""
        return np.arange(self.results, dtype=np.float64)


def _half_pixel(s: _Sizes) -> Numbers:
    return (s.steps + 0.5) / s.scale - 0.5


def _half_pixel_symmetric(s: _Sizes) -> Numbers:
    adjustment = s.results / (s.scale * s.taken)
    return s.taken / 2 * (1 - adjustment) + _half_pixel(s)


def _pytorch_half_pixel(s: _Sizes) -> Numbers:
    return _half_pixel(s) if s.results > 1 else np.zeros(1)


def _align_corners(s: _Sizes) -> Numbers:
    """The last corner lies where the scale puts it, beyond the last result if that is cut off."""
    length = s.taken * s.scale
    if s.results == 1 or abs(length - s.results) < 1e-5:
        length = s.results
    return s.steps * (s.taken - 1) / max(1, length - 1)


def _asymmetric(s: _Sizes) -> Numbers:
    return s.steps / s.scale


COORDINATES: dict[str, Callable[[_Sizes], Numbers]] = {
    "half_pixel": _half_pixel,
    "half_pixel_symmetric": _half_pixel_symmetric,
    "pytorch_half_pixel": _pytorch_half_pixel,
    "align_corners": _align_corners,
    "asymmetric": _asymmetric,
}
ROUNDINGS: dict[str, Callable[[Numbers], Numbers]] = {
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}


@dataclass(frozen=True, kw_only=True)
class Resample(Along):
    """Numbers along an axis, read at places between them.

    Attributes:
        axis: The axis.
        size: How many numbers there are afterwards.
        mode: ``nearest``, ``linear`` or ``cubic``.
        coordinates: Where they are read: ``half_pixel``, ``half_pixel_symmetric``,
            ``pytorch_half_pixel``, ``align_corners`` or ``asymmetric``.
        rounding: Which number is the nearest: ``round_prefer_floor``, ``round_prefer_ceil``,
            ``floor`` or ``ceil``.
        scale: Results per number; 0: as the sizes say.
        cubic_a: Coefficient of cubic weights.
        exclude_outside: Whether places beyond the ends count for nothing; else the last number
            stands there.
        antialias: Whether fewer results are means of more numbers.
    """

    name: ClassVar[str] = "resample"

    size: int
    mode: str = "nearest"
    coordinates: str = "half_pixel"
    rounding: str = "round_prefer_floor"
    scale: float = 0.0
    cubic_a: float = -0.75
    exclude_outside: bool = False
    antialias: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        known = {
            "mode": ("nearest", "linear", "cubic"),
            "coordinates": tuple(COORDINATES),
            "rounding": tuple(ROUNDINGS),
        }
        for setting, names in known.items():
            if getattr(self, setting) not in names:
                value = getattr(self, setting)
                raise ValueError(f"resample.{setting} must be one of {names}, got {value}")
        if self.size < 1 or self.scale < 0:
            raise ValueError(
                "resample.size must be at least 1 and resample.scale not below 0, "
                f"got {self.size} and {self.scale}"
            )

    @property
    def axes(self) -> Axes:
        """As many along the axis as there are results."""
        return replaced(self.operands[0].axes, self.axis, self.size)

    @property
    def work(self) -> float:
        """A multiplication and addition for each number of each result."""
        taken = self.operands[0].axes[self.axis]
        return self.size * self._weights.places.shape[1] / taken

    @property
    def _weights(self) -> Weights:
        taken = self.operands[0].axes[self.axis]
        sizes = _Sizes(taken, self.size, self.scale or self.size / taken)
        if self.mode == "nearest":
            return _nearest(sizes, self.coordinates, self.rounding)
        shape = _Shape(self.mode == "cubic", self.cubic_a, self.antialias, self.exclude_outside)
        return _between(sizes, self.coordinates, shape)

    def compute(self, tensors: Sequence[Array], out: Array) -> None:
        """Weigh what is near each place."""
        weighed(tensors[0], self._along, self._weights, out)

    def error(self, d: Array, index: int, tensors: Sequence[Array], y: Array | None) -> Array:
        """To what is near."""
        shape = (len(d), *self.operands[0].axes)
        return weighed_error(d, self._along, self._weights, shape)


@lru_cache(maxsize=64)
def _nearest(sizes: _Sizes, coordinates: str, rounding: str) -> Weights:
    places = ROUNDINGS[rounding](COORDINATES[coordinates](sizes))
    inside = np.clip(places, 0, sizes.taken - 1).astype(np.int64).reshape(-1, 1)
    return Weights(inside, np.ones(inside.shape, np.float32))


class _Shape(NamedTuple):
    """How weights fall off with distance."""

    is_cubic: bool
    cubic_a: float
    antialias: bool
    exclude_outside: bool

    def weights(self, distance: Numbers) -> Numbers:
        """Of numbers at distances."""
        u = np.abs(distance)
        if not self.is_cubic:
            return np.maximum(1 - u, 0)
        a = self.cubic_a
        near = ((a + 2) * u - (a + 3)) * u * u + 1
        far = ((a * u - 5 * a) * u + 8 * a) * u - 4 * a
        return np.where(u <= 1, near, np.where(u < 2, far, 0))


@lru_cache(maxsize=64)
def _between(sizes: _Sizes, coordinates: str, shape: _Shape) -> Weights:
    at = COORDINATES[coordinates](sizes)[:, None]
    narrowing = min(sizes.scale, 1.0) if shape.antialias else 1.0
    reach = math.ceil((2 if shape.is_cubic else 1) / narrowing)  # to each side
    places = np.ceil(at) - 1 + np.arange(1 - reach, reach + 1)
    weights = shape.weights((places - at) * narrowing)
    if shape.exclude_outside:
        weights = np.where((places < 0) | (places >= sizes.taken), 0, weights)
    weights /= weights.sum(axis=1, keepdims=True)
    inside = np.clip(places, 0, sizes.taken - 1).astype(np.int64)
    return Weights(inside, weights.astype(np.float32))


RESAMPLINGS: tuple[type[Operator], ...] = (Resample,)
