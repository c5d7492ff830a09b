"""Kernels that take and add numbers at places along an axis, one after the other."""

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.compiled import kernel
from crossmesh.tiles.digital.base import Array

Places = NDArray[np.int64]


@kernel
def add_at(
    result: Array,  # (outer, size, inner), changed in place
    places: Places,  # (n,), none where below zero
    d: Array,  # (outer, n, inner)
) -> None:
    """Add numbers to those at some places."""
    for i in range(d.shape[0]):
        for j in range(places.size):
            place = places[j]
            if place >= 0:
                for k in range(d.shape[2]):
                    result[i, place, k] += d[i, j, k]


@kernel
def take_rows(
    table: Array,  # (1 or examples, outer, size, inner)
    places: Places,  # (1 or examples, n)
    out: Array,  # (examples, outer, n, inner), written
) -> None:
    """Copy what is at the places of each example."""
    for e in range(out.shape[0]):
        own, other = min(e, table.shape[0] - 1), min(e, places.shape[0] - 1)
        for i in range(out.shape[1]):
            for j in range(out.shape[2]):
                out[e, i, j] = table[own, i, places[other, j]]


@kernel
def add_rows(
    result: NDArray[np.floating],  # (1 or examples, outer, size, inner), changed in place
    places: Places,  # (1 or examples, n)
    d: Array,  # (examples, outer, n, inner)
) -> None:
    """Add numbers to those at the places of each example."""
    for e in range(d.shape[0]):
        own, other = min(e, result.shape[0] - 1), min(e, places.shape[0] - 1)
        for i in range(d.shape[1]):
            for j in range(d.shape[2]):
                for k in range(d.shape[3]):
                    result[own, i, places[other, j], k] += d[e, i, j, k]


@kernel
def set_flat(
    result: Array,  # (examples, size), changed in place
    places: Places,  # (examples, n)
    values: Array,  # (examples, n)
    adds: bool,
) -> None:
    """Set numbers at some places, the last one wins; or add to them."""
    for e in range(places.shape[0]):
        for j in range(places.shape[1]):
            place = places[e, j]
            result[e, place] = values[e, j] + (result[e, place] if adds else np.float32(0))
