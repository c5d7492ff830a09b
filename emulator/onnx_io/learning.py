"""Operators of the domain ai.onnx.ml, as skl2onnx writes them for models of scikit-learn."""

import numpy as np

from crossmesh.emulator.onnx_io.combining import combine
from crossmesh.emulator.onnx_io.matrices import linear
from crossmesh.emulator.onnx_io.moving import reshaped
from crossmesh.emulator.onnx_io.operating import operate
from crossmesh.emulator.onnx_io.pointwise import as_kind, function_layer, mapped, number
from crossmesh.emulator.onnx_io.reducing import shares
from crossmesh.emulator.onnx_io.sketch import Sketch
from crossmesh.emulator.onnx_io.values import Array, Constant, Refusal, Use, Value, View

DOMAIN = "ai.onnx.ml"


def scaler(sketch: Sketch, use: Use) -> list[Value]:
    """Features without an offset, times a factor."""
    view = use.view(0)
    offset, scale = (_numbers(use, name) for name in ("offset", "scale"))
    if offset is not None:
        view = combine(sketch, "subtract", [view, Constant(offset)])
    if scale is not None:
        view = combine(sketch, "multiply", [view, Constant(scale)])
    return [view]


def _numbers(use: Use, name: str) -> Array | None:
    values = use.attributes.get(name)
    return None if values is None else np.asarray(values, np.float32)


def binarizer(sketch: Sketch, use: Use) -> list[Value]:
    """1 above a threshold, else 0."""
    threshold = number(use.attributes.get("threshold", 0.0))
    above = combine(sketch, "greater", [use.view(0), Constant(np.full(1, threshold, np.float32))])
    return [as_kind(sketch, above, "f")]


def columns(sketch: Sketch, use: Use) -> list[Value]:
    """A table of classes by name: its columns in the order of the names."""
    for name in ("classlabels_int64s", "classlabels_strings"):
        use.attributes.get(name)
    return [use.tensor(0)]


def chosen(sketch: Sketch, use: Use) -> list[Value]:
    """What a list has at places: labels of classes."""
    table, places = use.tensor(0), use.view(1)
    if isinstance(table, View) or table.array.ndim != 1:
        raise Refusal("a list that depends on the network's input")
    flat = reshaped(sketch, places, [int(np.prod(places.shape))])
    return [_looked_up(sketch, table.array, flat).expanded([0])]


def _looked_up(sketch: Sketch, table: Array, places: View) -> View:
    """Numbers of a list, at places."""
    listed = Constant(table.astype(np.float32))
    settings = {"axis": 0}
    return operate(
        sketch,
        "lookup",
        [listed, places],
        places.shape,
        settings=settings,
        kind="i",
        is_shared=True,
    )


def linear_regressor(sketch: Sketch, use: Use) -> list[Value]:
    """A linear layer."""
    return [_linear(sketch, use)]


def linear_classifier(sketch: Sketch, use: Use) -> list[Value | None]:
    """A linear layer, with shares or a sigmoid behind it; and which class has most."""
    use.attributes.get("multi_class")
    labels = use.attributes.get("classlabels_ints")
    scores = _linear(sketch, use)
    if len(scores.shape) != 2 or scores.shape[1] < 2:
        raise Refusal("scores of one class")
    if not use.outputs[0]:
        return [None, scores]
    if labels is None:
        raise Refusal("labels of classes that are text")
    settings = {"axis": 0, "keep": False}
    place = operate(
        sketch, "argmax", [scores], [scores.shape[0]], settings=settings, at=0, kind="i"
    )
    return [_looked_up(sketch, np.asarray(labels), place), scores]


def _linear(sketch: Sketch, use: Use) -> View:
    view = use.view(0)
    bias = _numbers(use, "intercepts")
    rows = _numbers(use, "coefficients")
    if rows is None or view.rank != 2:
        raise Refusal(f"coefficients for a tensor of shape {view.shape}")
    weight = Constant(rows.reshape(-1, view.shape[1]))
    use.attributes.get("targets"), use.attributes.get("classlabels_strings")
    offset = None if bias is None else Constant(bias)
    made = linear(sketch, view, 1, weight, offset, sketch.hint or "linear")
    behind = use.word("post_transform", "NONE")
    if behind == "LOGISTIC":
        return function_layer(sketch, made, "sigmoid")
    if behind == "SOFTMAX":
        return shares(sketch, made, 1)
    if behind != "NONE":
        raise Refusal(f"post_transform {behind}")
    return made


def normalizer(sketch: Sketch, use: Use) -> list[Value]:
    """Features over their norm, of each example."""
    view = use.view(0)
    norm = use.word("norm", "MAX")
    size = mapped(sketch, view, "abs") if norm == "MAX" else view
    operator = {"MAX": "max", "L1": "l1", "L2": "l2"}[norm]
    settings = {"over": (0,), "keep": True}
    whole = operate(sketch, operator, [size], [view.shape[0], 1], settings=settings, at=0)
    return [combine(sketch, "divide", [view, whole])]
