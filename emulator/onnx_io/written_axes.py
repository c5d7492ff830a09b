"""Operators along axes, products and norms, as ONNX operators."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from string import ascii_letters
from typing import Any

import numpy as np

from crossmesh.emulator.onnx_io.graph import Graph, Tensor

Written = Callable[[Graph, Any, Sequence[Tensor]], Tensor]
REDUCTIONS = {
    "sum": "ReduceSum", "mean": "ReduceMean", "max": "ReduceMax", "min": "ReduceMin",
    "product": "ReduceProd", "l1": "ReduceL1", "l2": "ReduceL2", "log_sum": "ReduceLogSum",
    "log_sum_exp": "ReduceLogSumExp", "sum_square": "ReduceSumSquare",
}  # fmt: skip
SHARES = {"softmax": "Softmax", "log_softmax": "LogSoftmax", "hardmax": "Hardmax"}
PLACES = {"argmax": "ArgMax", "argmin": "ArgMin"}


def _reduce(graph: Graph, function: Any, fed: Sequence[Tensor]) -> Tensor:
    x = graph.typed(fed[0], "float32")
    over = graph.integers("over", *(1 + axis for axis in function.over))
    value = graph.node(REDUCTIONS[function.name], [x, over], keepdims=int(function.keep))
    return Tensor(value, function.axes)


def _shares(graph: Graph, function: Any, fed: Sequence[Tensor]) -> Tensor:
    x = graph.typed(fed[0], "float32")
    return replace(x, value=graph.node(SHARES[function.name], [x], axis=1 + function.axis))


def _place_of_most(graph: Graph, function: Any, fed: Sequence[Tensor]) -> Tensor:
    settings = {
        "axis": 1 + function.axis,
        "keepdims": int(function.keep),
        "select_last_index": int(function.last),
    }
    x = graph.typed(fed[0], "float32")
    return Tensor(graph.node(PLACES[function.name], [x], **settings), function.axes, dtype="int64")


def _cumulative_sum(graph: Graph, function: Any, fed: Sequence[Tensor]) -> Tensor:
    x = graph.typed(fed[0], "float32")
    axis = graph.constant("axis", np.int64(1 + function.axis))
    settings: dict[str, Any] = {
        "exclusive": int(function.exclusive),
        "reverse": int(function.reverse),
    }
    return replace(x, value=graph.node("CumSum", [x, axis], **settings))


def _top(graph: Graph, function: Any, fed: Sequence[Tensor]) -> Tensor:
    x = graph.typed(fed[0], "float32")
    k = graph.integers("k", function.k)
    settings = {"axis": 1 + function.axis, "largest": int(function.largest)}
    values, places = graph.several("TopK", [x, k], 2, **settings)
    if function.part == "values":
        return Tensor(values, function.axes)
    return Tensor(places, function.axes, dtype="int64")


# Products


def _matmul(graph: Graph, function: Any, fed: Sequence[Tensor]) -> Tensor:
    rank = max(len(x.shape) for x in fed)
    operands = [
        graph.reshaped(x, (1,) * (rank - len(x.shape)) + x.shape)
        for x in (graph.typed(one, "float32") for one in fed)
    ]
    return Tensor(graph.node("MatMul", operands), function.axes)


def _einsum(graph: Graph, function: Any, fed: Sequence[Tensor]) -> Tensor:
    taken, _, result = function.equation.replace(" ", "").partition("->")
    examples = next(letter for letter in ascii_letters if letter not in function.equation)
    operands = [graph.typed(x, "float32") for x in fed]
    terms = [
        term if x.is_parameter else examples + term
        for x, term in zip(fed, taken.split(","), strict=True)
    ]
    equation = f"{','.join(terms)}->{examples}{result}"
    return Tensor(graph.node("Einsum", operands, equation=equation), function.axes)


# Norms


def _normalise(graph: Graph, function: Any, fed: Sequence[Tensor]) -> Tensor:
    x = graph.typed(fed[0], "float32")
    if not function.centred:
        return _over_root_mean_square(graph, function, x)
    over = tuple(axis % len(x.shape) for axis in function.over)
    kept = tuple(axis for axis in range(len(x.shape)) if axis not in over)
    moved = graph.transposed(x, kept + over)
    groups = math.prod(x.shape[axis] for axis in kept)
    flat = graph.reshaped(moved, (groups, math.prod(x.shape[axis] for axis in over)))
    ones = graph.constant("ones", np.ones(groups, np.float32))
    zeros = graph.constant("zeros", np.zeros(groups, np.float32))
    value = graph.node("InstanceNormalization", [flat, ones, zeros], epsilon=function.epsilon)
    whole = graph.reshaped(replace(flat, value=value), moved.shape)
    return graph.transposed(whole, tuple(int(i) for i in np.argsort(kept + over)))


def _over_root_mean_square(graph: Graph, function: Any, x: Tensor) -> Tensor:
    over = graph.integers("over", *(1 + axis for axis in function.over))
    mean = graph.node("ReduceMean", [graph.node("Mul", [x, x]), over], keepdims=1)
    root = graph.node("Sqrt", [graph.node("Add", [mean, graph.number(function.epsilon)])])
    return replace(x, value=graph.node("Div", [x, root]))


def _lp_normalise(graph: Graph, function: Any, fed: Sequence[Tensor]) -> Tensor:
    x = graph.typed(fed[0], "float32")
    settings = {"axis": 1 + function.axis, "p": function.p}
    return replace(x, value=graph.node("LpNormalization", [x], **settings))


def _local_response(graph: Graph, function: Any, fed: Sequence[Tensor]) -> Tensor:
    """ONNX has the channels first, and runtimes take images alone."""
    x = graph.typed(fed[0], "float32")
    rest = tuple(axis for axis in range(len(x.shape)) if axis != function.axis)
    order = (function.axis, *rest)
    moved = graph.transposed(x, order)
    image = graph.reshaped(moved, (moved.shape[0], math.prod(moved.shape[1:]), 1))
    settings = {name: getattr(function, name) for name in ("size", "alpha", "beta", "bias")}
    value = graph.node("LRN", [image], **settings)
    whole = graph.reshaped(replace(image, value=value), moved.shape)
    return graph.transposed(whole, tuple(int(i) for i in np.argsort(order)))


ALONG_AXES: dict[str, Written] = {
    **dict.fromkeys(REDUCTIONS, _reduce),
    **dict.fromkeys(SHARES, _shares),
    **dict.fromkeys(PLACES, _place_of_most),
    "cumulative_sum": _cumulative_sum,
    "einsum": _einsum,
    "local_response": _local_response,
    "lp_normalise": _lp_normalise,
    "matmul": _matmul,
    "normalise": _normalise,
    "top": _top,
}
