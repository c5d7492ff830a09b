"""Lowering of layers to nodes of the graph: one function per kind, listed in ``PARTS``."""

from collections.abc import Callable, Sequence

from crossmesh.common.registry import kinds_of
from crossmesh.emulator.config.layer import AnyLayer
from crossmesh.emulator.config.layers import (
    AttentionLayer,
    ConvLayer,
    DropoutLayer,
    EmbeddingLayer,
    LinearLayer,
    MergeLayer,
    NormLayer,
    PlainLayer,
    PoolLayer,
    PositionLayer,
    RecurrentLayer,
    ScoresLayer,
    pair,
)
from crossmesh.emulator.config.operators import OperatorLayer
from crossmesh.emulator.network.assembly import (
    Assembly,
    frozen_as,
    matrix_of,
)
from crossmesh.emulator.network.fed import image_of, steps_of
from crossmesh.emulator.network.graph import Matrix, Node, Shape, of_node
from crossmesh.emulator.network.layer_error import LayerError
from crossmesh.emulator.network.lowering_operators import operator
from crossmesh.emulator.network.lowering_sequences import (
    attention,
    embedding,
    position,
    recurrent,
    scores,
)
from crossmesh.tiles import digital
from crossmesh.tiles.analog.convolution import Window


def _linear(build: Assembly, layer: LinearLayer, name: str, fed: Sequence[Node]) -> Node:
    before = build.flat(name, fed[0])
    matrix = build.matrix(layer, matrix_of(layer, build, name, before, layer.outputs))
    return build.activation(name, layer.activation, build.product(name, matrix, before))


def _conv(build: Assembly, layer: ConvLayer, name: str, fed: Sequence[Node]) -> Node:
    height, width = image_of(fed[0])
    groups, channels = layer.groups, fed[0].width
    for what, size in (("the channels of its input", channels), ("outputs", layer.outputs)):
        if size % groups:
            raise LayerError("groups", f"must divide {what} ({size}), got {groups}")
    window = Window(
        height=height,
        width=width,
        channels=channels // groups,
        kernel=pair(layer.kernel),
        stride=pair(layer.stride),
        padding=pair(layer.padding),
        dilation=pair(layer.dilation),
    )
    outputs, parts = layer.outputs // groups, []
    for group in range(groups):
        part = name if groups == 1 else f"{name}.{group}"
        matrix = Matrix(
            name=part,
            inputs=window.rows,
            outputs=outputs,
            bias=layer.bias,
            vectors=window.positions,
            bound=float(window.rows**-0.5),
            holder=build.tile,
        )
        first = group * window.channels
        port = of_node(fed[0].name, first, first + window.channels)
        parts.append(build.convolution(part, build.matrix(layer, matrix), port, window))
    whole = parts[0] if groups == 1 else _side_by_side(build, name, parts)
    return build.activation(name, layer.activation, whole)


def _side_by_side(build: Assembly, name: str, parts: Sequence[Node]) -> Node:
    ports, at = [], 0
    for part in parts:
        ports.append(of_node(part.name, 0, part.width, at=at))
        at += part.width
    return build.join(name, ports, parts[0].shape.with_features(at))


def _pool(build: Assembly, layer: PoolLayer, name: str, fed: Sequence[Node]) -> Node:
    height, width = image_of(fed[0])
    kind = digital.MaxPool if layer.kind == "max_pool" else digital.AveragePool
    function = kind(
        height=height,
        width=width,
        kernel=pair(layer.kernel),
        stride=pair(layer.stride or layer.kernel),
        padding=pair(layer.padding),
    )
    image = (function.out_height, function.out_width)
    if min(image) < 1:
        raise LayerError("kernel", f"must fit into its input, {fed[0].shape}, got {layer.kernel}")
    return build.function(name, fed[0], function, Shape(features=fed[0].width, image=image))


def _plain(build: Assembly, layer: PlainLayer, name: str, fed: Sequence[Node]) -> Node:
    before = fed[0]
    flat = Shape(features=before.width)
    if layer.kind == "global_pool":
        return build.function(name, before, digital.GlobalPool(positions=before.positions), flat)
    if layer.kind == "last":
        steps = steps_of(before)
        port = of_node(before.name, 0, before.width, positions=(steps - 1, steps))
        return build.join(name, [port], flat)
    if layer.kind == "flatten":
        shape = Shape(features=before.width * before.positions)
        flatten = digital.Flatten(positions=before.positions, features=before.width)
        return build.function(name, before, flatten, shape)
    return build.function(name, before, digital.ACTIVATIONS[layer.kind], before.shape)


def _norm(build: Assembly, layer: NormLayer, name: str, fed: Sequence[Node]) -> Node:
    before = fed[0]
    function: digital.Learned = (
        digital.BatchNorm(
            features=before.width,
            epsilon=layer.epsilon,
            momentum=layer.momentum,
            frozen=layer.frozen,
        )
        if layer.kind == "batch_norm"
        else digital.LayerNorm(features=before.width, epsilon=layer.epsilon)
    )
    return frozen_as(build, build.function(name, before, function, before.shape), layer.frozen)


def _dropout(build: Assembly, layer: DropoutLayer, name: str, fed: Sequence[Node]) -> Node:
    number = build.count(digital.Dropout)
    function = digital.Dropout(rate=layer.rate, number=number, positions=fed[0].positions)
    return build.function(name, fed[0], function, fed[0].shape)


def _merge(build: Assembly, layer: MergeLayer, name: str, fed: Sequence[Node]) -> Node:
    first = fed[0].shape
    for other in fed[1:]:
        like = other.shape if layer.kind == "add" else other.shape.with_features(first.features)
        if like != first:
            what = "alike" if layer.kind == "add" else "alike but for their features"
            raise LayerError("inputs", f"must be {what}, got {first} and {other.shape}")
    if layer.kind == "concat":
        return _side_by_side(build, name, fed)
    return build.join(name, [of_node(node.name, 0, node.width) for node in fed], first)


_OF_CLASS: dict[type[AnyLayer], Callable[..., Node]] = {
    LinearLayer: _linear,
    ConvLayer: _conv,
    RecurrentLayer: recurrent,
    AttentionLayer: attention,
    ScoresLayer: scores,
    EmbeddingLayer: embedding,
    PositionLayer: position,
    PoolLayer: _pool,
    PlainLayer: _plain,
    NormLayer: _norm,
    DropoutLayer: _dropout,
    MergeLayer: _merge,
    OperatorLayer: operator,
}
PARTS = {kind: part for cls, part in _OF_CLASS.items() for kind in kinds_of(cls)}
