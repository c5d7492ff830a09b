"""ONNX operators with matrices: products with weights on tiles, products of two tensors."""

import math
from dataclasses import replace
from typing import Any

import numpy as np

from crossmesh.emulator.onnx_io import pointwise
from crossmesh.emulator.onnx_io.combining import combine
from crossmesh.emulator.onnx_io.laying import arranged, with_features
from crossmesh.emulator.onnx_io.operating import operate
from crossmesh.emulator.onnx_io.pointwise import mapped
from crossmesh.emulator.onnx_io.sketch import Sketch
from crossmesh.emulator.onnx_io.values import (
    Array,
    Constant,
    Refusal,
    Use,
    Value,
    View,
    module_of,
)


def linear(
    sketch: Sketch, view: View, axis: int, weight: Constant, bias: Constant | None, hint: str
) -> View:
    """A product of every vector along an axis with a matrix on tiles.

    Args:
        sketch: The network so far.
        view: The vectors.
        axis: Their axis.
        weight: ``(outputs, inputs)``.
        bias: ``(outputs,)``, or None.
        hint: What the layer may be called.
    """
    if not view.axes[axis]:
        view = _with_size(sketch, view, axis)
    else:
        view = with_features(sketch, view, [axis], flat=True)
    outputs = weight.shape[0]
    arrays: dict[str, Array] = {"weight": weight.array}
    if bias is not None:
        arrays["bias"] = bias.array
    settings: dict[str, Any] = {"outputs": outputs, "bias": bias is not None}
    shared = sketch.shared("linear", weight.name, arrays)
    if shared is not None:
        settings["share"] = shared
    name = sketch.add(
        "linear",
        [view.made],
        (*sketch.steps[view.made].axes[:-1], outputs),
        hint=hint or (module_of(weight.name) if shared is None else "") or sketch.hint,
        settings=settings,
        arrays={} if shared else arrays,
    )
    if shared is None:
        sketch.remember("linear", weight.name, name)
    parts = view.axes[axis]
    kept = len(view.sizes) - len(parts)
    axes = list(view.axes)
    axes[axis] = (kept,) if outputs > 1 else ()
    sizes = view.sizes[:kept] + ((outputs,) if outputs > 1 else ())
    return replace(view, made=name, sizes=sizes, axes=tuple(axes), kind="f")


def _with_size(sketch: Sketch, view: View, axis: int) -> View:
    """A view with an axis of size 1 as features, for a matrix of one input."""
    outer = math.prod(view.sizes)
    axes = [outer, 1] if outer > 1 else [1]
    if sketch.steps[view.made].axes == tuple(axes):
        return view
    return arranged(sketch, view, range(len(view.sizes)), axes)


def gemm(sketch: Sketch, use: Use) -> list[Value]:
    """A linear layer of vectors, or a product of two tensors."""
    attributes = use.attributes
    alpha, beta = float(attributes.get("alpha", 1.0)), float(attributes.get("beta", 1.0))
    is_turned = [bool(attributes.get(name, 0)) for name in ("transA", "transB")]
    a, b = (_turned(use.tensor(i), is_turned[i]) for i in range(2))
    bias = use.tensor(2) if use.has(2) and beta else None
    if isinstance(a, View) and isinstance(b, Constant):
        view, weight, axis = a, replace(b, array=b.array.T), 1
        if a.batch == 1:
            raise Refusal("examples that are multiplied")
        outputs = weight.shape[0]
        whole = _bias_of(bias, outputs) if alpha == beta == 1 else None
        if alpha != 1:
            weight = Constant(weight.array * np.float32(alpha), weight.name)
        made = linear(sketch, view, axis, weight, whole, "")
        return [made if whole is not None else _with_rest(sketch, made, bias, beta)]
    made = matmul_of(sketch, a, b)
    if alpha != 1:
        made = mapped(sketch, made, "affine", {"factor": alpha})
    return [_with_rest(sketch, made, bias, beta)]


def _with_rest(sketch: Sketch, made: View, bias: Constant | View | None, beta: float) -> View:
    if bias is None:
        return made
    if beta != 1:
        if isinstance(bias, Constant):
            bias = replace(bias, array=bias.array * np.float32(beta))
        else:
            bias = mapped(sketch, bias, "affine", {"factor": beta})
    return combine(sketch, "add", [made, bias])


def _bias_of(bias: Constant | View | None, outputs: int) -> Constant | None:
    """A constant with one number for each output; None: it is something else."""
    if not isinstance(bias, Constant) or bias.array.size not in {1, outputs}:
        return None
    if bias.array.size == outputs and bias.shape[-1] != outputs:
        return None
    return replace(bias, array=np.broadcast_to(bias.array.ravel(), (outputs,)))


def _turned(tensor: Constant | View, is_turned: bool) -> Constant | View:
    if not is_turned:
        return tensor
    if isinstance(tensor, View):
        return tensor.permuted([1, 0])
    return replace(tensor, array=tensor.array.T)


def matmul(sketch: Sketch, use: Use) -> list[Value]:
    """A product with weights on tiles, or of two tensors."""
    return [matmul_of(sketch, use.tensor(0), use.tensor(1))]


def matmul_of(sketch: Sketch, a: Constant | View, b: Constant | View) -> View:
    """The product of two tensors, as NumPy's."""
    if isinstance(a, View) and isinstance(b, Constant) and _is_matrix(b.array):
        weight = replace(b, array=b.array.reshape(b.shape[-2:]).T)
        return linear(
            sketch, _of_rank(a, b.array.ndim), -1 % max(a.rank, b.array.ndim), weight, None, ""
        )
    if isinstance(b, View) and isinstance(a, Constant) and _is_matrix(a.array) and b.rank > 1:
        weight = replace(a, array=a.array.reshape(a.shape[-2:]))
        wide = _of_rank(b, a.array.ndim)
        return linear(sketch, wide, wide.rank - 2, weight, None, "")
    return _product(sketch, a, b)


def _is_matrix(array: Array) -> bool:
    return array.ndim >= 2 and math.prod(array.shape[:-2]) == 1


def _of_rank(view: View, rank: int) -> View:
    return view.expanded(range(rank - view.rank)) if rank > view.rank else view


def _product(sketch: Sketch, a: Constant | View, b: Constant | View) -> View:
    first, second = _with_axis(a, 0), _with_axis(b, -1)
    rank = max(len(first.shape), len(second.shape))
    first, second = _lifted(first, rank), _lifted(second, rank)
    views = [one for one in (first, second) if isinstance(one, View)]
    batch = views[0].batch
    if len({one.batch for one in views}) > 1 or (batch is not None and batch >= rank - 2):
        raise Refusal("examples that are multiplied")
    if first.shape[-1] != second.shape[-2]:
        raise Refusal(f"shapes {a.shape} and {b.shape}")
    outer = np.broadcast_shapes(first.shape[:-2], second.shape[:-2])
    result = [*outer, first.shape[-2], second.shape[-1]]
    made = operate(sketch, "matmul", [first, second], result)
    gone = ([made.rank - 2] if len(a.shape) == 1 else []) + (
        [made.rank - 1] if len(b.shape) == 1 else []
    )
    return made.squeezed(gone) if gone else made


def _with_axis(tensor: Constant | View, place: int) -> Constant | View:
    """A vector as a matrix."""
    if len(tensor.shape) > 1:
        return tensor
    if isinstance(tensor, View):
        return tensor.expanded([place % 2])
    return replace(tensor, array=np.expand_dims(tensor.array, place))


def _lifted(tensor: Constant | View, rank: int) -> Constant | View:
    if isinstance(tensor, View):
        return _of_rank(tensor, rank)
    return replace(
        tensor, array=tensor.array.reshape((1,) * (rank - tensor.array.ndim) + tensor.shape)
    )


def add_bias(sketch: Sketch, use: Use) -> View | None:
    """A linear layer with the constant that is added to it as its bias; None: it is no such sum."""
    for i in range(2):
        view, bias = use.tensor(i), use.tensor(1 - i)
        if not isinstance(view, View) or not isinstance(bias, Constant) or bias.kind != "f":
            continue
        if not use.alone[i]:  # a bias would change what else takes the product
            return None
        step = sketch.steps[view.made]
        is_open = step.kind == "linear" and not step.settings["bias"]
        is_shared = "share" in step.settings or sketch.is_owner(view.made)
        if not is_open or is_shared or len(bias.shape) > view.rank:
            return None
        outputs = step.settings["outputs"]
        last = len(view.sizes) - 1 if outputs > 1 else None
        axis = next((i for i, one in enumerate(view.axes) if one and one == (last,)), None)
        at = None if axis is None else axis - view.rank
        sizes = [n for k, n in enumerate(bias.shape) if at is None or k - len(bias.shape) != at]
        if at is None or math.prod(sizes) != 1 or bias.array.size != outputs:
            return None
        sketch.give_bias(view.made, bias.array.ravel())
        return view
    return None


def arithmetic(sketch: Sketch, use: Use) -> list[Value]:
    """Sums, products and quotients; a constant behind a linear layer becomes its bias."""
    if use.operator == "Add":
        made = add_bias(sketch, use)
        if made is not None:
            return [made]
    return pointwise.arithmetic(sketch, use)
