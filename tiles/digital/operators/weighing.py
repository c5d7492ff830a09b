"""Sums of weighted numbers along an axis: which places each result takes, and how much of each."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.compiled import kernel
from crossmesh.tiles.digital.base import Array
from crossmesh.tiles.digital.operators.sums import folded


class Weights(NamedTuple):
    """How results are made of numbers along an axis.

    Attributes:
        places: ``(results, taps)``: of the numbers,
        weights: ``(results, taps)``: and how much of each counts.
    """

    places: NDArray[np.int64]
    weights: Array


def weighed(x: Array, axis: int, weights: Weights, out: Array) -> None:
    """Weigh numbers along an axis into ``out``, contiguous, of the same axes."""
    _weigh(folded(x, (axis,)), *weights, folded(out, (axis,)))


def weighed_error(d: Array, axis: int, weights: Weights, shape: tuple[int, ...]) -> Array:
    """The error at the numbers, of ``shape``, for one at what they were weighed to."""
    result = np.zeros(shape, np.float32)
    _weigh_back(folded(d, (axis,)), *weights, folded(result, (axis,)))
    return result


@kernel
def _weigh(
    x: Array,  # (outer, size, inner)
    places: NDArray[np.int64],  # (results, taps)
    weights: Array,  # (results, taps)
    out: Array,  # (outer, results, inner), written
) -> None:
    for i in range(x.shape[0]):
        for j in range(places.shape[0]):
            out[i, j] = 0
            for t in range(places.shape[1]):
                place, weight = places[j, t], weights[j, t]
                for k in range(x.shape[2]):
                    out[i, j, k] += weight * x[i, place, k]


@kernel
def _weigh_back(
    d: Array,  # (outer, results, inner)
    places: NDArray[np.int64],  # (results, taps)
    weights: Array,  # (results, taps)
    result: Array,  # (outer, size, inner), zeros at first; written
) -> None:
    for i in range(d.shape[0]):
        for j in range(places.shape[0]):
            for t in range(places.shape[1]):
                place, weight = places[j, t], weights[j, t]
                for k in range(d.shape[2]):
                    result[i, place, k] += weight * d[i, j, k]
