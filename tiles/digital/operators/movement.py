"""Operators that move numbers about, to places that are known beforehand."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np

from crossmesh.tiles.digital.base import Array
from crossmesh.tiles.digital.operators.base import Axes, Operator, gathered
from crossmesh.tiles.digital.operators.scatter import Places, add_at
from crossmesh.tiles.digital.operators.sums import folded
from crossmesh.tiles.digital.operators.turning import MOST, turn


def check_axis(operator: Operator, axis: int, n_axes: int) -> None:
    """Refuse an axis that is not there.

    Raises:
        ValueError: Naming the operator.
    """
    if not 0 <= axis < n_axes:
        raise ValueError(f"{operator.name}.axis must be from 0 to {n_axes - 1}, got {axis}")


def replaced(axes: Axes, axis: int, *sizes: int) -> Axes:
    """Axes, one of which is replaced by others."""
    return (*axes[:axis], *sizes, *axes[axis + 1 :])


def along(axis: int, part: slice) -> tuple[slice, ...]:
    """Index of a part along an axis of ``(examples, *axes)``."""
    return (*(slice(None),) * (1 + axis), part)


@dataclass(frozen=True, kw_only=True)
class Movement(Operator):
    """Base class: numbers are copied."""

    @property
    def work(self) -> float:
        """None but the movement."""
        return 0.0


@dataclass(frozen=True, kw_only=True)
class Arrange(Movement):
    """The operand, row by row, with other sizes: a reshape, or a transposition.

    Attributes:
        axes: The sizes.
    """

    name: ClassVar[str] = "arrange"

    axes: Axes = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        taken = self.operands[0].axes
        if math.prod(taken) != math.prod(self.axes):
            raise ValueError(
                f"arrange.axes must hold {math.prod(taken)} numbers as {taken}, got {self.axes}"
            )

    @property
    def reshapes(self) -> bool:
        """Whether nothing is transposed."""
        order = self.operands[0].order
        return order is None or list(order) == sorted(order)

    def compute(self, tensors: Sequence[Array], out: Array) -> None:
        """Copy."""
        taken = self.operands[0].axes
        if len(taken) > 1 and math.prod(taken[-2:]) <= MOST:
            lying = tensors[0].swapaxes(-1, -2)
            if lying.flags.c_contiguous:
                turn(lying.reshape(-1, *lying.shape[-2:]), out.reshape(-1, *taken[-2:]))
                return
        np.copyto(out.reshape(len(out), *taken), tensors[0])

    def error(self, d: Array, index: int, tensors: Sequence[Array], y: Array | None) -> Array:
        """The same numbers."""
        return d.reshape(len(d), *self.operands[0].axes)


@dataclass(frozen=True, kw_only=True)
class Expand(Movement):
    """The operand, spread along axes of size 1.

    Attributes:
        axes: The sizes.
    """

    name: ClassVar[str] = "expand"

    axes: Axes = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        taken = self.operands[0].axes
        fits = [size in (1, n) for size, n in zip(taken, self.axes, strict=False)]
        if len(taken) != len(self.axes) or not all(fits):
            raise ValueError(f"expand.axes must be those of {taken} or spread 1, got {self.axes}")

    def compute(self, tensors: Sequence[Array], out: Array) -> None:
        """Copy."""
        np.copyto(out, tensors[0])

    def error(self, d: Array, index: int, tensors: Sequence[Array], y: Array | None) -> Array:
        """Summed over the copies."""
        return gathered(d, self.operands[0])


@dataclass(frozen=True, kw_only=True)
class TakePlaces(Movement):
    """What is at some places along an axis.

    Attributes:
        axis: The axis.
        places: The places, in any order, as often as one likes; -1 is none of them.
        fill: What stands where there is none.
    """

    name: ClassVar[str] = "take"

    axis: int
    places: tuple[int, ...]
    fill: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_axis(self, self.axis, len(self.operands[0].axes))
        size = self.operands[0].axes[self.axis]
        if not self.places or min(self.places) < -1 or max(self.places) >= size:
            raise ValueError(f"take.places must be from -1 to {size - 1}, got {self.places}")

    @property
    def axes(self) -> Axes:
        """As many along the axis as there are places."""
        return replaced(self.operands[0].axes, self.axis, len(self.places))

    def compute(self, tensors: Sequence[Array], out: Array) -> None:
        """Copy, and fill the rest."""
        places = _as_array(self.places)
        np.take(tensors[0], np.maximum(places, 0), axis=1 + self.axis, out=out, mode="clip")
        if min(self.places) < 0:
            np.moveaxis(out, 1 + self.axis, 0)[places < 0] = np.float32(self.fill)

    def error(self, d: Array, index: int, tensors: Sequence[Array], y: Array | None) -> Array:
        """Added up at each place."""
        shape = (len(d), *self.operands[0].axes)
        result = np.zeros(shape, np.float32)
        three = folded(result, (1 + self.axis,))  # a view: it is contiguous
        add_at(three, _as_array(self.places), folded(d, (1 + self.axis,)))
        return result


@lru_cache(maxsize=256)
def _as_array(places: tuple[int, ...]) -> Places:
    return np.array(places, np.int64)


@dataclass(frozen=True, kw_only=True)
class SliceOf(Movement):
    """A range along an axis, as a slice of Python takes it.

    Attributes:
        axis: The axis.
        start: First place; below zero: counted from the end.
        stop: Place before which it ends, or after which, if it goes backwards.
        step: Distance between places, below zero to go backwards.
    """

    name: ClassVar[str] = "slice"

    axis: int
    start: int
    stop: int
    step: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_axis(self, self.axis, len(self.operands[0].axes))
        if self.step == 0:
            raise ValueError(f"slice.step must not be 0, got {self.step}")
        if not self.places:
            size = self.operands[0].axes[self.axis]
            asked = f"{self.start}:{self.stop}:{self.step}"
            raise ValueError(f"slice must take something of an axis of {size}, got {asked}")

    @property
    def places(self) -> range:
        """The places that it takes."""
        size = self.operands[0].axes[self.axis]
        return range(*slice(self.start, self.stop, self.step).indices(size))

    @property
    def _part(self) -> tuple[slice, ...]:
        return along(self.axis, slice(self.start, self.stop, self.step))

    @property
    def axes(self) -> Axes:
        """As many along the axis as there are places."""
        return replaced(self.operands[0].axes, self.axis, len(self.places))

    def compute(self, tensors: Sequence[Array], out: Array) -> None:
        """Copy."""
        np.copyto(out, tensors[0][self._part])

    def error(self, d: Array, index: int, tensors: Sequence[Array], y: Array | None) -> Array:
        """Zero at all other places."""
        result = np.zeros((len(d), *self.operands[0].axes), np.float32)
        result[self._part] = d
        return result


@dataclass(frozen=True, kw_only=True)
class Pad(Movement):
    """The operand with a margin along each axis.

    Attributes:
        before: Width of the margin before the first place of each axis, and
        after: after the last; below zero: so many places are cut off.
        value: What stands in the margin.
    """

    name: ClassVar[str] = "pad"

    before: Axes
    after: Axes
    value: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        n = len(self.operands[0].axes)
        for side in ("before", "after"):
            widths = getattr(self, side)
            if len(widths) != n:
                raise ValueError(f"pad.{side} must be of {n} axes, got {widths}")
        if any(size <= 0 for size in self.axes):
            raise ValueError(f"pad must leave something, got sizes {self.axes}")

    @property
    def axes(self) -> Axes:
        """Sizes with margins."""
        sides = zip(self.operands[0].axes, self.before, self.after, strict=True)
        return tuple(size + before + after for size, before, after in sides)

    @property
    def _kept(self) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
        """Which part of the operand comes to lie in which part of the result."""
        sides = list(zip(self.operands[0].axes, self.before, self.after, strict=True))
        source = [slice(max(-b, 0), size - max(-a, 0)) for size, b, a in sides]
        target = [slice(max(b, 0), max(b, 0) + part.stop - part.start)
                  for (_, b, _), part in zip(sides, source, strict=True)]  # fmt: skip
        return (slice(None), *source), (slice(None), *target)

    def compute(self, tensors: Sequence[Array], out: Array) -> None:
        """Fill the margins, and copy."""
        source, target = self._kept
        out[...] = np.float32(self.value)
        out[target] = tensors[0][source]

    def error(self, d: Array, index: int, tensors: Sequence[Array], y: Array | None) -> Array:
        """Without margins."""
        source, target = self._kept
        result = np.zeros((len(d), *self.operands[0].axes), np.float32)
        result[source] = d[target]
        return result


MOVEMENTS: tuple[type[Operator], ...] = (Arrange, Expand, TakePlaces, SliceOf, Pad)
