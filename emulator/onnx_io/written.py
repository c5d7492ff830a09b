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
from crossmesh.emulator.onnx_io.recurring import GATES
from crossmesh.emulator.onnx_io.written_operators import operator

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


def _image(graph: Graph, x: Tensor) -> Tensor:
    """An image with its channels first."""
    return graph.channels_first(_of(x, "image"))


def _of(x: Tensor, *layouts: str) -> Tensor:
    if x.layout not in layouts:
        raise LookupError(x.layout)
    return x


def activation(graph: Graph, kind: str, x: Tensor) -> Tensor:
    """A function of every value, or of the features."""
    attributes: dict[str, Any] = {"axis": x.axis} if kind == "softmax" else {}
    return graph.made(graph.node(FUNCTIONS[kind], [x], **attributes), x)


def _linear(graph: Graph, layer: LinearLayer, fed: Sequence[Tensor]) -> Tensor:
    x = _of(fed[0], "flat", "sequence", "image", "array")
    if x.layout in {"sequence", "array"}:
        x = graph.lying(x)
        value = _product(graph, x.value, "", has_bias=layer.bias)
        return graph.made(value, x.with_features(layer.outputs))
    value = graph.node("Flatten", [_image(graph, x)]) if x.layout == "image" else x.value
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
    x = _image(graph, fed[0])
    inputs = [x.value, graph.published("weight")]
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
    sizes = _sizes(x, spans, stride, padding)
    return graph.made(value, replace(x, shape=(layer.outputs, *sizes)))


def _sizes(
    x: Tensor, spans: Sequence[int], stride: Sequence[int], padding: Sequence[int]
) -> list[int]:
    parts = zip(x.shape[1:], spans, stride, padding, strict=True)
    return [(n + 2 * p - k) // s + 1 for n, k, s, p in parts]


def _pool(graph: Graph, layer: PoolLayer, fed: Sequence[Tensor]) -> Tensor:
    x = _image(graph, fed[0])
    kernel, padding = pair(layer.kernel), pair(layer.padding)
    stride = pair(layer.stride or layer.kernel)
    attributes: dict[str, Any] = {"kernel_shape": kernel, "strides": stride, "pads": padding * 2}
    pool = "MaxPool"
    if layer.kind == "average_pool":
        pool = "AveragePool"
        attributes["count_include_pad"] = 1
    value = graph.node(pool, [x], **attributes)
    sizes = _sizes(x, kernel, stride, padding)
    return graph.made(value, replace(x, shape=(x.n_features, *sizes)))


def _recurrent(graph: Graph, layer: RecurrentLayer, fed: Sequence[Tensor]) -> Tensor:
    x = graph.lying(_of(fed[0], "sequence"))
    order = np.argsort(GATES[layer.kind])

    def ordered(suffix: str) -> Any:
        array = graph.weight(suffix)
        gates = array.reshape(len(order), layer.outputs, *array.shape[1:])[order]
        return gates.reshape(1, *array.shape)

    inputs = [
        graph.node("Transpose", [x], perm=TO_STEPS_FIRST),
        graph.published("W", ordered("weight_ih")),
        graph.published("R", ordered("weight_hh")),
    ]
    if layer.bias:
        biases = [ordered("bias_ih"), ordered("bias_hh")]
        inputs.append(graph.published("B", np.concatenate(biases, axis=1)))
    attributes: dict[str, Any] = {"linear_before_reset": 1} if layer.kind == "gru" else {}
    states = graph.node(layer.kind.upper(), inputs, hidden_size=layer.outputs, **attributes)
    steps = graph.node("Squeeze", [states, graph.integers("directions", 1)])
    value = graph.node("Transpose", [steps], perm=TO_STEPS_FIRST)
    return graph.made(value, x.with_features(layer.outputs))


def _attention(graph: Graph, layer: AttentionLayer, fed: Sequence[Tensor]) -> Tensor:
    x = graph.lying(_of(fed[0], "sequence"))
    projected = _product(graph, x.value, "qkv.", has_bias=layer.bias)
    seen = _seen(graph, layer, projected, x)
    return graph.made(_product(graph, seen, "out.", has_bias=layer.bias), x)


def _scores(graph: Graph, layer: ScoresLayer, fed: Sequence[Tensor]) -> Tensor:
    x = graph.lying(_of(fed[0], "sequence"))
    like = x.with_features(x.n_features // 3)
    return graph.made(_seen(graph, layer, x.value, like), like)


def _seen(graph: Graph, layer: AttentionLayer | ScoresLayer, value: str, like: Tensor) -> str:
    """What each step takes of the others; ``value`` is queries, keys, values side by side."""
    steps, features = like.shape
    n = features // layer.heads
    heads = graph.integers("heads", 0, steps, layer.heads, n)
    queries, keys, values = (
        graph.node("Transpose", [graph.node("Reshape", [part, heads])], perm=perm)
        for part, perm in zip(
            graph.several("Split", [value], 3, axis=2, num_outputs=3),
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
    tokens = _of(fed[0], "tokens")
    value = graph.node("Gather", [graph.published("weight"), tokens], axis=0)
    return Tensor(value, (*tokens.shape, layer.outputs), graph.layer)


def _position(graph: Graph, layer: Any, fed: Sequence[Tensor]) -> Tensor:
    x = graph.lying(_of(fed[0], "sequence"))
    return graph.made(graph.node("Add", [x, graph.published("weight")]), x)


def _batch_norm(graph: Graph, layer: NormLayer, fed: Sequence[Tensor]) -> Tensor:
    x = graph.channels_first(fed[0])
    parts = [graph.published(p) for p in ("weight", "bias", "running_mean", "running_var")]
    value = graph.node(
        "BatchNormalization", [x, *parts], epsilon=layer.epsilon, momentum=1 - layer.momentum
    )
    return graph.made(value, x)


def _layer_norm(graph: Graph, layer: NormLayer, fed: Sequence[Tensor]) -> Tensor:
    x = graph.lying(fed[0])
    parts = [graph.published(p) for p in ("weight", "bias")]
    value = graph.node("LayerNormalization", [x, *parts], axis=-1, epsilon=layer.epsilon)
    return graph.made(value, x)


def _dropout(graph: Graph, layer: Any, fed: Sequence[Tensor]) -> Tensor:
    rate = graph.constant("rate", np.float32(layer.rate))
    return graph.made(graph.node("Dropout", [fed[0], rate]), fed[0])


def _global_pool(graph: Graph, layer: Any, fed: Sequence[Tensor]) -> Tensor:
    x = fed[0]
    if len(x.shape) == 1:
        value = graph.node("Identity", [x])
    elif x.channels_first:
        value = graph.node("Flatten", [graph.node("GlobalAveragePool", [x])])
    else:
        outer = graph.integers("positions", *range(1, len(x.shape)))
        value = graph.node("ReduceMean", [x, outer], keepdims=0)
    return graph.flat(value, x.n_features)


def _flatten(graph: Graph, layer: Any, fed: Sequence[Tensor]) -> Tensor:
    x = graph.channels_first(fed[0])
    return graph.flat(graph.node("Flatten", [x]), math.prod(x.shape))


def _last(graph: Graph, layer: Any, fed: Sequence[Tensor]) -> Tensor:
    x = graph.lying(_of(fed[0], "sequence"))
    index = graph.constant("step", np.int64(x.shape[0] - 1))
    return graph.flat(graph.node("Gather", [x, index], axis=1), x.n_features)


def _alike(graph: Graph, fed: Sequence[Tensor]) -> list[Tensor]:
    """Tensors that all have their features first, or last."""
    if all(x.channels_first for x in fed):
        return list(fed)
    return [graph.lying(x) for x in fed]


def _add(graph: Graph, layer: MergeLayer, fed: Sequence[Tensor]) -> Tensor:
    first, *others = _alike(graph, fed)
    value = first.value
    for other in others:
        value = graph.node("Add", [value, other])
    return graph.made(value, first)


def _concat(graph: Graph, layer: MergeLayer, fed: Sequence[Tensor]) -> Tensor:
    parts = _alike(graph, fed)
    value = graph.node("Concat", parts, axis=parts[0].axis)
    return graph.made(value, parts[0].with_features(sum(x.n_features for x in parts)))


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
    "operator": operator,
    "position": _position,
    "scores": _scores,
}
