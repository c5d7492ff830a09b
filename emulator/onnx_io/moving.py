"""ONNX operators that move numbers: shapes, parts, padding, and tables."""

import math
from collections.abc import Sequence

import numpy as np

from crossmesh.emulator.onnx_io.laying import as_vectors, laid_out
from crossmesh.emulator.onnx_io.sketch import Sketch
from crossmesh.emulator.onnx_io.values import (
    Constant,
    Refusal,
    Use,
    Value,
    View,
)

MIXED = "an operation along the axis of the examples"


def axis_of(number: int, rank: int) -> int:
    """An axis, which may be counted from the end."""
    if not -rank <= number < rank:
        raise Refusal(f"axis {number} of {rank} axes")
    return number % rank


def inner_axis(view: View, axis: int) -> int:
    """An axis as operators count them, without that of the examples."""
    if axis == view.batch:
        raise Refusal(MIXED)
    return axis - (view.batch is not None and axis > view.batch and view.within == 1)


def by_inner_axis(view: View, values: Sequence[int], rest: int) -> tuple[int, ...]:
    """A value for each axis as operators count them; ``rest`` for one within the examples."""
    found = list(values)
    if view.batch is not None:
        found[view.batch : view.batch + 1] = [rest] if view.within > 1 else []
    return tuple(found)


def reshaped(sketch: Sketch, view: View, shape: Sequence[int]) -> View:
    """A view with other axes over the same order of numbers."""
    if math.prod(shape) != math.prod(view.shape):
        raise Refusal(f"shape {tuple(shape)} for {view.shape}")
    made = view.reshaped(shape)
    if made is None:
        moved = laid_out(sketch, view)
        made = moved.reshaped(shape) or as_vectors(moved).reshaped(shape)
    if made is None:
        raise Refusal("examples that share an axis with part of another")
    return made


def reshape(sketch: Sketch, use: Use) -> list[Value]:
    """Other axes; 0 keeps a size, -1 is what is left."""
    view = use.view(0)
    wanted = use.numbers("shape", 1)
    if wanted is None:
        raise Refusal("a shape that is left out")
    if not use.attributes.get("allowzero", 0):
        wanted = [view.shape[i] if n == 0 and i < view.rank else n for i, n in enumerate(wanted)]
    if wanted.count(-1) == 1:
        known = math.prod(n for n in wanted if n != -1)
        wanted = [math.prod(view.shape) // known if n == -1 and known else n for n in wanted]
    return [reshaped(sketch, view, wanted)]


def flatten(sketch: Sketch, use: Use) -> list[Value]:
    """Two axes."""
    view = use.view(0)
    axis = int(use.attributes.get("axis", 1))
    axis = axis + view.rank if axis < 0 else axis
    outer, inner = math.prod(view.shape[:axis]), math.prod(view.shape[axis:])
    return [reshaped(sketch, view, [outer, inner])]


def transpose(sketch: Sketch, use: Use) -> list[Value]:
    """Axes in another order."""
    view = use.view(0)
    order = [int(axis) for axis in use.attributes.get("perm", range(view.rank)[::-1])]
    if sorted(order) != list(range(view.rank)):
        raise Refusal(f"axes {order} of {view.shape}")
    return [view.permuted(order)]


def squeeze(sketch: Sketch, use: Use) -> list[Value]:
    """Without axes of size 1."""
    view = use.view(0)
    given = use.numbers("axes", 1)
    if given is None:
        given = [i for i, size in enumerate(view.shape) if size == 1 and i != view.batch]
    return [view.squeezed([axis_of(axis, view.rank) for axis in given])]


def unsqueeze(sketch: Sketch, use: Use) -> list[Value]:
    """With new axes of size 1."""
    view = use.view(0)
    given = use.numbers("axes", 1) or []
    rank = view.rank + len(given)
    return [view.expanded([axis_of(axis, rank) for axis in given])]


def shape(sketch: Sketch, use: Use) -> list[Value]:
    """The sizes of a tensor."""
    sizes = use.view(0).shape
    sketch.counts_examples = True
    start, end = use.attributes.get("start", 0), use.attributes.get("end", len(sizes))
    return [Constant(np.array(sizes[int(start) : int(end)], np.int64))]


def size(sketch: Sketch, use: Use) -> list[Value]:
    """How many numbers a tensor has."""
    sketch.counts_examples = True
    return [Constant(np.array(math.prod(use.view(0).shape), np.int64))]


def depth_to_space(sketch: Sketch, use: Use) -> list[Value]:
    """Channels as blocks of pixels, or the other way."""
    view = use.view(0)
    n, channels, height, width = view.shape
    size = int(use.attributes["blocksize"])
    if use.operator == "SpaceToDepth":
        cut = reshaped(sketch, view, [n, channels, height // size, size, width // size, size])
        moved = cut.permuted([0, 3, 5, 1, 2, 4])
        return [reshaped(sketch, moved, [n, channels * size**2, height // size, width // size])]
    left = channels // size**2
    if use.word("mode", "DCR") == "DCR":
        parts, order = [n, size, size, left, height, width], [0, 3, 4, 1, 5, 2]
    else:
        parts, order = [n, left, size, size, height, width], [0, 1, 4, 2, 5, 3]
    moved = reshaped(sketch, view, parts).permuted(order)
    return [reshaped(sketch, moved, [n, left, height * size, width * size])]
