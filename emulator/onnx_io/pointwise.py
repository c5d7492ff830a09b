"""ONNX operators on every number by itself, and on numbers at the same place of several tensors."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from crossmesh.emulator.onnx_io.combining import combine
from crossmesh.emulator.onnx_io.sketch import Sketch
from crossmesh.emulator.onnx_io.values import (
    Constant,
    NumberKind,
    Refusal,
    Use,
    Value,
    View,
    kind_of,
)

Settings = Mapping[str, Any]
Translation = Callable[[Sketch, Use], Sequence[Value | None]]
PLAIN = {"Relu": "relu", "Tanh": "tanh", "Sigmoid": "sigmoid"}
SELU = (1.67326319217681884765625, 1.05070102214813232421875)  # alpha, gamma: the ONNX standard's

# Operators without attributes.
SIMPLE = {
    "Exp": "exp", "Log": "log", "Sqrt": "sqrt", "Reciprocal": "reciprocal", "Abs": "abs",
    "Neg": "negate", "Sign": "sign", "Floor": "floor", "Ceil": "ceil", "Round": "round",
    "Erf": "erf", "Sin": "sin", "Cos": "cos", "Tan": "tan", "Asin": "asin", "Acos": "acos",
    "Atan": "atan", "Sinh": "sinh", "Cosh": "cosh", "Asinh": "asinh", "Acosh": "acosh",
    "Atanh": "atanh", "Softplus": "softplus", "Softsign": "softsign", "Mish": "mish",
    "HardSwish": "hard_swish",
}  # fmt: skip
# Operators with attributes: name of the operator; attribute, setting, default.
SET = {
    "LeakyRelu": ("leaky_relu", (("alpha", "slope", 0.01),)),
    "Elu": ("elu", (("alpha", "alpha", 1.0),)),
    "Selu": ("selu", (("alpha", "alpha", SELU[0]), ("gamma", "gamma", SELU[1]))),
    "Celu": ("celu", (("alpha", "alpha", 1.0),)),
    "HardSigmoid": ("hard_sigmoid", (("alpha", "alpha", 0.2), ("beta", "beta", 0.5))),
    "ThresholdedRelu": ("thresholded_relu", (("alpha", "alpha", 1.0),)),
    "Shrink": ("shrink", (("bias", "bias", 0.0), ("lambd", "lambd", 0.5))),
    "Swish": ("swish", (("alpha", "beta", 1.0),)),
}
BOTH = {
    "Pow": "power", "PRelu": "prelu", "And": "logical_and", "Or": "logical_or",
    "Xor": "logical_xor", "Equal": "equal", "Greater": "greater", "Less": "less",
    "GreaterOrEqual": "greater_or_equal", "LessOrEqual": "less_or_equal",
}  # fmt: skip
TRUTHS = ("And", "Or", "Xor", "Equal", "Greater", "Less", "GreaterOrEqual", "LessOrEqual")


def number(value: float) -> float:
    """A float32 as people write it."""
    return float(f"{float(value):.9g}")


def mapped(
    sketch: Sketch, view: View, operator: str, settings: Settings | None = None,
    kind: NumberKind = "f",
) -> View:  # fmt: skip
    """An operator on every number, wherever it lies."""
    lying = sketch.steps[view.made].axes
    wanted = {"operator": operator, **({"settings": dict(settings)} if settings else {})}
    hint = sketch.called(operator)
    name = sketch.add("operator", [view.made], lying, hint=hint, settings=wanted)
    return replace(view, made=name, kind=kind)


def function_layer(sketch: Sketch, view: View, kind: str) -> View:
    """A layer without settings on every number."""
    return replace(view, made=sketch.add(kind, [view.made], sketch.steps[view.made].axes))


def one(sketch: Sketch, use: Use) -> list[Value]:
    """A function of every number."""
    view = use.view(0)
    if use.operator in PLAIN:
        return [function_layer(sketch, view, PLAIN[use.operator])]
    if use.operator in SIMPLE:
        keeps = use.operator in {"Abs", "Neg", "Sign"}
        return [mapped(sketch, view, SIMPLE[use.operator], kind=view.kind if keeps else "f")]
    operator, attributes = SET[use.operator]
    settings = {ours: number(use.attributes.get(own, usual)) for own, ours, usual in attributes}
    return [mapped(sketch, view, operator, settings)]


def gelu(sketch: Sketch, use: Use) -> list[Value]:
    """GELU, exact or by tanh."""
    if use.word("approximate", "none") == "none":
        return [function_layer(sketch, use.view(0), "gelu")]
    return [mapped(sketch, use.view(0), "gelu", {"approximate": "tanh"})]


def clip(sketch: Sketch, use: Use) -> list[Value]:
    """Numbers kept between two."""
    low, high = (_bound(use, name, i) for name, i in (("min", 1), ("max", 2)))
    settings = {"low": low, "high": high}
    given = {name: value for name, value in settings.items() if value is not None}
    view = use.view(0)
    return [mapped(sketch, view, "clip", given, view.kind)] if given else [view]


def _bound(use: Use, name: str, i: int) -> float | None:
    array = use.constant(i)
    value = use.attributes.get(name) if array is None else array
    if value is None or not np.isfinite(value).all():
        return None
    if np.size(value) != 1:
        raise Refusal(f"{name} of {np.size(value)} numbers")
    bound = float(np.ravel(value)[0])
    return None if abs(bound) > 1e30 else number(bound)


def invert(sketch: Sketch, use: Use) -> list[Value]:
    """Truth values turned round."""
    return [mapped(sketch, use.view(0), "logical_not", kind="b")]


def is_special(sketch: Sketch, use: Use) -> list[Value]:
    """Whether numbers are not finite."""
    if use.operator == "IsNaN":
        return [mapped(sketch, use.view(0), "is_nan", kind="b")]
    names = (("detect_positive", "positive"), ("detect_negative", "negative"))
    settings = {ours: bool(use.attributes.get(own, 1)) for own, ours in names}
    return [mapped(sketch, use.view(0), "is_inf", settings, "b")]


def cast(sketch: Sketch, use: Use) -> list[Value]:
    """Numbers of another type: all are held as floats."""
    from onnx import helper

    use.attributes.get("saturate"), use.attributes.get("round_mode")  # of types with few bits
    given = use.tensor(0)
    if use.operator == "CastLike":
        kind = use.tensor(1).kind
        if isinstance(given, Constant):
            types: dict[str, Any] = {"f": np.float32, "i": np.int64, "b": np.bool_}
            return [Constant(given.array.astype(types[kind]))]
        return [as_kind(sketch, given, kind)]
    view = use.view(0)
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(use.attributes["to"]))
    if dtype.kind not in "fiub" or (dtype.kind == "f" and dtype.itemsize < 2):
        raise Refusal(f"numbers of type {dtype}")
    return [as_kind(sketch, view, kind_of(dtype))]


def as_kind(sketch: Sketch, view: View, kind: NumberKind) -> View:
    """A view of numbers of a kind."""
    if kind == "b" and view.kind != "b":
        return mapped(sketch, view, "truth", kind="b")
    if kind == "i" and view.kind == "f":
        return mapped(sketch, view, "whole", kind="i")
    return replace(view, kind=kind)


def same(sketch: Sketch, use: Use) -> list[Value | None]:
    """The tensor itself."""
    return [use.inputs[0], *[None] * (len(use.outputs) - 1)]


def dropout(sketch: Sketch, use: Use) -> list[Value | None]:
    """Numbers set to zero in training, where the file says a rate; it computes the same."""
    use.attributes.get("seed")
    rate = use.attributes.get("ratio", 0.5)
    given, training = use.constant(1), use.constant(2)
    if given is not None:
        rate = given.ravel()[0]
    use.attributes.get("is_test")
    view = use.view(0)
    if training is not None and training.any() and rate:
        raise Refusal(
            "training_mode true: export the network for evaluation, it drops all the same"
        )
    if any(use.outputs[1:]):
        return [view, Constant(np.ones(view.shape, np.bool_))]
    is_meant = given is not None or "ratio" in use.attributes
    if not is_meant or not 0 < rate < 1:
        return [view, *[None] * (len(use.outputs) - 1)]
    axes = sketch.steps[view.made].axes
    name = sketch.add("dropout", [view.made], axes, settings={"rate": round(float(rate), 7)})
    return [replace(view, made=name), *[None] * (len(use.outputs) - 1)]


# Of several tensors


def several(sketch: Sketch, use: Use) -> list[Value]:
    """A function of numbers at the same place."""
    tensors = [use.tensor(i) for i in range(len(use.inputs))]
    if use.operator == "PRelu":
        _check_slope(tensors[1], len(tensors[0].shape))
    kind: NumberKind = "b" if use.operator in TRUTHS else tensors[0].kind
    power = tensors[1]
    if use.operator == "Pow" and isinstance(power, Constant) and power.array.size == 1:
        return [_powered(sketch, tensors, float(power.array.ravel()[0]), kind)]
    return [combine(sketch, BOTH[use.operator], tensors, kind=kind)]


def _check_slope(slope: Constant | View, rank: int) -> None:
    """Refuse slopes with more axes than what they are for."""
    if len(slope.shape) > rank:
        raise Refusal(f"slopes of shape {slope.shape}")


def _powered(
    sketch: Sketch, tensors: Sequence[Constant | View], power: float, kind: NumberKind
) -> View:
    view = tensors[0]
    assert isinstance(view, View)
    if power == 2:
        return combine(sketch, "multiply", [view, view], kind=kind)
    if power == 0.5:
        return mapped(sketch, view, "sqrt")
    return combine(sketch, "power", tensors, kind=kind)


def arithmetic(sketch: Sketch, use: Use) -> list[Value]:
    """Sums, products and quotients of two tensors."""
    a, b = use.tensor(0), use.tensor(1)
    if isinstance(a, View) and isinstance(b, Constant) and (made := _by_number(sketch, use, a, b)):
        return [made]
    if use.operator in {"Add", "Mul"} and isinstance(b, View) and isinstance(a, Constant):
        swapped = _by_number(sketch, use, b, a)
        if swapped:
            return [swapped]
    return [added(sketch, use.operator, a, b)]


OPERATORS = {"Add": "add", "Sub": "subtract", "Mul": "multiply", "Div": "divide"}


def added(sketch: Sketch, operator: str, a: Constant | View, b: Constant | View) -> View:
    """Two tensors, added, subtracted, multiplied or divided."""
    kind: NumberKind = "i" if a.kind == b.kind == "i" else "f"
    if operator == "Add" and isinstance(a, View) and isinstance(b, View):
        alike = a.sizes == b.sizes and a.axes == b.axes and a.made != b.made
        if alike and sketch.steps[a.made].axes == sketch.steps[b.made].axes:
            lying, hint = sketch.steps[a.made].axes, sketch.called("add")
            return replace(a, made=sketch.add("add", [a.made, b.made], lying, hint=hint), kind=kind)
    settings = {"whole": True} if operator == "Div" and kind == "i" else None
    return combine(sketch, OPERATORS[operator], [a, b], settings=settings, kind=kind)


def _by_number(sketch: Sketch, use: Use, view: View, constant: Constant) -> View | None:
    """A tensor and one number, which is no parameter."""
    value = float(constant.array.ravel()[0]) if constant.array.size == 1 else math.nan
    grows = len(constant.shape) > view.rank
    if not math.isfinite(value) or not 1e-30 < abs(value or 1) < 1e30 or grows:
        return None
    if sketch.is_trained(constant, view.made):
        return None
    whole = view.kind == "i" and constant.kind == "i"
    if use.operator == "Div" and (whole or value == 0 or number(1 / value) * value != 1):
        return None
    if use.operator in {"Mul", "Div"}:
        settings = {"factor": value if use.operator == "Mul" else 1 / value}
    else:
        settings = {"offset": value if use.operator == "Add" else -value}
    return mapped(sketch, view, "affine", settings, "i" if whole else "f")


def any_number(sketch: Sketch, use: Use) -> list[Value]:
    """Sum, mean, largest or smallest of any number of tensors."""
    tensors = [use.tensor(i) for i in range(len(use.inputs))]
    operator = {"Sum": "add", "Mean": "add", "Max": "maximum", "Min": "minimum"}[use.operator]
    first = next(i for i, tensor in enumerate(tensors) if isinstance(tensor, View))
    made = use.view(first)
    for tensor in tensors[:first] + tensors[first + 1 :]:
        made = combine(sketch, operator, [made, tensor], kind=made.kind)
    if use.operator == "Mean" and len(tensors) > 1:
        made = mapped(sketch, made, "affine", {"factor": 1 / len(tensors)})
    return [made]


def modulo(sketch: Sketch, use: Use) -> list[Value]:
    """What is left of a division."""
    a, b = use.tensor(0), use.tensor(1)
    settings = {"fmod": bool(use.attributes.get("fmod", 0))}
    return [combine(sketch, "modulo", [a, b], settings=settings, kind=a.kind)]


def where(sketch: Sketch, use: Use) -> list[Value]:
    """One of two tensors, place by place."""
    condition, a, b = (use.tensor(i) for i in range(3))
    return [combine(sketch, "where", [condition, a, b], kind=a.kind)]
