"""Kernels of softmax and its logarithm, for rows whose numbers lie side by side."""

import numpy as np

from crossmesh.common.compiled import kernel
from crossmesh.tiles.digital.base import Array
from crossmesh.tiles.digital.operators.curves import exponential
from crossmesh.tiles.digital.operators.sums import sum_of_row, summing

_FAR = np.float32(-87)  # below the largest number: the exponential is nothing in float32


@summing
def _exponential_sum(x: Array, i: int, largest: float) -> float:
    """Sum of the exponentials of row ``i``, which is not that of numbers far below."""
    total = 0.0
    for j in range(x.shape[1]):
        v = x[i, j] - largest
        total += np.float64(np.float32(0) if v < _FAR else exponential(v))
    return total


@summing
def _product_sum(a: Array, b: Array, i: int) -> float:
    total = 0.0
    for j in range(a.shape[1]):
        total += np.float64(a[i, j] * b[i, j])
    return total


@kernel
def softmax_rows(
    x: Array,  # (rows, n)
    largest: Array,  # (rows,)
    out: Array,  # (rows, n), written
) -> None:
    """``exp(x) / sum(exp(x))``."""
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            v = x[i, j] - largest[i]
            out[i, j] = np.float32(0) if v < _FAR else exponential(v)
        scale = np.float32(1 / sum_of_row(out, i))
        for j in range(x.shape[1]):
            out[i, j] *= scale


@kernel
def softmax_rows_error(
    d: Array,  # (rows, n)
    y: Array,  # (rows, n)
    out: Array,  # (rows, n), written
) -> None:
    """``y * (d - sum(d * y))``."""
    for i in range(y.shape[0]):
        total = np.float32(_product_sum(d, y, i))
        for j in range(y.shape[1]):
            out[i, j] = y[i, j] * (d[i, j] - total)


@kernel
def log_softmax_rows(
    x: Array,  # (rows, n)
    largest: Array,  # (rows,)
    out: Array,  # (rows, n), written
) -> None:
    """``x - log(sum(exp(x)))``."""
    for i in range(x.shape[0]):
        shift = np.float32(np.log(_exponential_sum(x, i, largest[i])))
        for j in range(x.shape[1]):
            out[i, j] = x[i, j] - largest[i] - shift


@kernel
def log_softmax_rows_error(
    d: Array,  # (rows, n)
    y: Array,  # (rows, n)
    out: Array,  # (rows, n), written
) -> None:
    """``d - exp(y) * sum(d)``."""
    for i in range(y.shape[0]):
        total = np.float32(sum_of_row(d, i))
        for j in range(y.shape[1]):
            out[i, j] = d[i, j] - exponential(y[i, j]) * total
