"""Operators that move numbers about, as ONNX operators."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from crossmesh.emulator.onnx_io.graph import Axes, Graph, Tensor

Written = Callable[[Graph, Any, Sequence[Tensor]], Tensor]
BEFORE_FIRST = -(2**63)  # where a range ends that goes backwards up to the first place


def _arrange(graph: Graph, function: Any, fed: Sequence[Tensor]) -> Tensor:
    return graph.reshaped(fed[0], tuple(function.axes))


def _expand(graph: Graph, function: Any, fed: Sequence[Tensor]) -> Tensor:
    x = fed[0]
    sizes = graph.integers("sizes", 1, *function.axes)
    return replace(x, value=graph.node("Expand", [x, sizes]), shape=function.axes)


def _take(graph: Graph, function: Any, fed: Sequence[Tensor]) -> Tensor:
    """With one more place for the number that stands where there is none."""
    x, axis = fed[0], function.axis
    size = x.shape[axis]
    value = x.value
    if min(function.places) < 0:
        after = [int(i == axis) for i in range(len(x.shape))]
        x = graph.typed(x, "float32")
        value = padded(graph, x, [0] * len(after), after, function.fill)
    places = graph.integers("places", *(size if p < 0 else p for p in function.places))
    value = graph.node("Gather", [value, places], axis=1 + axis)
    return replace(x, value=value, shape=function.axes)


def _slice(graph: Graph, function: Any, fed: Sequence[Tensor]) -> Tensor:
    x = fed[0]
    places = range(x.shape[function.axis])[function.start : function.stop : function.step]
    value = sliced(graph, x.value, [(1 + function.axis, places)])
    return replace(x, value=value, shape=function.axes)


def sliced(graph: Graph, value: str, ranges: Sequence[tuple[int, range]]) -> str:
    """Ranges along some axes, that of the examples counted."""
    parts = {
        "starts": [places.start for _, places in ranges],
        "ends": [BEFORE_FIRST if places.stop < 0 else places.stop for _, places in ranges],
        "axes": [axis for axis, _ in ranges],
        "steps": [places.step for _, places in ranges],
    }
    inputs = [graph.integers(name, *numbers) for name, numbers in parts.items()]
    return graph.node("Slice", [value, *inputs])


def _pad(graph: Graph, function: Any, fed: Sequence[Tensor]) -> Tensor:
    x = graph.typed(fed[0], "float32")
    value = padded(graph, x, function.before, function.after, function.value)
    return replace(x, value=value, shape=function.axes)


def padded(
    graph: Graph, x: Tensor, before: Sequence[int], after: Sequence[int], number: float
) -> str:
    """A margin of a number around each example."""
    pads = graph.integers("pads", 0, *before, 0, *after)
    return graph.node("Pad", [x, pads, graph.number(number)])


def _concatenate(graph: Graph, function: Any, fed: Sequence[Tensor]) -> Tensor:
    like = next(x for x in fed if not x.is_parameter)
    alike = len({x.dtype for x in fed}) == 1
    parts = [graph.of_each(x if alike else graph.typed(x, "float32"), like) for x in fed]
    value = graph.node("Concat", parts, axis=1 + function.axis)
    return replace(parts[0], value=value, shape=function.axes)


def _held(graph: Graph, function: Any, fed: Sequence[Tensor]) -> Tensor:
    return graph.of_each(fed[1], fed[0])


def _trilu(graph: Graph, function: Any, fed: Sequence[Tensor]) -> Tensor:
    x = graph.typed(fed[0], "float32")
    k = graph.constant("k", np.int64(function.k))
    return replace(x, value=graph.node("Trilu", [x, k], upper=int(function.upper)))


def _one_hot(graph: Graph, function: Any, fed: Sequence[Tensor]) -> Tensor:
    depth = graph.constant("depth", np.int64(function.depth))
    values = graph.constant("values", np.array([function.off, function.on], np.float32))
    places = graph.typed(fed[0], "int64")
    value = graph.node("OneHot", [places, depth, values], axis=1 + function.axis)
    return Tensor(value, function.axes)


def _lookup(graph: Graph, function: Any, fed: Sequence[Tensor]) -> Tensor:
    """Rows of a table of all examples, or of each example's own."""
    table, places = fed[0], graph.typed(fed[1], "int64")
    if not table.is_parameter:
        return _looked_up_in_each(graph, function, table, graph.of_each(places, table))
    axis, axes = function.axis, table.shape
    outer, inner = axes[:axis], axes[axis + 1 :]
    moved = graph.transposed(table, (axis, *(i for i in range(len(axes)) if i != axis)))
    rows = graph.reshaped(moved, (axes[axis], math.prod(outer + inner)))
    found = Tensor(graph.node("Gather", [rows, places], axis=0), (*places.shape, rows.shape[1]))
    cut = graph.reshaped(found, (*places.shape, *outer, *inner))
    n, first = len(places.shape), len(outer)
    order = [*range(n, n + first), *range(n), *range(n + first, n + first + len(inner))]
    return graph.transposed(cut, tuple(order))


def _looked_up_in_each(graph: Graph, function: Any, table: Tensor, places: Tensor) -> Tensor:
    axis, axes = function.axis, table.shape
    outer, inner = axes[:axis], axes[axis + 1 :]
    n = math.prod(places.shape)
    ones: Axes = (1,) * len(outer) + (n,) + (1,) * len(inner)
    rows = graph.reshaped(places, ones)
    sizes = graph.integers("sizes", 1, *outer, n, *inner)
    everywhere = graph.node("Expand", [rows, sizes])
    value = graph.node("GatherElements", [table, everywhere], axis=1 + axis)
    return graph.reshaped(replace(table, value=value, shape=(*outer, n, *inner)), function.axes)


def _gather_elements(graph: Graph, function: Any, fed: Sequence[Tensor]) -> Tensor:
    like = next(x for x in fed if not x.is_parameter)
    x, places = graph.of_each(fed[0], like), graph.of_each(graph.typed(fed[1], "int64"), like)
    value = graph.node("GatherElements", [x, places], axis=1 + function.axis)
    return replace(x, value=value, shape=function.axes)


def _scatter_elements(graph: Graph, function: Any, fed: Sequence[Tensor]) -> Tensor:
    like = next(x for x in fed if not x.is_parameter)
    types = ("float32", "int64", "float32")
    operands = [
        graph.of_each(graph.typed(x, dtype), like)  # type: ignore[arg-type]  # one of the types
        for x, dtype in zip(fed, types, strict=True)
    ]
    settings = {"axis": 1 + function.axis, "reduction": function.reduction}
    return Tensor(graph.node("ScatterElements", operands, **settings), function.axes)


MOVEMENTS: dict[str, Written] = {
    "arrange": _arrange,
    "concatenate": _concatenate,
    "expand": _expand,
    "gather_elements": _gather_elements,
    "held": _held,
    "lookup": _lookup,
    "one_hot": _one_hot,
    "pad": _pad,
    "scatter_elements": _scatter_elements,
    "slice": _slice,
    "take": _take,
    "trilu": _trilu,
}
