"""What each kind of layer is in the graph: one function per kind, listed in ``PARTS``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from emulator.layers import (
    Attention,
    Conv,
    Dropout,
    Embedding,
    Linear,
    Merge,
    Norm,
    Placed,
    Plain,
    Pool,
    Position,
    Recurrent,
    Scores,
    pair,
)
from emulator.network import Matrix, Node, Port, Shape
from tiles import digital
from tiles.window import Window

if TYPE_CHECKING:
    from emulator.building import Assembly


class LayerError(Exception):
    """A layer does not fit what feeds it.

    Args:
        field: The layer's field that could be otherwise; empty: its input.
        law: What must be and what is.
    """

    def __init__(self, field: str, law: str) -> None:
        super().__init__(law)
        self.field = field
        self.law = law


def _image(fed: Node) -> tuple[int, int]:
    if fed.shape.image is None:
        raise LayerError("", f"must be fed an image, got {fed.shape}")
    return fed.shape.image


def _steps(fed: Node) -> int:
    if fed.shape.steps is None:
        raise LayerError("", f"must be fed a sequence, got {fed.shape}")
    return fed.shape.steps


def _matrix(layer: Placed, build: Assembly, name: str, fed: Node, outputs: int) -> Matrix:
    """The matrix of a layer that multiplies every vector of its input."""
    return Matrix(
        name=name,
        inputs=fed.width,
        outputs=outputs,
        bias=layer.has_bias,
        vectors=fed.positions,
        bound=float(fed.width**-0.5),
        tile=build.tile,
    )


def _linear(build: Assembly, layer: Linear, name: str, fed: Sequence[Node]) -> Node:
    before = build.flat(name, fed[0])
    matrix = build.matrix(layer, _matrix(layer, build, name, before, layer.outputs))
    return build.activation(name, layer.activation, build.product(name, matrix, before))


def _conv(build: Assembly, layer: Conv, name: str, fed: Sequence[Node]) -> Node:
    height, width = _image(fed[0])
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
            tile=build.tile,
        )
        first = group * window.channels
        port = Port(fed[0].name, first, first + window.channels)
        parts.append(build.convolution(part, build.matrix(layer, matrix), port, window))
    whole = parts[0] if groups == 1 else _side_by_side(build, name, parts)
    return build.activation(name, layer.activation, whole)


def _side_by_side(build: Assembly, name: str, parts: Sequence[Node]) -> Node:
    ports, at = [], 0
    for part in parts:
        ports.append(Port(part.name, 0, part.width, at=at))
        at += part.width
    return build.join(name, ports, parts[0].shape.with_features(at))


def _recurrent(build: Assembly, layer: Recurrent, name: str, fed: Sequence[Node]) -> Node:
    """One node per step and part: the hidden matrix is driven once per step, each after the one."""
    steps, n = _steps(fed[0]), layer.outputs
    gates = (4 if layer.kind == "lstm" else 3) * n
    of_input = build.matrix(
        layer, _matrix(layer, build, f"{name}.input", fed[0], gates), is_split=False
    )
    zeros = build.function(
        f"{name}.zeros", fed[0], digital.Zeros(steps=steps), Shape(features=n), name
    )
    of_hidden = _matrix(layer, build, f"{name}.hidden", zeros, gates)
    bound = float(n**-0.5)  # of both, as PyTorch's
    of_hidden = build.matrix(layer, replace(of_hidden, vectors=steps, bound=bound), is_split=False)
    build.matrices[of_input.name] = replace(of_input, bound=bound)
    inputs = build.product(of_input.name, of_input, fed[0], group=name)
    cell = zeros
    cells = []
    for t in range(steps):
        before = cell if cell.width == n else _state(build, name, t, cell, n)
        cell = _step(build, layer, name, t, (inputs, before, cell))
        cells.append(Port(cell.name, 0, n, at_position=t))
    return build.join(name, cells, Shape(features=n, steps=steps), name)


def _state(build: Assembly, name: str, t: int, cell: Node, n: int) -> Node:
    return build.join(f"{name}.h.{t}", [Port(cell.name, 0, n)], Shape(features=n), name)


def _step(
    build: Assembly, layer: Recurrent, name: str, t: int, nodes: tuple[Node, Node, Node]
) -> Node:
    """One step: product with the state before, sums of the gates, and the cell."""
    inputs, before, cell = nodes
    n, is_lstm, gates = layer.outputs, layer.kind == "lstm", inputs.width
    hidden = build.add(
        Node(
            name=f"{name}.hidden.{t}",
            inputs=(Port(before.name, 0, n),),
            shape=Shape(features=gates),
            group=name,
            matrix=f"{name}.hidden",
            offset=t,
        )
    )
    ports = [
        Port(inputs.name, 0, gates, positions=(t, t + 1)),
        Port(hidden.name, 0, gates, at=0 if is_lstm else gates),
    ]
    if is_lstm and t:
        ports.append(Port(cell.name, n, 2 * n, at=gates))
    elif not is_lstm:
        ports.append(Port(before.name, 0, n, at=2 * gates))
    width = gates + n if is_lstm else 2 * gates + n
    sums = build.join(f"{name}.sums.{t}", ports, Shape(features=width), name)
    function = digital.LstmCell(hidden=n) if is_lstm else digital.GruCell(hidden=n)
    shape = Shape(features=2 * n if is_lstm else n)
    return build.function(f"{name}.cell.{t}", sums, function, shape, name)


def _attention(build: Assembly, layer: Attention, name: str, fed: Sequence[Node]) -> Node:
    features, before = fed[0].width, fed[0]
    _check_heads(layer.heads, features)
    steps = _steps(before)
    into = build.matrix(layer, _matrix(layer, build, f"{name}.qkv", before, 3 * features))
    projected = build.product(into.name, into, before)
    scored = _scored(build, layer, f"{name}.scores", projected, steps)
    out = build.matrix(layer, _matrix(layer, build, f"{name}.out", scored, features))
    return build.product(out.name, out, scored)


def _scores(build: Assembly, layer: Scores, name: str, fed: Sequence[Node]) -> Node:
    steps = _steps(fed[0])
    if fed[0].width % 3:
        raise LayerError("", f"must be fed 3 times as many features, got {fed[0].width}")
    _check_heads(layer.heads, fed[0].width // 3)
    return _scored(build, layer, name, fed[0], steps)


def _check_heads(heads: int, features: int) -> None:
    if features % heads:
        raise LayerError("heads", f"must divide the features ({features}), got {heads}")


def _scored(build: Assembly, layer: Attention | Scores, name: str, fed: Node, steps: int) -> Node:
    function = digital.Scores(heads=layer.heads, causal=layer.causal, steps=steps)
    return build.function(name, fed, function, fed.shape.with_features(fed.width // 3))


def _embedding(build: Assembly, layer: Embedding, name: str, fed: Sequence[Node]) -> Node:
    steps, tokens = _steps(fed[0]), build.task.tokens
    if tokens is None or fed[0].inputs:
        raise LayerError("", f"must be fed the tokens of a text, got {fed[0].shape}")
    shape = Shape(features=layer.outputs, steps=steps)
    if layer.digital:
        function = digital.Embedding(tokens=tokens, outputs=layer.outputs)
        return build.add(
            Node(
                name=name,
                inputs=(Port(fed[0].name, 0, 1),),
                shape=shape,
                group=name,
                function=function,
                frozen=layer.frozen,
            )
        )
    one_hot = digital.OneHot(tokens=tokens)
    driven = build.function(f"{name}.one_hot", fed[0], one_hot, Shape(features=tokens, steps=steps))
    matrix = build.matrix(layer, _matrix(layer, build, name, driven, layer.outputs))
    return build.product(name, matrix, driven)


def _position(build: Assembly, layer: Position, name: str, fed: Sequence[Node]) -> Node:
    function = digital.Position(steps=_steps(fed[0]), features=fed[0].width)
    return _frozen(build, build.function(name, fed[0], function, fed[0].shape), layer.frozen)


def _frozen(build: Assembly, node: Node, frozen: bool) -> Node:
    """The node, just added, with its numbers as they are."""
    build.nodes[-1] = replace(node, frozen=frozen)
    return build.nodes[-1]


def _pool(build: Assembly, layer: Pool, name: str, fed: Sequence[Node]) -> Node:
    height, width = _image(fed[0])
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


def _plain(build: Assembly, layer: Plain, name: str, fed: Sequence[Node]) -> Node:
    before = fed[0]
    flat = Shape(features=before.width)
    if layer.kind == "global_pool":
        return build.function(name, before, digital.GlobalPool(positions=before.positions), flat)
    if layer.kind == "last":
        steps = _steps(before)
        port = Port(before.name, 0, before.width, positions=(steps - 1, steps))
        return build.join(name, [port], flat)
    if layer.kind == "flatten":
        shape = Shape(features=before.width * before.positions)
        flatten = digital.Flatten(positions=before.positions, features=before.width)
        return build.function(name, before, flatten, shape)
    return build.function(name, before, digital.ACTIVATIONS[layer.kind], before.shape)


def _norm(build: Assembly, layer: Norm, name: str, fed: Sequence[Node]) -> Node:
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
    return _frozen(build, build.function(name, before, function, before.shape), layer.frozen)


def _dropout(build: Assembly, layer: Dropout, name: str, fed: Sequence[Node]) -> Node:
    number = build.count(digital.Dropout)
    function = digital.Dropout(rate=layer.rate, number=number, positions=fed[0].positions)
    return build.function(name, fed[0], function, fed[0].shape)


def _merge(build: Assembly, layer: Merge, name: str, fed: Sequence[Node]) -> Node:
    first = fed[0].shape
    for other in fed[1:]:
        like = other.shape if layer.kind == "add" else other.shape.with_features(first.features)
        if like != first:
            what = "alike" if layer.kind == "add" else "alike but for their features"
            raise LayerError("inputs", f"must be {what}, got {first} and {other.shape}")
    if layer.kind == "concat":
        return _side_by_side(build, name, fed)
    return build.join(name, [Port(node.name, 0, node.width) for node in fed], first)


PARTS: dict[type, Callable[..., Node]] = {
    Linear: _linear,
    Conv: _conv,
    Recurrent: _recurrent,
    Attention: _attention,
    Scores: _scores,
    Embedding: _embedding,
    Position: _position,
    Pool: _pool,
    Plain: _plain,
    Norm: _norm,
    Dropout: _dropout,
    Merge: _merge,
}
