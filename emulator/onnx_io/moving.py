"""Operators that only move values: they are run on the numbers of the values."""

from collections.abc import Sequence

import numpy as np

from crossmesh.emulator.onnx_io import folding
from crossmesh.emulator.onnx_io.building import flat, is_along, natural
from crossmesh.emulator.onnx_io.values import (
    ZERO,
    Constant,
    Index,
    Parts,
    Refusal,
    Use,
    Value,
    View,
)

MOVES = {
    "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Slice", "Split", "Gather",
    "Expand", "Tile", "DepthToSpace", "SpaceToDepth",
}  # fmt: skip


def move(use: Use) -> list[Value]:
    """Run the operator on the numbers of its first input's values."""
    view = use.view(0)
    rest = [use.constant(i) for i in range(1, len(use.inputs))]
    return [view.moved(order) for order in folding.run(use.node, [view.index, *rest], use.opset)]


def split_to_sequence(use: Use) -> list[Value]:
    """Parts of a tensor."""
    view = use.view(0)
    axis = int(use.attributes.get("axis", 0))
    sizes = use.constant(1)
    if sizes is None:
        raise Refusal("parts of one")
    n = view.shape[axis]
    ends = np.cumsum(sizes) if sizes.ndim else np.arange(int(sizes), n + int(sizes), int(sizes))
    parts = np.split(view.index, ends[:-1], axis)
    return [Parts(tuple(view.moved(part) for part in parts))]


def sequence_at(use: Use) -> list[Value]:
    """One of the parts."""
    parts = use.inputs[0]
    assert isinstance(parts, Parts)  # a sequence comes from nowhere else
    return [parts.views[int(use.needed(1))]]


def measure(use: Use) -> list[Value]:
    """Shape and Size: constants, as the number of examples is one."""
    stand_in = np.broadcast_to(np.int64(0), use.view(0).shape)
    return [Constant(array) for array in folding.run(use.node, [stand_in], use.opset)]


def cast(use: Use) -> list[Value]:
    """A cast from floating-point numbers to others, or from integers to others."""
    from onnx import helper

    kind = helper.tensor_dtype_to_np_dtype(use.attributes["to"])
    view = use.view(0)
    if (kind.kind in "iu") != (view.source.layout == "tokens") or kind.kind == "b":
        raise Refusal(f"a cast to {kind}")
    return [view]


def same(use: Use) -> list[Value]:
    """Identity."""
    value = use.inputs[0]
    assert value is not None  # the operator has one input
    return [value]


def cast_like(use: Use) -> list[Value]:
    """A cast to the type of a layer's values."""
    value = use.inputs[0]
    if isinstance(value, Constant):
        return [Constant(value.array.astype(np.float32), value.name)]
    return same(use)


def pad(use: Use) -> list[Value]:
    """Zeros around values."""
    view = use.view(0)
    mode = use.attributes.get("mode", b"constant")
    amounts = use.numbers("pads", 1) or []
    fill = use.attributes.get("value", 0.0)
    if use.constant(2) is not None:
        fill = float(use.needed(2).ravel()[0])
    if mode != b"constant" or fill != 0:
        raise Refusal(f"mode {mode.decode()}, value {fill}")
    axes = use.numbers("axes", 3) or list(range(len(view.shape)))
    widths = [(0, 0)] * len(view.shape)
    for axis, before, after in zip(axes, amounts[: len(axes)], amounts[len(axes) :], strict=True):
        widths[axis] = (before, after)
    if min(min(pair) for pair in widths) < 0:
        raise Refusal(f"pads {amounts}")
    return [view.moved(np.pad(view.index, widths, constant_values=ZERO))]


def concat(use: Use) -> list[Value]:
    """Values of one source side by side, or features of several."""
    views = [use.view(i) for i in range(len(use.inputs))]
    axis = int(use.attributes["axis"])
    first = views[0]
    if all(view.source is first.source and view.factor == first.factor for view in views):
        return [first.moved(np.concatenate([view.index for view in views], axis))]
    shape = first.shape[:axis] + first.shape[axis:][1:]
    if any(view.shape[:axis] + view.shape[axis:][1:] != shape for view in views):
        raise Refusal("parts of different shapes")
    try:
        return [_beside([_whole(view, axis) for view in views], axis)]
    except Refusal:
        if len(first.shape) != 2:
            raise
    return [_beside([flat(view) for view in views], axis)]


def _whole(view: View, axis: int) -> View:
    """A view in which ``axis`` holds all features of its source, in order."""
    if not is_along(view, axis):
        view = natural(view)
    if not is_along(view, axis) or view.factor != 1:
        raise Refusal("parts that are not all the features of a layer")
    return view


def _beside(views: Sequence[View], axis: int) -> View:
    first = views[0]
    layout = first.source.layout
    example, position = (np.moveaxis(part, axis, -1)[..., :1] for part in first.places[:2])
    for view in views:
        parts = [np.moveaxis(part, axis, -1)[..., :1] for part in view.places[:2]]
        if view.source.layout != layout or not (
            np.array_equal(parts[0], example) and np.array_equal(parts[1], position)
        ):
            raise Refusal("parts from different places")
    features = sum(view.source.n_features for view in views)
    shape = first.source.shape
    shape = (features, *shape[1:]) if layout != "sequence" else (shape[0], features)
    source = first.source.after("concat", inputs=tuple(view.source for view in views), shape=shape)
    order: Index = source.number(example, position, np.arange(features))
    return View(source, np.moveaxis(order, -1, axis))
