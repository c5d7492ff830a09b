"""ONNX operators that put tensors side by side, and sequences of tensors."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from crossmesh.emulator.onnx_io.laying import as_it_lies, lying_like
from crossmesh.emulator.onnx_io.moving import axis_of, inner_axis
from crossmesh.emulator.onnx_io.operating import as_view, operate
from crossmesh.emulator.onnx_io.parts import sliced
from crossmesh.emulator.onnx_io.sketch import Sketch
from crossmesh.emulator.onnx_io.values import (
    Constant,
    Parts,
    Refusal,
    Use,
    Value,
    View,
)


def sequence(sketch: Sketch, use: Use) -> list[Value]:
    """Several tensors in one, and one of them again."""
    if use.operator == "SequenceConstruct":
        return [Parts(tuple(use.tensor(i) for i in range(len(use.inputs))))]
    parts = use.inputs[0]
    if not isinstance(parts, Parts):
        raise Refusal("a sequence that depends on the input in another way")
    if use.operator == "SequenceAt":
        return [parts.values[int(use.needed(1).ravel()[0])]]
    if use.operator == "SequenceLength":
        return [Constant(np.array(len(parts.values), np.int64))]
    axis = int(use.attributes.get("axis", 0))
    if use.attributes.get("new_axis", 0):
        tensors = [_expanded(value, axis) for value in parts.values]
        return [concatenated(sketch, tensors, axis)]
    return [concatenated(sketch, parts.values, axis)]


def _expanded(value: Constant | View, axis: int) -> Constant | View:
    if isinstance(value, View):
        return value.expanded([axis_of(axis, value.rank + 1)])
    return replace(value, array=np.expand_dims(value.array, axis))


def concat(sketch: Sketch, use: Use) -> list[Value]:
    """Tensors one after the other along an axis."""
    tensors = [use.tensor(i) for i in range(len(use.inputs))]
    return [concatenated(sketch, tensors, int(use.attributes.get("axis", 1)))]


def concatenated(sketch: Sketch, tensors: Sequence[Constant | View], axis: int) -> Constant | View:
    """Tensors one after the other along an axis."""
    views = [tensor for tensor in tensors if isinstance(tensor, View)]
    if views:
        tensors = [one for one in tensors if isinstance(one, View) or one.array.size]
    else:
        arrays = [one.array for one in tensors if isinstance(one, Constant)]
        return Constant(np.concatenate(arrays, axis))
    first = views[0]
    at = axis_of(axis, first.rank)
    if any(one.batch != first.batch for one in views):
        raise Refusal("examples along different axes")
    inner = inner_axis(first, at)
    if len(tensors) == 1:
        return first
    all_views = [
        one if isinstance(one, View) else as_view(sketch, _spread(one, first), first)
        for one in tensors
    ]
    total = sum(one.shape[at] for one in all_views)
    result = [*first.shape[:at], total, *first.shape[at + 1 :]]
    if any(
        one.shape[:at] + one.shape[at + 1 :] != first.shape[:at] + first.shape[at + 1 :]
        for one in all_views
    ):
        raise Refusal(f"shapes {[one.shape for one in all_views]} along axis {axis}")
    beside = _side_by_side(sketch, all_views, at)
    if beside is not None:
        return beside
    if _lie_alike(all_views, at):
        part = first.axes[at][0]
        lying = [as_it_lies(one) for one in all_views]
        sizes = [*lying[0].shape]
        sizes[lying[0].axes.index((part,))] = total
        settings = {"axis": part}
        made = operate(sketch, "concatenate", lying, sizes, settings=settings, kind=first.kind)
        return lying_like(made, first)
    settings = {"axis": inner}
    return operate(sketch, "concatenate", all_views, result, settings=settings, kind=first.kind)


def _lie_alike(views: Sequence[View], axis: int) -> bool:
    """Whether all lie in the same order, and differ in one size alone, which is an axis."""
    parts = views[0].axes[axis]
    return len(parts) == 1 and all(
        one.axes == views[0].axes
        and all(
            n == size or part == parts[0]
            for part, (n, size) in enumerate(zip(one.sizes, views[0].sizes, strict=True))
        )
        for one in views
    )


def _spread(constant: Constant, like: View) -> Constant:
    """A constant that all examples share."""
    if len(constant.shape) != like.rank:
        raise Refusal(f"a constant of shape {constant.shape} beside {like.shape}")
    return constant


def _side_by_side(sketch: Sketch, views: Sequence[View], axis: int) -> View | None:
    """Features beside each other, where all lie so; None: they do not."""
    first = views[0]
    names = [view.made for view in views]
    if len(set(names)) < len(names) or any(not view.axes[axis] for view in views):
        return None
    for view in views:
        last = len(view.sizes) - 1
        lying = sketch.steps[view.made].axes
        alike = view.axes == first.axes and view.sizes[:-1] == first.sizes[:-1]
        if not alike or view.axes[axis] != (last,) or lying[-1] != view.sizes[-1]:
            return None
        if lying[:-1] != sketch.steps[first.made].axes[:-1]:
            return None
    total = sum(view.sizes[-1] for view in views)
    axes = (*sketch.steps[first.made].axes[:-1], total)
    name = sketch.add("concat", names, axes, hint=sketch.called("concat"))
    return replace(first, made=name, sizes=(*first.sizes[:-1], total))


def split_to_sequence(sketch: Sketch, use: Use) -> list[Value]:
    """Parts one after the other, as a sequence of tensors."""
    view = use.view(0)
    axis = axis_of(int(use.attributes.get("axis", 0)), view.rank)
    given = use.constant(1)
    n = view.shape[axis]
    keep = bool(use.attributes.get("keepdims", 1)) or given is not None
    if given is None:
        sizes = [1] * n
    elif given.ndim:
        sizes = [int(size) for size in given]
    else:
        each = int(given)
        sizes = [each] * (n // each) + ([n % each] if n % each else [])
    starts = np.cumsum([0, *sizes])
    parts = [
        sliced(sketch, view, axis, int(start), int(start) + size)
        for start, size in zip(starts, sizes, strict=False)
    ]
    return [Parts(tuple(part if keep else part.squeezed([axis]) for part in parts))]
