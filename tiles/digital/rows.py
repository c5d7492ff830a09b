"""Writing results to strided views: one compiled kernel for all, so that bits are the same."""

from collections.abc import Callable

import numpy as np

from crossmesh.tiles.digital.base import Array


def fill(out: Array, write: Callable[[Array], object]) -> None:
    """Let ``write`` fill ``out``, by way of a contiguous array where it is a view."""
    if out.flags.c_contiguous:
        write(out)
        return
    filled = np.empty(out.shape, np.float32)
    write(filled)
    out[...] = filled
