"""Operators on single values: functions, sums and products."""

from collections.abc import Callable

import numpy as np

from crossmesh.emulator.onnx_io import attending, normalising
from crossmesh.emulator.onnx_io.building import linear, natural
from crossmesh.emulator.onnx_io.scaling import by_feature, by_place, scaled, settled, shifted
from crossmesh.emulator.onnx_io.values import Array, Constant, Refusal, Use, Value, View

# Steps on the way to a GELU.
LOG_SOFTMAX = "log_softmax"  # whose place a softmax takes at the end of a network
ERF, ONE_PLUS_ERF = "erf", "1 + erf"


def function(kind: str) -> Callable[[Use], list[Value]]:
    """The operator that is the activation function ``kind``."""

    def apply(use: Use) -> list[Value]:
        view = settled(use.view(0))
        if use.attributes.get("approximate", b"none") != b"none":
            raise Refusal("approximate tanh")
        if view.source.layout == "pairs":
            raise Refusal("a function of scores other than their softmax")
        if view.has_zeros and kind == "sigmoid":
            view = natural(view)
        return [view.onto(view.source.after(kind))]

    return apply


def clip(use: Use) -> list[Value]:
    """A clip that is a ReLU."""
    low = use.attributes.get("min", use.constant(1))
    high = use.attributes.get("max", use.constant(2))
    if low is None or np.any(low != 0) or (high is not None and np.all(high < 1e30)):
        raise Refusal(f"bounds {low} and {high}")
    view = settled(use.view(0))
    return [view.onto(view.source.after("relu"))]


def softmax(use: Use) -> list[Value]:
    """Shares of classes, or of steps in attention."""
    view = use.view(0)
    axis = int(use.attributes.get("axis", -1 if use.opset >= 13 else 1)) % len(view.shape)
    if use.opset < 13 and axis != len(view.shape) - 1:
        raise Refusal(f"axis {axis}")
    if view.source.layout == "pairs":
        return [attending.shares(view, axis)]
    view = settled(view)
    if not normalising.has_all_features(view, (axis,)):
        raise Refusal("an axis that is not the features")
    kind = "softmax" if use.operator == "Softmax" else LOG_SOFTMAX
    return [view.onto(view.source.after(kind))]


def dropout(use: Use) -> list[Value]:
    """Dropout, where there is a layer for it; its mask must not be used."""
    view = use.view(0)
    ratio = use.attributes.get("ratio")
    if ratio is None:
        ratio = use.constant(1) if use.opset >= 12 else None
    rate = 0.5 if ratio is None else float(f"{float(np.ravel(ratio)[0]):.7g}")
    if any(use.outputs[1:]):
        raise Refusal("its mask")
    if view.source.layout == "pairs" or rate == 0:
        return [view]
    view = settled(view)
    return [view.onto(view.source.after("dropout", settings={"rate": rate}))]


def add(use: Use) -> list[Value]:
    """A sum of two."""
    left, right = use.inputs
    if isinstance(left, View) and isinstance(right, View):
        return [_sum(left, right)]
    view, constant = _sorted(left, right)
    return [_plus(view, constant.array, constant.name or use.hint)]


def sum_of(use: Use) -> list[Value]:
    """A sum of several."""
    total = use.view(0)
    for i in range(1, len(use.inputs)):
        total = _sum(total, use.view(i))
    return [total]


def subtract(use: Use) -> list[Value]:
    """``x - constant`` and ``x - mean(x)``."""
    left, right = use.inputs
    if isinstance(left, View) and isinstance(right, Constant):
        return [_plus(left, -right.array, right.name or use.hint)]
    if isinstance(left, View) and isinstance(right, View):
        made = normalising.centred(left, right)
        if made is not None:
            return [made]
    raise Refusal("a difference of two layers")


def multiply(use: Use) -> list[Value]:
    """A product with a constant; ``x (1 + erf)``; ``(x - mean(x)) ** 2``."""
    left, right = use.inputs
    if isinstance(left, View) and isinstance(right, View):
        for made in (_gelu(left, right), _gelu(right, left)):
            if made is not None:
                return [made]
        made = normalising.squared(left) if left.source is right.source else None
        if made is None:
            raise Refusal("a product of two layers")
        return [made]
    view, constant = _sorted(left, right)
    return [_times(view, constant.array)]


def divide(use: Use) -> list[Value]:
    """``x / constant`` and ``(x - mean(x)) / deviation``."""
    left, right = use.inputs
    if isinstance(left, View) and isinstance(right, Constant):
        if not right.array.all():
            raise Refusal("a division by 0")
        return [_times(left, 1 / right.array.astype(float))]
    if isinstance(left, View) and isinstance(right, View):
        made = normalising.normalised(left, right)
        if made is not None:
            return [made]
    raise Refusal("a division by a layer")


def power(use: Use) -> list[Value]:
    """``(x - mean(x)) ** 2``."""
    view = use.view(0)
    made = normalising.squared(view) if np.all(use.needed(1) == 2) else None
    if made is None:
        raise Refusal("")
    return [made]


def erf(use: Use) -> list[Value]:
    """``erf(x / sqrt(2))``, a step to a GELU."""
    view = use.view(0)
    if abs(view.factor * 2**0.5 - 1) > 1e-4:
        raise Refusal("")
    return [view.onto(view.source.after(ERF))]


def matmul(use: Use) -> list[Value]:
    """A linear layer, or a product of attention."""
    left, right = use.inputs
    if isinstance(left, View) and isinstance(right, View):
        if left.source.layout == "pairs":
            return [attending.weighed(left, right)]
        return [attending.pairs(left, right)]
    if isinstance(right, Constant) and right.array.ndim == 2:
        return [linear(use.view(0), right.array, use.name_of(1))]
    raise Refusal("an unknown factor on the right" if isinstance(left, Constant) else "")


def gemm(use: Use) -> list[Value]:
    """A linear layer of vectors."""
    weight = use.needed(1)
    if use.attributes.get("transA", 0) or weight.ndim != 2:
        raise Refusal("transA")
    if use.attributes.get("transB", 0):
        weight = weight.T
    alpha, beta = use.attributes.get("alpha", 1.0), use.attributes.get("beta", 1.0)
    made = linear(use.view(0), weight * np.float32(alpha), use.name_of(1, 2))
    bias = use.constant(2)
    if bias is None:
        return [made]
    return [_plus(made, bias * np.float32(beta), "", keeps_zeros=use.has_name(2))]


def _sorted(left: Value | None, right: Value | None) -> tuple[View, Constant]:
    if isinstance(left, Constant) and isinstance(right, View):
        return right, left
    if isinstance(left, View) and isinstance(right, Constant):
        return left, right
    raise Refusal("inputs that are left out")


def _spread(view: View, array: Array) -> View:
    """The view in the shape that it has together with an array."""
    shape = np.broadcast_shapes(view.shape, array.shape)
    return view if shape == view.shape else view.moved(np.broadcast_to(view.index, shape))


def _plus(view: View, array: Array, name: str, *, keeps_zeros: bool = True) -> View:
    if view.source.layout == "pairs":
        return attending.masked(view, array)
    view = _spread(view, array)
    if array.size == 1 and view.source.kind == ERF and view.factor == 1 and array.item() == 1:
        return view.onto(view.source.after(ONE_PLUS_ERF, inputs=view.source.inputs))
    if array.size == 1:
        made = normalising.with_epsilon(view, array.item())
        if made is not None:
            return made
    if not array.any() and not (keeps_zeros and view.source.kind in {"linear", "conv"}):
        return view
    view = settled(view)
    offsets = by_feature(view, array)
    source = None if offsets is None else shifted(view.source, offsets, name)
    if source is not None:
        return view.onto(source)
    table = by_place(view, array)
    if view.source.layout != "sequence" or table is None:
        raise Refusal("a constant that is added")
    arrays = {"weight": table.reshape(view.source.shape)}
    return view.onto(view.source.after("position", arrays=arrays, hint=name))


def _times(view: View, array: Array) -> View:
    if array.size == 1:
        view = _spread(view, array)
        return View(view.source, view.order, view.factor * float(array.item()))
    view = settled(_spread(view, array))
    factors = by_feature(view, array)
    if factors is None:
        raise Refusal("a product with a constant")
    return view.onto(scaled(view.source, factors))


def _gelu(view: View, other: View) -> View | None:
    """``x (1 + erf(x / sqrt(2)))``: twice a GELU, times what either was multiplied by."""
    if other.source.kind != ONE_PLUS_ERF or other.source.inputs[0] is not view.source:
        return None
    if not np.array_equal(view.index, other.index):
        return None
    made = view.source.after("gelu")
    return View(made, view.order, 2 * view.factor * other.factor)


def _sum(left: View, right: View) -> View:
    left, right = settled(left), settled(right)
    if left.shape != right.shape:
        raise Refusal(f"a sum of tensors of shapes {left.shape} and {right.shape}")
    if not _are_alike(left, right):
        left, right = natural(left), natural(right)
    if not _are_alike(left, right):
        raise Refusal("a sum of values in different orders")
    sources = (left.source, right.source)
    return left.onto(left.source.after("add", inputs=sources))


def _are_alike(left: View, right: View) -> bool:
    return (
        left.source.layout == right.source.layout
        and left.source.shape == right.source.shape
        and not left.has_zeros
        and np.array_equal(left.index, right.index)
    )
