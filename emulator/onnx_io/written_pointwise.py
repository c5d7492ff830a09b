"""Operators on every number, and on numbers at the same place, as ONNX operators."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from crossmesh.emulator.onnx_io.graph import Graph, NumberType, Tensor

Written = Callable[[Graph, Any, Sequence[Tensor]], Tensor]

# Operators of one number with one in ONNX: its type, and the setting of each attribute.
PLAIN: dict[str, tuple[str, dict[str, str]]] = {
    "identity": ("Identity", {}),
    "negate": ("Neg", {}),
    "relu": ("Relu", {}),
    "sigmoid": ("Sigmoid", {}),
    "tanh": ("Tanh", {}),
    "hard_swish": ("HardSwish", {}),
    "softplus": ("Softplus", {}),
    "softsign": ("Softsign", {}),
    "mish": ("Mish", {}),
    "exp": ("Exp", {}),
    "log": ("Log", {}),
    "sqrt": ("Sqrt", {}),
    "reciprocal": ("Reciprocal", {}),
    "abs": ("Abs", {}),
    "erf": ("Erf", {}),
    "sin": ("Sin", {}),
    "cos": ("Cos", {}),
    "tan": ("Tan", {}),
    "asin": ("Asin", {}),
    "acos": ("Acos", {}),
    "atan": ("Atan", {}),
    "sinh": ("Sinh", {}),
    "cosh": ("Cosh", {}),
    "asinh": ("Asinh", {}),
    "acosh": ("Acosh", {}),
    "atanh": ("Atanh", {}),
    "sign": ("Sign", {}),
    "floor": ("Floor", {}),
    "ceil": ("Ceil", {}),
    "round": ("Round", {}),
    "leaky_relu": ("LeakyRelu", {"alpha": "slope"}),
    "elu": ("Elu", {"alpha": "alpha"}),
    "selu": ("Selu", {"alpha": "alpha", "gamma": "gamma"}),
    "celu": ("Celu", {"alpha": "alpha"}),
    "gelu": ("Gelu", {"approximate": "approximate"}),
    "hard_sigmoid": ("HardSigmoid", {"alpha": "alpha", "beta": "beta"}),
    "thresholded_relu": ("ThresholdedRelu", {"alpha": "alpha"}),
    "shrink": ("Shrink", {"bias": "bias", "lambd": "lambd"}),
}
COMBINED = {
    "add": "Add", "subtract": "Sub", "multiply": "Mul", "power": "Pow", "minimum": "Min",
    "maximum": "Max",
}  # fmt: skip
COMPARED = {
    "equal": "Equal", "greater": "Greater", "greater_or_equal": "GreaterOrEqual", "less": "Less",
    "less_or_equal": "LessOrEqual",
}  # fmt: skip
LOGICAL = {"logical_and": "And", "logical_or": "Or", "logical_xor": "Xor"}


def _plain(graph: Graph, function: Any, fed: Sequence[Tensor]) -> Tensor:
    operator, settings = PLAIN[function.name]
    attributes = {own: getattr(function, ours) for own, ours in settings.items()}
    x = graph.typed(fed[0], "float32")
    return replace(x, value=graph.node(operator, [x], **attributes))


def _swish(graph: Graph, function: Any, fed: Sequence[Tensor]) -> Tensor:
    x = graph.typed(fed[0], "float32")
    beta = getattr(function, "beta", 1.0)
    steep = x.value if beta == 1 else graph.node("Mul", [x, graph.number(beta)])
    return replace(x, value=graph.node("Mul", [x, graph.node("Sigmoid", [steep])]))


def _affine(graph: Graph, function: Any, fed: Sequence[Tensor]) -> Tensor:
    x = graph.typed(fed[0], "float32")
    value = x.value
    if function.factor != 1 or function.offset == 0:
        value = graph.node("Mul", [value, graph.number(function.factor)])
    if function.offset != 0:
        value = graph.node("Add", [value, graph.number(function.offset)])
    return replace(x, value=value)


def _clip(graph: Graph, function: Any, fed: Sequence[Tensor]) -> Tensor:
    x = graph.typed(fed[0], "float32")
    bounds = [graph.number(b) if math.isfinite(b) else "" for b in (function.low, function.high)]
    return replace(x, value=graph.node("Clip", [x, *bounds]))


def _is_nan(graph: Graph, function: Any, fed: Sequence[Tensor]) -> Tensor:
    x = graph.typed(fed[0], "float32")
    return replace(x, value=graph.node("IsNaN", [x]), dtype="bool")


def _is_inf(graph: Graph, function: Any, fed: Sequence[Tensor]) -> Tensor:
    x = graph.typed(fed[0], "float32")
    signs: dict[str, Any] = {
        "detect_positive": int(function.positive),
        "detect_negative": int(function.negative),
    }
    return replace(x, value=graph.node("IsInf", [x], **signs), dtype="bool")


def _not(graph: Graph, function: Any, fed: Sequence[Tensor]) -> Tensor:
    x = graph.typed(fed[0], "bool")
    return replace(x, value=graph.node("Not", [x]))


def _cast(dtype: NumberType) -> Written:
    return lambda graph, function, fed: graph.typed(fed[0], dtype)


POINTWISE: dict[str, Written] = {
    **dict.fromkeys(PLAIN, _plain),
    "affine": _affine,
    "clip": _clip,
    "is_inf": _is_inf,
    "is_nan": _is_nan,
    "logical_not": _not,
    "silu": _swish,
    "swish": _swish,
    "truth": _cast("bool"),
    "whole": _cast("int64"),
}


# Of several tensors


def _combined(graph: Graph, function: Any, fed: Sequence[Tensor]) -> Tensor:
    operands = [graph.typed(x, "float32") for x in fed]
    return Tensor(graph.node(COMBINED[function.name], operands), function.axes)


def _compared(graph: Graph, function: Any, fed: Sequence[Tensor]) -> Tensor:
    operands = [graph.typed(x, "float32") for x in fed]
    return Tensor(graph.node(COMPARED[function.name], operands), function.axes, dtype="bool")


def _logical(graph: Graph, function: Any, fed: Sequence[Tensor]) -> Tensor:
    operands = [graph.typed(x, "bool") for x in fed]
    return Tensor(graph.node(LOGICAL[function.name], operands), function.axes, dtype="bool")


def _divide(graph: Graph, function: Any, fed: Sequence[Tensor]) -> Tensor:
    dtype: NumberType = "int64" if function.whole else "float32"
    operands = [graph.typed(x, dtype) for x in fed]
    return Tensor(graph.node("Div", operands), function.axes, dtype=dtype)


def _modulo(graph: Graph, function: Any, fed: Sequence[Tensor]) -> Tensor:
    """ONNX has no remainder of floats with the sign of the divisor."""
    a, b = (graph.typed(x, "float32") for x in fed)
    if function.fmod:
        return Tensor(graph.node("Mod", [a, b], fmod=1), function.axes)
    times = graph.node("Floor", [graph.node("Div", [a, b])])
    return Tensor(graph.node("Sub", [a, graph.node("Mul", [b, times])]), function.axes)


def _where(graph: Graph, function: Any, fed: Sequence[Tensor]) -> Tensor:
    condition, *choices = fed
    operands = [graph.typed(condition, "bool"), *(graph.typed(x, "float32") for x in choices)]
    return Tensor(graph.node("Where", operands), function.axes)


def _prelu(graph: Graph, function: Any, fed: Sequence[Tensor]) -> Tensor:
    x, slope = (graph.typed(one, "float32") for one in fed)
    if function.axes == x.shape and not x.is_parameter:
        return Tensor(graph.node("PRelu", [x, slope]), function.axes)
    is_above = graph.node("Greater", [x, graph.number(0)])  # PRelu spreads slopes alone
    value = graph.node("Where", [is_above, x, graph.node("Mul", [x, slope])])
    return Tensor(value, function.axes)


COMBINATIONS: dict[str, Written] = {
    **dict.fromkeys(COMBINED, _combined),
    **dict.fromkeys(COMPARED, _compared),
    **dict.fromkeys(LOGICAL, _logical),
    "divide": _divide,
    "modulo": _modulo,
    "prelu": _prelu,
    "where": _where,
}
