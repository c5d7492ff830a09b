"""ONNX operators along axes: sums and means, softmax, normalisation, order."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from crossmesh.emulator.onnx_io.laying import separated
from crossmesh.emulator.onnx_io.moving import MIXED, axis_of, inner_axis, reshaped
from crossmesh.emulator.onnx_io.operating import operate
from crossmesh.emulator.onnx_io.pointwise import number
from crossmesh.emulator.onnx_io.sketch import Sketch
from crossmesh.emulator.onnx_io.values import (
    EXAMPLES,
    Axes,
    NumberKind,
    Refusal,
    Use,
    Value,
    View,
)

REDUCTIONS = {
    "ReduceSum": "sum", "ReduceMean": "mean", "ReduceMax": "max", "ReduceMin": "min",
    "ReduceProd": "product", "ReduceL1": "l1", "ReduceL2": "l2", "ReduceLogSum": "log_sum",
    "ReduceLogSumExp": "log_sum_exp", "ReduceSumSquare": "sum_square",
}  # fmt: skip


def reduce(sketch: Sketch, use: Use) -> list[Value]:
    """One number of those along some axes."""
    view = use.view(0)
    given = use.numbers("axes", 1)
    keep = bool(use.attributes.get("keepdims", 1))
    does_nothing = bool(use.attributes.get("noop_with_empty_axes", 0))
    if not given and does_nothing:
        if use.operator in {"ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd"}:
            return [view]
        raise Refusal("noop_with_empty_axes")
    axes = [axis_of(axis, view.rank) for axis in given or range(view.rank)]
    return [reduced(sketch, view, REDUCTIONS[use.operator], axes, keep=keep)]


def reduced(sketch: Sketch, view: View, operator: str, axes: Iterable[int], *, keep: bool) -> View:
    """One number of those along some axes."""
    gone = sorted(set(axes))
    if view.batch in gone:
        raise Refusal(MIXED)
    if all(view.shape[axis] == 1 for axis in gone) and operator in {
        "sum",
        "mean",
        "max",
        "min",
        "product",
    }:
        return view if keep else view.squeezed(gone)
    result = [
        1 if i in gone else size for i, size in enumerate(view.shape) if keep or i not in gone
    ]
    made = _pooled(sketch, view, operator, gone) if operator == "mean" else None
    if made is not None:
        return reshaped(sketch, made, result)
    plain = separated(sketch, view)
    over = tuple(inner_axis(plain, axis) for axis in gone)
    batch = plain.batch
    if batch is not None and not keep:
        batch -= sum(axis < batch for axis in gone)
    settings = {"over": over, "keep": keep}
    kind: NumberKind = view.kind if operator in {"sum", "max", "min", "product"} else "f"
    return operate(sketch, operator, [plain], result, settings=settings, batch=batch, kind=kind)


def _pooled(sketch: Sketch, view: View, operator: str, gone: Sequence[int]) -> View | None:
    """The mean over all places of an image or sequence as a layer; None: it is another."""
    lying = sketch.steps[view.made].axes
    kept = [axis for i, axis in enumerate(view.axes) if i not in gone]
    last = len(view.sizes) - 1
    batch: list[Axes] = [(EXAMPLES,)] if view.n > 1 else []
    is_all = [axis for axis in kept if axis] == [*batch, (last,)]
    if not is_all or len(lying) not in {2, 3} or lying[-1] != view.sizes[last]:
        return None
    name = sketch.add("global_pool", [view.made], (lying[-1],))
    return View(made=name, n=view.n, sizes=(lying[-1],), axes=(*batch, (0,)))


def place_of_most(sketch: Sketch, use: Use) -> list[Value]:
    """The place of the largest or smallest number."""
    view = use.view(0)
    axis = axis_of(int(use.attributes.get("axis", 0)), view.rank)
    keep = bool(use.attributes.get("keepdims", 1))
    plain = separated(sketch, view)
    settings = {
        "axis": inner_axis(plain, axis),
        "keep": keep,
        "last": bool(use.attributes.get("select_last_index", 0)),
    }
    result = [1 if i == axis else n for i, n in enumerate(view.shape) if keep or i != axis]
    batch = plain.batch
    if batch is not None and not keep:
        batch -= axis < batch
    operator = "argmax" if use.operator == "ArgMax" else "argmin"
    return [operate(sketch, operator, [plain], result, settings=settings, batch=batch, kind="i")]


def softmax(sketch: Sketch, use: Use) -> list[Value]:
    """Shares along an axis, their logarithm, or 1 for the largest."""
    view = use.view(0)
    operator = {"Softmax": "softmax", "LogSoftmax": "log_softmax", "Hardmax": "hardmax"}[
        use.operator
    ]
    is_old = use.opset < 13
    axis = axis_of(int(use.attributes.get("axis", 1 if is_old else -1)), view.rank)
    if is_old and axis != view.rank - 1:
        outer, inner = math.prod(view.shape[:axis]), math.prod(view.shape[axis:])
        flat = reshaped(sketch, view, [outer, inner])
        return [reshaped(sketch, shares(sketch, flat, 1, operator), view.shape)]
    return [shares(sketch, view, axis, operator)]


def shares(sketch: Sketch, view: View, axis: int, operator: str = "softmax") -> View:
    """Shares along an axis, or another operator along one."""
    lying = sketch.steps[view.made].axes
    last = (len(view.sizes) - 1,)
    if operator == "softmax" and view.axes[axis] == last and lying[-1] == view.sizes[-1]:
        return replace(view, made=sketch.add("softmax", [view.made], lying))
    parts = view.axes[axis]
    if len(parts) == 1 and EXAMPLES not in parts:  # wherever it lies
        name = sketch.add(
            "operator",
            [view.made],
            lying,
            hint=f"{operator}{len(sketch.steps) - 1}",
            settings={
                "operator": operator,
                "settings": {"axis": parts[0]},
                **({"operands": [{"sizes": view.sizes}]} if view.sizes != lying else {}),
                **({"axes": lying} if view.sizes != lying else {}),
            },
        )
        return replace(view, made=name)
    plain = separated(sketch, view)
    settings = {"axis": inner_axis(plain, axis)}
    return operate(sketch, operator, [plain], plain.shape, settings=settings)


def cumulative(sketch: Sketch, use: Use) -> list[Value]:
    """Sums of what is before each place."""
    view = separated(sketch, use.view(0))
    axis = axis_of(int(use.needed(1).ravel()[0]), view.rank)
    settings = {
        "axis": inner_axis(view, axis),
        "exclusive": bool(use.attributes.get("exclusive", 0)),
        "reverse": bool(use.attributes.get("reverse", 0)),
    }
    return [
        operate(sketch, "cumulative_sum", [view], view.shape, settings=settings, kind=view.kind)
    ]


def top(sketch: Sketch, use: Use) -> list[Value | None]:
    """The largest numbers of an axis, and their places."""
    view = separated(sketch, use.view(0))
    axis = axis_of(int(use.attributes.get("axis", -1)), view.rank)
    k = int(use.attributes["k"]) if "k" in use.attributes else int(use.needed(1).ravel()[0])
    use.attributes.get("sorted")
    settings = {
        "axis": inner_axis(view, axis), "k": k, "largest": bool(use.attributes.get("largest", 1)),
    }  # fmt: skip
    result = [k if i == axis else n for i, n in enumerate(view.shape)]
    parts: list[tuple[str, NumberKind]] = [("values", view.kind), ("places", "i")]
    return [
        operate(sketch, "top", [view], result, settings=settings | {"part": part}, kind=kind)
        if used
        else None
        for (part, kind), used in zip(parts, use.outputs, strict=False)
    ]


def trilu(sketch: Sketch, use: Use) -> list[Value]:
    """The triangle above or below a diagonal."""
    view = separated(sketch, use.view(0))
    given = use.constant(1)
    k = 0 if given is None else int(given.ravel()[0])
    if view.batch is not None and view.batch >= view.rank - 2:
        raise Refusal(MIXED)
    settings = {"upper": bool(use.attributes.get("upper", 1)), "k": k}
    return [operate(sketch, "trilu", [view], view.shape, settings=settings, kind=view.kind)]


def one_hot(sketch: Sketch, use: Use) -> list[Value]:
    """A number for each of some places, one of which is on."""
    view = separated(sketch, use.view(0))
    depth, (off, on) = int(use.needed(1).ravel()[0]), use.needed(2)
    axis = axis_of(int(use.attributes.get("axis", -1)), view.rank + 1)
    if view.batch is not None and axis <= view.batch:
        raise Refusal("a new axis before that of the examples")
    settings = {
        "axis": axis - (view.batch is not None),
        "depth": depth,
        "on": number(on),
        "off": number(off),
    }
    result = [*view.shape[:axis], depth, *view.shape[axis:]]
    return [operate(sketch, "one_hot", [view], result, settings=settings)]
