"""Operators with windows, and of longer or shorter axes, as ONNX operators."""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.onnx_io.graph import Graph, Tensor
from crossmesh.emulator.onnx_io.written_movement import padded, sliced

Written = Callable[[Graph, Any, Sequence[Tensor]], Tensor]


def _attributes(geometry: Any) -> dict[str, Any]:
    """Windows as ONNX has them."""
    return {
        "strides": geometry.stride,
        "dilations": geometry.dilation,
        "pads": geometry.before + geometry.after,
    }


def _image(graph: Graph, x: Tensor) -> Tensor:
    return graph.channels_first(graph.typed(x, "float32"))


def _with_shape(x: Tensor, value: str, axes: Sequence[int]) -> Tensor:
    """A tensor with channels first, of a layer's axes."""
    return replace(x, value=value, shape=(axes[-1], *axes[:-1]))


def _pool(graph: Graph, function: Any, fed: Sequence[Tensor]) -> Tensor:
    x, geometry = _image(graph, fed[0]), function.geometry
    settings = _attributes(geometry) | {"ceil_mode": int(geometry.ceil)}
    operator = "MaxPool"
    if function.name == "average_pooling":
        operator, settings["count_include_pad"] = "AveragePool", int(function.count_padding)
    if function.name == "lp_pooling":
        operator, settings["p"] = "LpPool", function.p
    value = graph.node(operator, [x], kernel_shape=geometry.kernel, **settings)
    return _with_shape(x, value, function.axes)


def _convolve(graph: Graph, function: Any, fed: Sequence[Tensor]) -> Tensor:
    x, weight = _image(graph, fed[0]), fed[1]
    if not weight.is_parameter:
        rule = "must have a kernel that is a parameter to be written as ONNX, got a layer's value"
        raise ConfigError(f"layer {graph.layer} {rule}")
    rank = len(weight.shape)
    turned = graph.transposed(weight, (rank - 1, rank - 2, *range(rank - 2)))
    settings = _attributes(function.geometry)
    value = graph.node("Conv", [x, turned], group=function.groups, **settings)
    return _with_shape(x, value, function.axes)


WINDOWS: dict[str, Written] = {
    "average_pooling": _pool,
    "convolve": _convolve,
    "lp_pooling": _pool,
    "max_pooling": _pool,
}


def _patches(graph: Graph, function: Any, fed: Sequence[Tensor]) -> Tensor:
    """Pixels tap by tap, each of all windows at once."""
    x, geometry = graph.typed(fed[0], "float32"), function.geometry
    value = padded(graph, x, (*geometry.before, 0), (*geometry.after, 0), 0.0)
    taps = []
    for tap in itertools.product(*map(range, geometry.kernel)):
        ranges = []
        for i, place in enumerate(tap):
            first, step = place * geometry.dilation[i], geometry.stride[i]
            last = first + (geometry.windows[i] - 1) * step
            ranges.append((1 + i, range(first, last + 1, step)))
        taps.append(sliced(graph, value, ranges))
    return Tensor(graph.node("Concat", taps, axis=len(x.shape)), function.axes)


def _fold(graph: Graph, function: Any, fed: Sequence[Tensor]) -> Tensor:
    """ONNX has the rows of all windows last, and in a row the taps of each channel together."""
    x, geometry = graph.typed(fed[0], "float32"), function.geometry
    *windows, columns = x.shape
    n, taps = math.prod(windows), math.prod(geometry.kernel)
    cut = graph.reshaped(x, (n, taps, columns // taps))
    rows = graph.reshaped(graph.transposed(cut, (2, 1, 0)), (columns, n))
    sizes = graph.integers("sizes", *function.sizes)
    kernel = graph.integers("kernel", *geometry.kernel)
    value = graph.node("Col2Im", [rows, sizes, kernel], **_attributes(geometry))
    return _with_shape(replace(rows, channels_first=True), value, function.axes)


def _resample(graph: Graph, function: Any, fed: Sequence[Tensor]) -> Tensor:
    """One axis, as the height of an image, which runtimes know how to resize in every mode."""
    x, axis = graph.typed(fed[0], "float32"), function.axis
    order = (*(i for i in range(len(x.shape)) if i != axis), axis)
    moved = graph.transposed(x, order)
    size = x.shape[axis]
    image = graph.reshaped(moved, (math.prod(moved.shape[:-1]), size, 1))
    settings = {
        "mode": function.mode,
        "coordinate_transformation_mode": function.coordinates,
        "nearest_mode": function.rounding,
        "cubic_coeff_a": function.cubic_a,
        "exclude_outside": int(function.exclude_outside),
        "antialias": int(function.antialias),
    }
    is_by_scale = int(np.float32(function.scale) * size) == function.size
    if function.scale == function.size / size or not is_by_scale:
        whole = graph.node("Shape", [image], start=0, end=2)
        ends = graph.integers("ends", function.size, 1)
        wanted = ["", "", graph.node("Concat", [whole, ends], axis=0)]
    else:
        wanted = ["", graph.constant("scales", np.array([1, 1, function.scale, 1], np.float32))]
    value = graph.node("Resize", [image, *wanted], **settings)
    resized = replace(image, value=value, shape=(image.shape[0], function.size, 1))
    whole_shape = (*moved.shape[:-1], function.size)
    back = tuple(int(i) for i in np.argsort(order))
    return graph.transposed(graph.reshaped(resized, whole_shape), back)


REARRANGED: dict[str, Written] = {"fold": _fold, "patches": _patches, "resample": _resample}
