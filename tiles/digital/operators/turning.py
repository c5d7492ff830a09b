"""Transposition of small matrices, which NumPy copies number by number."""

from crossmesh.common.compiled import kernel
from crossmesh.tiles.digital.base import Array

MOST = 1024  # numbers of a matrix; rows of larger ones leave the nearest cache meanwhile


@kernel
def turn(
    x: Array,  # (n, rows, columns)
    out: Array,  # (n, columns, rows), written
) -> None:
    """Transpose every matrix."""
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            for k in range(x.shape[2]):
                out[i, k, j] = x[i, j, k]
