"""Parameters of a file that its graph arranges before it uses them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from crossmesh.emulator.onnx_io.values import Array, Constant

# Operators behind which a parameter has each of its numbers once, or only some of them.
ARRANGING = frozenset(
    {
        "Identity",
        "Reshape",
        "Transpose",
        "Squeeze",
        "Unsqueeze",
        "Cast",
        "Flatten",
        "Slice",
        "Split",
    }
)


def arranged(
    parameter: Constant, node: Any, others: Sequence[Array | None], made: Array
) -> Constant:
    """What a node makes of a parameter, which keeps its name where training can still change it.

    What repeats numbers gives an array that is spread, as ``np.broadcast_to`` makes it.

    Args:
        parameter: The first input of the node.
        node: The node.
        others: Its other inputs.
        made: Its output.
    """
    array = parameter.array
    if node.op_type in ARRANGING:
        return Constant(made, "" if is_spread(array) else parameter.name)
    if node.op_type == "Expand":
        return replace(parameter, array=np.broadcast_to(array, made.shape))
    if node.op_type == "Gather" and others[0] is not None and not is_spread(array):
        axis = next((a.i for a in node.attribute if a.name == "axis"), 0) % array.ndim
        return _gathered(parameter, others[0] % array.shape[axis], axis, made)
    return Constant(made)


def _gathered(parameter: Constant, places: Array, axis: int, made: Array) -> Constant:
    """Rows of a parameter: different ones, or one that is repeated."""
    different = np.unique(places).size
    if different == places.size:
        return Constant(made, parameter.name)
    if different > 1:
        return Constant(made)
    row = parameter.array.take(places.ravel()[:1], axis)
    ones = (*row.shape[:axis], *(1,) * places.ndim, *row.shape[axis + 1 :])
    return Constant(np.broadcast_to(row.reshape(ones), made.shape), parameter.name)


def is_spread(array: Array) -> bool:
    """Whether numbers are there several times."""
    return gathered(array).size < array.size


def gathered(array: Array) -> Array:
    """Each number of an array once, its repetitions along axes left out."""
    sides = zip(array.shape, array.strides, strict=True)
    return array[tuple(slice(None, 1 if not stride and n > 1 else None) for n, stride in sides)]
