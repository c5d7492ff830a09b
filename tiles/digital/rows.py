"""How kernels write to views: one compiled code for all, so that the bits are the same."""

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
