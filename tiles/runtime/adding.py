"""Adding values, and putting them side by side."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from crossmesh.tiles.runtime.program import Operation

Array = NDArray[np.float32]
Get = Callable[[int], Array]


class Part(NamedTuple):
    """A step's way to one of its inputs, and what part of the result it is for.

    Attributes:
        get: The columns and positions by micro-batch.
        at: First column of the result.
        at_position: First position of the result.
        positions: Vectors per example.
    """

    get: Get
    at: int
    at_position: int
    positions: int


def added(parts: Sequence[Part], m: int, op: Operation) -> Array:
    """Add values at their columns and positions, in the order of the program."""
    arrays = [part.get(m) for part in parts]
    is_whole = all(part.positions == op.positions for part in parts)
    if is_whole and len(arrays) == 1 and arrays[0].shape[1] == op.columns:
        return np.ascontiguousarray(arrays[0])  # a view would keep all of the other value
    examples = arrays[0].shape[0] // parts[0].positions
    if is_whole and _are_beside(parts, arrays, op.width):
        out = np.empty((examples * op.positions, op.columns), np.float32)
        np.concatenate(arrays, axis=1, out=out[:, : op.width])
    else:
        out = np.zeros((examples * op.positions, op.columns), np.float32)
        for part, array in zip(parts, arrays, strict=True):
            some = out.reshape(examples, op.positions, -1)
            some = some[:, part.at_position : part.at_position + part.positions]
            width = array.shape[1]
            some[..., part.at : part.at + width] += array.reshape(examples, -1, width)
    if op.has_ones:
        out[:, op.width] = 1
    return out


def _are_beside(parts: Sequence[Part], arrays: Sequence[Array], width: int) -> bool:
    """Whether values lie one after the other in all of the columns."""
    at = 0
    for part, array in zip(parts, arrays, strict=True):
        if part.at != at:
            return False
        at += array.shape[1]
    return at == width
