"""Sums over axes: of float64, each in an order that the number of examples does not change."""

import math
from collections.abc import Iterable, Iterator

import numpy as np
from numba import njit
from numpy.typing import NDArray

from crossmesh.common.compiled import FAST, kernel
from crossmesh.tiles.digital.base import Array

Sums = NDArray[np.float64]
PART = 1 << 15  # numbers that are computed at a time, so that what lies between stays in the cache

# As in layer normalisation: several numbers of a row at a time, in an order of the compiled code.
summing = njit(nogil=True, fastmath=FAST | {"reassoc"}, error_model="numpy")


@summing
def sum_of_row(x: Array, i: int) -> float:
    """Sum of row ``i``."""
    total = 0.0
    for j in range(x.shape[1]):
        total += np.float64(x[i, j])
    return total


@kernel
def _sum_rows(
    x: Array,  # (rows, features)
    out: Sums,  # (rows,), written
) -> None:
    for i in range(x.shape[0]):
        out[i] = sum_of_row(x, i)


@kernel
def _sum_between(
    x: Array,  # (outer, summed, inner)
    out: Sums,  # (outer, inner), zeros at first; written
) -> None:
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            for k in range(x.shape[2]):
                out[i, k] += np.float64(x[i, j, k])


@kernel
def cumulate(
    x: Array,  # (outer, summed, inner)
    exclusive: bool,
    reverse: bool,
    out: Array,  # (outer, summed, inner), written
) -> None:
    """Sums of all numbers up to each, or from the end; ``exclusive``: without it."""
    total = np.zeros(x.shape[2])
    for i in range(x.shape[0]):
        total[:] = 0
        for step in range(x.shape[1]):
            j = x.shape[1] - 1 - step if reverse else step
            for k in range(x.shape[2]):
                before = total[k]
                total[k] = before + x[i, j, k]
                out[i, j, k] = before if exclusive else total[k]


def folded(x: Array, axes: Iterable[int]) -> Array:
    """A tensor as ``(outer, folded, inner)``, contiguous; some of its axes are folded into one.

    Args:
        x: The tensor.
        axes: Which axes of it are folded, in ascending order. If other axes lie between them they
            are taken to the end.
    """
    axes = tuple(axes)
    size = math.prod(x.shape[axis] for axis in axes)
    first = axes[0] if axes else x.ndim
    if axes != tuple(range(first, first + len(axes))):
        kept = [axis for axis in range(x.ndim) if axis not in axes]
        x, first = x.transpose(*kept, *axes), len(kept)
    outer = math.prod(x.shape[:first])
    inner = math.prod(x.shape[first + len(axes) :])
    return np.ascontiguousarray(x, np.float32).reshape(outer, size, inner)


def summed(x: Array, axes: Iterable[int]) -> Sums:
    """Sums of a tensor over some axes, in ascending order, which keep size 1."""
    axes = tuple(axes)
    three = folded(x, axes)
    outer, _, inner = three.shape
    result = np.zeros((outer, inner))
    if inner == 1:
        _sum_rows(three.reshape(outer, -1), result.reshape(-1))
    else:
        _sum_between(three, result)
    return result.reshape([1 if axis in axes else n for axis, n in enumerate(x.shape)])


def unfolded(three: Array, shape: tuple[int, ...], axes: Iterable[int]) -> Array:
    """The inverse of ``folded``: a tensor of ``shape``."""
    axes = tuple(axes)
    first = axes[0] if axes else len(shape)
    if axes == tuple(range(first, first + len(axes))):
        return three.reshape(shape)
    order = [*(axis for axis in range(len(shape)) if axis not in axes), *axes]
    return three.reshape([shape[axis] for axis in order]).transpose(np.argsort(order))


def row_parts(three: Array) -> Iterator[slice]:
    """Ranges of ``(outer, folded, inner)`` that are computed at a time."""
    rows = max(1, PART // max(1, three[0].size))
    return (slice(first, first + rows) for first in range(0, len(three), rows))
