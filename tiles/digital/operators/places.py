"""Operators whose places are data: whole numbers, which count from the end below zero."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np

from crossmesh.common.errors import DataError
from crossmesh.tiles.digital.base import Array
from crossmesh.tiles.digital.operators.base import Axes, Operator
from crossmesh.tiles.digital.operators.movement import Movement, check_axis, replaced
from crossmesh.tiles.digital.operators.scatter import Places, add_rows, set_flat, take_rows


def whole(places: Array, size: int) -> Places:
    """Places from 0 to ``size - 1``.

    Raises:
        DataError: If there is another.
    """
    fits = (places >= -size) & (places < size)
    if not fits.all():
        wrong = places[~fits].flat[0]
        raise DataError(f"places must be from {-size} to {size - 1}, got {wrong:g}")
    result = places.astype(np.int64)
    return np.where(result < 0, result + size, result)


@dataclass(frozen=True, kw_only=True)
class Lookup(Movement):
    """What is at each of the places along an axis of a table; operands are table and places.

    Attributes:
        axis: The axis of the table.
    """

    name: ClassVar[str] = "lookup"
    n_operands: ClassVar[int | None] = 2
    needs_inputs: ClassVar[bool] = True

    axis: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_axis(self, self.axis, len(self.operands[0].axes))

    @property
    def axes(self) -> Axes:
        """Those of the table, one of which is replaced by those of the places."""
        return replaced(self.operands[0].axes, self.axis, *self.operands[1].axes)

    @property
    def _fold(self) -> tuple[int, int, int]:
        """Sizes of the table's axes before, at and after the one."""
        axes = self.operands[0].axes
        outer, inner = math.prod(axes[: self.axis]), math.prod(axes[self.axis + 1 :])
        return outer, axes[self.axis], inner

    def _places(self, places: Array) -> Places:
        return whole(places, self._fold[1]).reshape(len(places), -1)

    def compute(self, tensors: Sequence[Array], out: Array) -> None:
        """Copy."""
        table, places = tensors
        outer, size, inner = self._fold
        four = np.ascontiguousarray(table).reshape(len(table), outer, size, inner)
        take_rows(four, self._places(places), out.reshape(len(out), outer, -1, inner))

    def error(self, d: Array, index: int, tensors: Sequence[Array], y: Array | None) -> Array:
        """Added up at each place; places have none."""
        table, places = tensors
        if index:
            return np.zeros(places.shape, np.float32)
        outer, size, inner = self._fold
        result = np.zeros((len(table), outer, size, inner))
        four = np.ascontiguousarray(d).reshape(len(d), outer, -1, inner)
        add_rows(result, self._places(places), four)
        return result.reshape(table.shape).astype(np.float32)


@lru_cache(maxsize=64)
def _bases(sizes: Axes, axes: Axes, axis: int) -> Places:
    """For every place of ``axes``, where the row along ``axis`` begins in a tensor of ``sizes``."""
    grid = np.indices(axes, np.int64)
    grid[axis] = 0
    return np.ravel_multi_index(tuple(grid), sizes).reshape(-1)


@dataclass(frozen=True, kw_only=True)
class _ElementPlaces(Movement):
    """Base class: every element has a place along an axis; operands are x, places and others."""

    needs_inputs: ClassVar[bool] = True

    axis: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        sizes, axes = self.operands[0].axes, self.operands[1].axes
        check_axis(self, self.axis, len(sizes))
        pairs = enumerate(zip(sizes, axes, strict=False))
        fits = all(i == self.axis or n <= size for i, (size, n) in pairs)
        if len(sizes) != len(axes) or not fits:
            raise ValueError(f"{self.name}: places must fit into {sizes}, got {axes}")

    def _flat(self, places: Array, n: int) -> Places:
        """``(n, numbers)``: where each element lies in an example of x."""
        sizes = self.operands[0].axes
        row = whole(places, sizes[self.axis]).reshape(len(places), -1)
        step = math.prod(sizes[self.axis + 1 :])
        flat = _bases(sizes, self.operands[1].axes, self.axis) + row * step
        return np.ascontiguousarray(np.broadcast_to(flat, (n, flat.shape[1])))


@dataclass(frozen=True, kw_only=True)
class GatherElements(_ElementPlaces):
    """For every place, the number of x that is there along an axis.

    Attributes:
        axis: The axis.
    """

    name: ClassVar[str] = "gather_elements"
    n_operands: ClassVar[int | None] = 2

    @property
    def axes(self) -> Axes:
        """Those of the places."""
        return self.operands[1].axes

    def compute(self, tensors: Sequence[Array], out: Array) -> None:
        """Copy."""
        x, places = tensors
        rows = np.broadcast_to(x.reshape(len(x), -1), (len(out), math.prod(x.shape[1:])))
        taken = np.take_along_axis(rows, self._flat(places, len(out)), axis=1)
        out[...] = taken.reshape(out.shape)

    def error(self, d: Array, index: int, tensors: Sequence[Array], y: Array | None) -> Array:
        """Added up at each place; places have none."""
        if index:
            return np.zeros(tensors[1].shape, np.float32)
        result = np.zeros((len(d), *self.operands[0].axes), np.float32)
        errors = np.ascontiguousarray(d).reshape(len(d), -1)
        set_flat(result.reshape(len(d), -1), self._flat(tensors[1], len(d)), errors, True)
        return result


@dataclass(frozen=True, kw_only=True)
class ScatterElements(_ElementPlaces):
    """x with updates at places along an axis; operands are x, places and updates.

    Attributes:
        axis: The axis.
        reduction: ``none``: an update replaces what was there; ``add``: it is added to it.
    """

    name: ClassVar[str] = "scatter_elements"
    n_operands: ClassVar[int | None] = 3

    reduction: str = "none"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.reduction not in ("none", "add"):
            raise ValueError(
                f"scatter_elements.reduction must be none or add, got {self.reduction}"
            )
        places, updates = self.operands[1].axes, self.operands[2].axes
        if places != updates:
            raise ValueError(f"scatter_elements: updates must be of {places}, got {updates}")

    @property
    def axes(self) -> Axes:
        """Those of x."""
        return self.operands[0].axes

    def compute(self, tensors: Sequence[Array], out: Array) -> None:
        """Copy x, and set or add."""
        x, places, updates = tensors
        out[...] = x
        n = len(out)
        rows = np.broadcast_to(updates, (n, *updates.shape[1:])).reshape(n, -1)
        flat = self._flat(places, n)
        set_flat(out.reshape(n, -1), flat, np.ascontiguousarray(rows), self.reduction == "add")

    def error(self, d: Array, index: int, tensors: Sequence[Array], y: Array | None) -> Array:
        """Of x where it was not replaced; of updates at their places; places have none."""
        if index == 1:
            return np.zeros(tensors[1].shape, np.float32)
        if index == 0 and self.reduction == "add":
            return d
        n = len(d)
        flat = self._flat(tensors[1], n)
        if index == 2:
            taken = np.take_along_axis(d.reshape(n, -1), flat, axis=1)
            return taken.reshape(n, *self.operands[2].axes)
        result = np.array(d, order="C")
        np.put_along_axis(result.reshape(n, -1), flat, np.float32(0), axis=1)
        return result


BY_PLACES: tuple[type[Operator], ...] = (Lookup, GatherElements, ScatterElements)
