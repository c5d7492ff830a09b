"""ONNX operators on whole numbers that stand for others: a scale and a zero point."""

from dataclasses import replace
from typing import Any

import numpy as np

from crossmesh.emulator.onnx_io.combining import combine
from crossmesh.emulator.onnx_io.convolving import conv
from crossmesh.emulator.onnx_io.matrices import matmul_of
from crossmesh.emulator.onnx_io.moving import axis_of
from crossmesh.emulator.onnx_io.pointwise import mapped
from crossmesh.emulator.onnx_io.sketch import Sketch
from crossmesh.emulator.onnx_io.values import Array, Constant, Refusal, Use, Value, View

Tensor = Constant | View


def quantize(sketch: Sketch, use: Use) -> list[Value]:
    """Whole numbers for others: over the scale, rounded, and within what their type holds."""
    for name in ("saturate", "precision"):
        use.attributes.get(name)
    return [_quantized(sketch, use, use.tensor(0), 1, 2)]


def dequantize(sketch: Sketch, use: Use) -> list[Value]:
    """What whole numbers stand for."""
    use.attributes.get("output_dtype")
    return [_meant(sketch, use, 0, 1, 2)]


def matmul_integer(sketch: Sketch, use: Use) -> list[Value]:
    """A product of whole numbers, each without its zero point."""
    a, b = (_without_zero(sketch, use, i, i + 2) for i in range(2))
    return [replace(matmul_of(sketch, a, b), kind="i")]


def conv_integer(sketch: Sketch, use: Use) -> list[Value]:
    """A convolution of whole numbers, each without its zero point."""
    inputs = tuple(_without_zero(sketch, use, i, i + 2) for i in range(2))
    return conv(sketch, replace(use, inputs=inputs))


def linear_matmul(sketch: Sketch, use: Use) -> list[Value]:
    """A product of what whole numbers stand for, as whole numbers."""
    a, b = _meant(sketch, use, 0, 1, 2), _meant(sketch, use, 3, 4, 5)
    return [_quantized(sketch, use, matmul_of(sketch, a, b), 6, 7)]


def linear_conv(sketch: Sketch, use: Use) -> list[Value]:
    """A convolution of what whole numbers stand for, as whole numbers."""
    x, weight = _meant(sketch, use, 0, 1, 2), _meant(sketch, use, 3, 4, 5, axis=0)
    inputs: tuple[Any, ...] = (x, weight)
    if use.has(8):
        bias = use.needed(8).astype(np.float32) * use.needed(1) * use.needed(4)
        inputs = (x, weight, Constant(bias.astype(np.float32)))
    made = conv(sketch, replace(use, inputs=inputs))[0]
    assert isinstance(made, View)
    return [_quantized(sketch, use, made, 6, 7)]


def _quantized(sketch: Sketch, use: Use, x: Tensor, scale: int, zero: int) -> View:
    dtype = _type(use, zero)
    rank = len(x.shape)
    over = combine(sketch, "divide", [x, _spread(use, scale, rank, 1)])
    rounded = mapped(sketch, over, "round")
    if use.has(zero) and not (
        isinstance(value := use.tensor(zero), Constant) and not value.array.any()
    ):
        rounded = combine(sketch, "add", [rounded, _spread(use, zero, rank, 1)])
    limits = np.iinfo(dtype)
    bounds = {"low": float(limits.min), "high": float(limits.max)}
    return mapped(sketch, rounded, "clip", bounds, "i")


def _type(use: Use, zero: int) -> Any:
    """The type of the whole numbers that are made."""
    from onnx import helper

    named = int(use.attributes.get("output_dtype", 0))
    if named:
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(named))
    elif use.has(zero):
        dtype = use.needed(zero).dtype
    else:
        dtype = np.dtype(np.uint8)
    if dtype.kind not in "iu":
        raise Refusal(f"numbers of type {dtype}")
    return dtype


def _meant(sketch: Sketch, use: Use, i: int, scale: int, zero: int, axis: int = 1) -> Tensor:
    x = _without_zero(sketch, use, i, zero, axis)
    factor = _spread(use, scale, len(x.shape), axis)
    if isinstance(x, Constant) and isinstance(factor, Constant):
        return replace(x, array=(x.array * factor.array).astype(np.float32))
    return replace(combine(sketch, "multiply", [x, factor]), kind="f")


def _without_zero(sketch: Sketch, use: Use, i: int, zero: int, axis: int = 1) -> Tensor:
    x = use.tensor(i)
    if isinstance(x, Constant):
        x = replace(x, array=x.array.astype(np.float32))
    if not use.has(zero):
        return x
    offset = _spread(use, zero, len(x.shape), axis)
    if isinstance(offset, Constant) and not offset.array.any():
        return x
    if isinstance(x, Constant) and isinstance(offset, Constant):
        return replace(x, array=x.array - offset.array)
    return combine(sketch, "subtract", [x, offset])


def _spread(use: Use, i: int, rank: int, axis: int) -> Tensor:
    """A scale or zero point, one number or one for each place of an axis, beside a tensor."""
    value = use.tensor(i)
    if isinstance(value, View):
        return value
    if use.attributes.get("block_size", 0):
        raise Refusal("scales of blocks")
    array: Array = value.array.astype(np.float32)
    if array.size == 1:
        return Constant(array.reshape(()))
    if array.ndim > 1:
        return Constant(array)
    at = axis_of(int(use.attributes.get("axis", axis)), rank)
    return Constant(array.reshape(-1, *[1] * (rank - 1 - at)))
