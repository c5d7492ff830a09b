"""ONNX operators that set numbers at places, or choose them."""

import math
from collections.abc import Sequence

import numpy as np

from crossmesh.emulator.onnx_io.combining import combine
from crossmesh.emulator.onnx_io.moving import MIXED, axis_of, inner_axis, reshaped
from crossmesh.emulator.onnx_io.operating import as_view, operate
from crossmesh.emulator.onnx_io.parts import taken
from crossmesh.emulator.onnx_io.sketch import Sketch
from crossmesh.emulator.onnx_io.values import Array, Axes, Constant, Refusal, Use, Value, View

COMBINED = {"mul": "multiply", "max": "maximum", "min": "minimum", "add": "add"}


def _flat(places: Array, sizes: Axes) -> Array:
    """Places along several axes as places along one."""
    given = [places[..., i] + size * (places[..., i] < 0) for i, size in enumerate(sizes)]
    if any(((axis < 0) | (axis >= size)).any() for axis, size in zip(given, sizes, strict=True)):
        raise Refusal(f"places beyond {sizes}")
    flat: Array = np.ravel_multi_index(tuple(given), sizes)
    return flat


def scatter_elements(sketch: Sketch, use: Use) -> list[Value]:
    """A tensor with other numbers at places along an axis."""
    tensors = [use.tensor(i) for i in range(3)]
    view = next(one for one in tensors if isinstance(one, View))
    axis = axis_of(int(use.attributes.get("axis", 0)), len(tensors[0].shape))
    reduction = use.word("reduction", "none")
    return [_scattered(sketch, tensors, view, axis, reduction)]


def scatter_nd(sketch: Sketch, use: Use) -> list[Value]:
    """A tensor with other numbers at places of its first axes."""
    data, places, updates = use.tensor(0), use.needed(1), use.tensor(2)
    view = next(one for one in (data, updates) if isinstance(one, View))
    if view.batch is not None:
        raise Refusal(MIXED)
    n = places.shape[-1]
    sizes, rest = data.shape[:n], data.shape[n:]
    flat = _flat(places, sizes).reshape(-1, 1)
    wide = math.prod(rest)
    rows = np.broadcast_to(flat, (len(flat), wide))
    folded = [
        _folded(sketch, data, [math.prod(sizes), wide]),
        Constant(np.ascontiguousarray(rows)),
        _folded(sketch, updates, [len(flat), wide]),
    ]
    reduction = use.word("reduction", "none")
    made = _scattered(sketch, folded, view, 0, reduction)
    return [reshaped(sketch, made, data.shape)]


def _folded(sketch: Sketch, tensor: Constant | View, shape: Sequence[int]) -> Constant | View:
    if isinstance(tensor, View):
        return reshaped(sketch, tensor, shape)
    return Constant(tensor.array.reshape(shape))


def _scattered(
    sketch: Sketch, tensors: Sequence[Constant | View], view: View, axis: int, reduction: str
) -> View:
    """What ``scatter_elements`` gives; what it cannot is combined before."""
    data, places, updates = tensors
    settings = {"axis": inner_axis(view, axis), "reduction": reduction}
    if reduction in COMBINED and reduction != "add":
        if not isinstance(places, Constant) or not _are_single(places.array, axis):
            raise Refusal(f"reduction {reduction} at places that may meet")
        own = {"axis": settings["axis"]}
        wide = as_view(sketch, data, view)
        there = operate(sketch, "gather_elements", [wide, places], places.shape, settings=own)
        updates = combine(sketch, COMBINED[reduction], [there, updates])
        settings["reduction"] = "none"
    kind = data.kind
    return operate(sketch, "scatter_elements", [data, places, updates], data.shape,
                   settings=settings, kind=kind)  # fmt: skip


def _are_single(places: Array, axis: int) -> bool:
    """Whether no place is there twice along an axis."""
    ordered = np.sort(places, axis)
    return not (np.diff(ordered, axis=axis) == 0).any()


def compress(sketch: Sketch, use: Use) -> list[Value]:
    """The places of an axis, or of all numbers, that are chosen."""
    view = use.view(0)
    chosen = np.flatnonzero(use.needed(1)).tolist()
    axis = use.attributes.get("axis")
    if axis is None:
        flat = reshaped(sketch, view, [math.prod(view.shape)])
        return [taken(sketch, flat, 0, chosen, (len(chosen),))]
    return [taken(sketch, view, axis_of(int(axis), view.rank), chosen, (len(chosen),))]


def eye_like(sketch: Sketch, use: Use) -> list[Value]:
    """Ones on a diagonal, of the shape of a tensor."""
    use.attributes.get("dtype")
    rows, columns = use.view(0).shape
    return [Constant(np.eye(rows, columns, int(use.attributes.get("k", 0)), np.float32))]


def optional(sketch: Sketch, use: Use) -> list[Value | None]:
    """A tensor that may be left out, and whether it is there."""
    use.attributes.get("type")
    if use.operator == "OptionalHasElement":
        return [Constant(np.array(use.has(0)))]
    return [use.inputs[0]]
