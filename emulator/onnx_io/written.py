"""Each kind of layer as ONNX operators."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from crossmesh.emulator.config.layers import (
    AttentionLayer,
    ConvLayer,
    LinearLayer,
    MergeLayer,
    NormLayer,
    PoolLayer,
    RecurrentLayer,
    ScoresLayer,
    pair,
)
from crossmesh.emulator.onnx_io.graph import Graph, Tensor
from crossmesh.emulator.onnx_io.sequences import GATES

FUNCTIONS = {
    "identity": "Identity",
    "relu": "Relu",
    "gelu": "Gelu",
    "tanh": "Tanh",
    "sigmoid": "Sigmoid",
    "softmax": "Softmax",
}
TO_STEPS_FIRST = [1, 0, 2]
UNSEEN = -np.inf  # what is added to a score whose step is later


def activation(graph: Graph, kind: str, x: Tensor) -> Tensor:
    """A function of every value, or of the features."""
    attributes: dict[str, Any] = {"axis": x.axis} if kind == "softmax" else {}
    return graph.made(graph.node(FUNCTIONS[kind], [x], **attributes), x)


def _linear(graph: Graph, layer: LinearLayer, fed: Sequence[Tensor]) -> Tensor:
    x = fed[0]
    if x.layout == "sequence":
        value = _product(graph, x.value, "", has_bias=layer.bias)
        return graph.made(value, x.with_features(layer.outputs))
    value = graph.node("Flatten", [x]) if x.layout == "image" else x.value
    inputs = [value, graph.published("weight")]
    if layer.bias:
        inputs.append(graph.published("bias"))
    return graph.flat(graph.node("Gemm", inputs, transB=1), layer.outputs)


def _product(graph: Graph, value: str, prefix: str, *, has_bias: bool) -> str:
    """A matrix product of every step."""
    weight = graph.node("Transpose", [graph.published(f"{prefix}weight")], perm=[1, 0])
    product = graph.node("MatMul", [value, weight])
    if not has_bias:
        return product
    return graph.node("Add", [product, graph.published(f"{prefix}bias")])


def _conv(graph: Graph, layer: ConvLayer, fed: Sequence[Tensor]) -> Tensor:
    inputs = [fed[0].value, graph.published("weight")]
    if layer.bias:
        inputs.append(graph.published("bias"))
    kernel, dilation = pair(layer.kernel), pair(layer.dilation)
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    stride, padding = pair(layer.stride), pair(layer.padding)
    value = graph.node(
        "Conv",
        inputs,
        kernel_shape=kernel,
        strides=stride,
        pads=padding * 2,
        dilations=dilation,
        group=layer.groups,
    )
    sizes = _sizes(fed[0], spans, stride, padding)
    return graph.made(value, replace(fed[0], shape=(layer.outputs, *sizes)))


def _sizes(
    x: Tensor, spans: Sequence[int], stride: Sequence[int], padding: Sequence[int]
) -> list[int]:
    parts = zip(x.shape[1:], spans, stride, padding, strict=True)
    return [(n + 2 * p - k) // s + 1 for n, k, s, p in parts]


def _pool(graph: Graph, layer: PoolLayer, fed: Sequence[Tensor]) -> Tensor:
    kernel, padding = pair(layer.kernel), pair(layer.padding)
    stride = pair(layer.stride or layer.kernel)
    attributes: dict[str, Any] = {"kernel_shape": kernel, "strides": stride, "pads": padding * 2}
    operator = "MaxPool"
    if layer.kind == "average_pool":
        operator = "AveragePool"
        attributes["count_include_pad"] = 1
    value = graph.node(operator, [fed[0]], **attributes)
    sizes = _sizes(fed[0], kernel, stride, padding)
    return graph.made(value, replace(fed[0], shape=(fed[0].n_features, *sizes)))


def _recurrent(graph: Graph, layer: RecurrentLayer, fed: Sequence[Tensor]) -> Tensor:
    order = np.argsort(GATES[layer.kind])

    def ordered(suffix: str) -> Any:
        array = graph.weight(suffix)
        gates = array.reshape(len(order), layer.outputs, *array.shape[1:])[order]
        return gates.reshape(1, *array.shape)

    inputs = [
        graph.node("Transpose", [fed[0]], perm=TO_STEPS_FIRST),
        graph.constant("W", ordered("weight_ih")),
        graph.constant("R", ordered("weight_hh")),
    ]
    if layer.bias:
        biases = [ordered("bias_ih"), ordered("bias_hh")]
        inputs.append(graph.constant("B", np.concatenate(biases, axis=1)))
    attributes: dict[str, Any] = {"linear_before_reset": 1} if layer.kind == "gru" else {}
    states = graph.node(layer.kind.upper(), inputs, hidden_size=layer.outputs, **attributes)
    steps = graph.node("Squeeze", [states, graph.integers("directions", 1)])
    value = graph.node("Transpose", [steps], perm=TO_STEPS_FIRST)
    return graph.made(value, fed[0].with_features(layer.outputs))


def _attention(graph: Graph, layer: AttentionLayer, fed: Sequence[Tensor]) -> Tensor:
    x = fed[0]
    projected = _product(graph, x.value, "qkv.", has_bias=layer.bias)
    seen = _seen(graph, layer, projected, x)
    return graph.made(_product(graph, seen, "out.", has_bias=layer.bias), x)


def _scores(graph: Graph, layer: ScoresLayer, fed: Sequence[Tensor]) -> Tensor:
    like = fed[0].with_features(fed[0].n_features // 3)
    return graph.made(_seen(graph, layer, fed[0].value, like), like)


def _seen(graph: Graph, layer: AttentionLayer | ScoresLayer, value: str, like: Tensor) -> str:
    """What each step takes of the others; ``value`` is queries, keys, values side by side."""
    steps, features = like.shape
    n = features // layer.heads
    heads = graph.integers("heads", 0, steps, layer.heads, n)
    queries, keys, values = (
        graph.node("Transpose", [graph.node("Reshape", [part, heads])], perm=perm)
        for part, perm in zip(
            graph.split(value, 3, axis=2),
            ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]),
            strict=True,
        )
    )
    scale = graph.constant("scale", np.float32(1 / math.sqrt(n)))
    products = graph.node("Mul", [graph.node("MatMul", [queries, keys]), scale])
    if layer.causal:
        mask = np.triu(np.full((steps, steps), UNSEEN, np.float32), 1)
        products = graph.node("Add", [products, graph.constant("mask", mask)])
    shares = graph.node("Softmax", [products], axis=3)
    seen = graph.node("Transpose", [graph.node("MatMul", [shares, values])], perm=[0, 2, 1, 3])
    return graph.node("Reshape", [seen, graph.integers("features", 0, steps, features)])


def _embedding(graph: Graph, layer: Any, fed: Sequence[Tensor]) -> Tensor:
    if fed[0].layout != "tokens":
        raise LookupError(fed[0].layout)
    value = graph.node("Gather", [graph.published("weight"), fed[0]], axis=0)
    shape = (*fed[0].shape, layer.outputs)
    return graph.made(value, replace(fed[0], layout="sequence", shape=shape))


def _position(graph: Graph, layer: Any, fed: Sequence[Tensor]) -> Tensor:
    return graph.made(graph.node("Add", [fed[0], graph.published("weight")]), fed[0])


def _batch_norm(graph: Graph, layer: NormLayer, fed: Sequence[Tensor]) -> Tensor:
    x = fed[0]
    value = x.value
    if x.layout == "sequence":
        value = graph.node("Transpose", [value], perm=[0, 2, 1])
    parts = [graph.published(p) for p in ("weight", "bias", "running_mean", "running_var")]
    value = graph.node(
        "BatchNormalization",
        [value, *parts],
        epsilon=layer.epsilon,
        momentum=1 - layer.momentum,
    )
    if x.layout == "sequence":
        value = graph.node("Transpose", [value], perm=[0, 2, 1])
    return graph.made(value, x)


def _layer_norm(graph: Graph, layer: NormLayer, fed: Sequence[Tensor]) -> Tensor:
    x = fed[0]
    value = x.value
    if x.layout == "image":
        value = graph.node("Transpose", [value], perm=[0, 2, 3, 1])
    parts = [graph.published(p) for p in ("weight", "bias")]
    value = graph.node("LayerNormalization", [value, *parts], axis=-1, epsilon=layer.epsilon)
    if x.layout == "image":
        value = graph.node("Transpose", [value], perm=[0, 3, 1, 2])
    return graph.made(value, x)


def _dropout(graph: Graph, layer: Any, fed: Sequence[Tensor]) -> Tensor:
    rate = graph.constant("rate", np.float32(layer.rate))
    return graph.made(graph.node("Dropout", [fed[0], rate]), fed[0])


def _global_pool(graph: Graph, layer: Any, fed: Sequence[Tensor]) -> Tensor:
    x = fed[0]
    if x.layout == "image":
        value = graph.node("Flatten", [graph.node("GlobalAveragePool", [x])])
    elif x.layout == "sequence":
        value = graph.node("ReduceMean", [x, graph.integers("steps", 1)], keepdims=0)
    else:
        value = graph.node("Identity", [x])
    return graph.flat(value, x.n_features)


def _flatten(graph: Graph, layer: Any, fed: Sequence[Tensor]) -> Tensor:
    x = fed[0]
    value = x.value
    if x.layout == "sequence":
        value = graph.node("Transpose", [x], perm=[0, 2, 1])
    return graph.flat(graph.node("Flatten", [value]), math.prod(x.shape))


def _last(graph: Graph, layer: Any, fed: Sequence[Tensor]) -> Tensor:
    index = graph.constant("step", np.int64(fed[0].shape[0] - 1))
    return graph.flat(graph.node("Gather", [fed[0], index], axis=1), fed[0].n_features)


def _add(graph: Graph, layer: MergeLayer, fed: Sequence[Tensor]) -> Tensor:
    value = fed[0].value
    for other in fed[1:]:
        value = graph.node("Add", [value, other])
    return graph.made(value, fed[0])


def _concat(graph: Graph, layer: MergeLayer, fed: Sequence[Tensor]) -> Tensor:
    value = graph.node("Concat", fed, axis=fed[0].axis)
    return graph.made(value, fed[0].with_features(sum(x.n_features for x in fed)))


def _function(graph: Graph, layer: Any, fed: Sequence[Tensor]) -> Tensor:
    return activation(graph, layer.kind, fed[0])


WRITTEN: dict[str, Callable[[Graph, Any, Sequence[Tensor]], Tensor]] = {
    **dict.fromkeys(FUNCTIONS, _function),
    "add": _add,
    "attention": _attention,
    "average_pool": _pool,
    "batch_norm": _batch_norm,
    "concat": _concat,
    "conv": _conv,
    "dropout": _dropout,
    "embedding": _embedding,
    "flatten": _flatten,
    "global_pool": _global_pool,
    "gru": _recurrent,
    "last": _last,
    "layer_norm": _layer_norm,
    "linear": _linear,
    "lstm": _recurrent,
    "max_pool": _pool,
    "position": _position,
    "scores": _scores,
}
