"""Operators that put tensors together, or together with constants."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from crossmesh.tiles.digital.base import Array
from crossmesh.tiles.digital.operators.base import Axes, Operator
from crossmesh.tiles.digital.operators.movement import Movement, along, check_axis, replaced


@dataclass(frozen=True, kw_only=True)
class OneHotOf(Operator):
    """For every number a vector that is ``on`` at its place, else ``off``.

    Attributes:
        axis: Which axis of the result the vectors are.
        depth: Their length. A number that is no place in them is ``off`` everywhere.
        on: What stands at the place.
        off: What stands elsewhere.
    """

    name: ClassVar[str] = "one_hot"
    passes_errors: ClassVar[bool] = False

    axis: int
    depth: int
    on: float = 1.0
    off: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_axis(self, self.axis, len(self.operands[0].axes) + 1)
        if self.depth < 1:
            raise ValueError(f"one_hot.depth must be at least 1, got {self.depth}")

    @property
    def axes(self) -> Axes:
        """With one more."""
        taken = self.operands[0].axes
        return (*taken[: self.axis], self.depth, *taken[self.axis :])

    def compute(self, tensors: Sequence[Array], out: Array) -> None:
        """Compare with every place."""
        counted = np.where(tensors[0] < 0, tensors[0] + self.depth, tensors[0])
        places = np.arange(self.depth).reshape(-1, *(1,) * (tensors[0].ndim - 1 - self.axis))
        here = np.expand_dims(counted, 1 + self.axis) == places
        out[...] = np.where(here, np.float32(self.on), np.float32(self.off))

    def error(self, d: Array, index: int, tensors: Sequence[Array], y: Array | None) -> Array:
        """None."""
        return np.zeros((len(d), *self.operands[0].axes), np.float32)


@dataclass(frozen=True, kw_only=True)
class Concatenate(Movement):
    """Tensors one after the other along an axis.

    Attributes:
        axis: The axis.
    """

    name: ClassVar[str] = "concatenate"
    n_operands: ClassVar[int | None] = None

    axis: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.operands:
            raise ValueError("concatenate.operands must be at least 1, got 0")
        taken = [operand.axes for operand in self.operands]
        check_axis(self, self.axis, len(taken[0]))
        others = {(len(axes), replaced(axes, self.axis)) for axes in taken}
        if len(others) != 1:
            raise ValueError(f"concatenate: axes must differ in axis {self.axis} only, got {taken}")

    @property
    def axes(self) -> Axes:
        """As long along the axis as all together."""
        taken = [operand.axes for operand in self.operands]
        return replaced(taken[0], self.axis, sum(axes[self.axis] for axes in taken))

    def _part(self, index: int) -> tuple[slice, ...]:
        """Where an operand comes to lie."""
        sizes = [operand.axes[self.axis] for operand in self.operands]
        first = sum(sizes[:index])
        return along(self.axis, slice(first, first + sizes[index]))

    def compute(self, tensors: Sequence[Array], out: Array) -> None:
        """Copy each."""
        for index, tensor in enumerate(tensors):
            out[self._part(index)] = tensor

    def error(self, d: Array, index: int, tensors: Sequence[Array], y: Array | None) -> Array:
        """Its part."""
        return d[self._part(index)]


@dataclass(frozen=True, kw_only=True)
class Trilu(Movement):
    """A triangle of the last two axes; the rest is 0.

    Attributes:
        upper: Whether it is the upper one, not the lower one.
        k: Which diagonal it begins with; above zero: one above the main diagonal.
    """

    name: ClassVar[str] = "trilu"

    upper: bool = True
    k: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.operands[0].axes) < 2:
            raise ValueError(f"trilu must have two axes, got {self.operands[0].axes}")

    @property
    def axes(self) -> Axes:
        """Those of the operand."""
        return self.operands[0].axes

    def compute(self, tensors: Sequence[Array], out: Array) -> None:
        """Copy what is kept."""
        out[...] = 0
        np.copyto(out, tensors[0], where=_triangle(self.axes[-2:], self.upper, self.k))

    def error(self, d: Array, index: int, tensors: Sequence[Array], y: Array | None) -> Array:
        """Where numbers are kept."""
        return d * _triangle(self.axes[-2:], self.upper, self.k)


@lru_cache(maxsize=64)
def _triangle(sizes: Axes, upper: bool, k: int) -> NDArray[np.bool_]:
    rows, columns = sizes
    lower: NDArray[np.bool_] = np.tri(rows, columns, k - 1 if upper else k, dtype=bool)
    return ~lower if upper else lower


ASSEMBLIES: tuple[type[Operator], ...] = (Concatenate, Trilu, OneHotOf)
