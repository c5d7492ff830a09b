"""Lowering of layers of sequences: recurrent layers, attention, embeddings."""

from collections.abc import Sequence
from dataclasses import replace

from crossmesh.emulator.config.layers import (
    AttentionLayer,
    EmbeddingLayer,
    PositionLayer,
    RecurrentLayer,
    ScoresLayer,
)
from crossmesh.emulator.network.assembly import Assembly, frozen_as, matrix_of
from crossmesh.emulator.network.fed import steps_of
from crossmesh.emulator.network.graph import Node, Shape, of_node
from crossmesh.emulator.network.layer_error import LayerError
from crossmesh.tiles import digital


def recurrent(build: Assembly, layer: RecurrentLayer, name: str, fed: Sequence[Node]) -> Node:
    """One node per step and part: the hidden matrix is driven once per step, each after the one."""
    steps, n = steps_of(fed[0]), layer.outputs
    gates = (4 if layer.kind == "lstm" else 3) * n
    of_input = build.matrix(
        layer, matrix_of(layer, build, f"{name}.input", fed[0], gates), is_split=False
    )
    zeros = build.function(
        f"{name}.zeros", fed[0], digital.Zeros(steps=steps), Shape(features=n), name
    )
    of_hidden = matrix_of(layer, build, f"{name}.hidden", zeros, gates)
    bound = float(n**-0.5)  # of both, as PyTorch's
    of_hidden = build.matrix(layer, replace(of_hidden, vectors=steps, bound=bound), is_split=False)
    build.matrices[of_input.name] = replace(of_input, bound=bound)
    inputs = build.product(of_input.name, of_input, fed[0], group=name)
    cell = zeros
    cells = []
    for t in range(steps):
        before = cell if cell.width == n else _state(build, name, t, cell, n)
        cell = _step(build, layer, name, t, (inputs, before, cell))
        cells.append(of_node(cell.name, 0, n, at_position=t))
    return build.join(name, cells, Shape(features=n, steps=steps), name)


def _state(build: Assembly, name: str, t: int, cell: Node, n: int) -> Node:
    return build.join(f"{name}.h.{t}", [of_node(cell.name, 0, n)], Shape(features=n), name)


def _step(
    build: Assembly, layer: RecurrentLayer, name: str, t: int, nodes: tuple[Node, Node, Node]
) -> Node:
    """One step: product with the state before, sums of the gates, and the cell."""
    inputs, before, cell = nodes
    n, is_lstm, gates = layer.outputs, layer.kind == "lstm", inputs.width
    hidden = build.add(
        Node(
            name=f"{name}.hidden.{t}",
            inputs=(of_node(before.name, 0, n),),
            shape=Shape(features=gates),
            group=name,
            matrix=f"{name}.hidden",
            offset=t,
        )
    )
    ports = [
        of_node(inputs.name, 0, gates, positions=(t, t + 1)),
        of_node(hidden.name, 0, gates, at=0 if is_lstm else gates),
    ]
    if is_lstm and t:
        ports.append(of_node(cell.name, n, 2 * n, at=gates))
    elif not is_lstm:
        ports.append(of_node(before.name, 0, n, at=2 * gates))
    width = gates + n if is_lstm else 2 * gates + n
    sums = build.join(f"{name}.sums.{t}", ports, Shape(features=width), name)
    function = digital.LstmCell(hidden=n) if is_lstm else digital.GruCell(hidden=n)
    shape = Shape(features=2 * n if is_lstm else n)
    return build.function(f"{name}.cell.{t}", sums, function, shape, name)


def attention(build: Assembly, layer: AttentionLayer, name: str, fed: Sequence[Node]) -> Node:
    """Projection to queries, keys and values, their scores, and the projection behind."""
    features, before = fed[0].width, fed[0]
    _check_heads(layer.heads, features)
    steps = steps_of(before)
    into = build.matrix(layer, matrix_of(layer, build, f"{name}.qkv", before, 3 * features))
    projected = build.product(into.name, into, before)
    scored = _scored(build, layer, f"{name}.scores", projected, steps)
    out = build.matrix(layer, matrix_of(layer, build, f"{name}.out", scored, features))
    return build.product(out.name, out, scored)


def scores(build: Assembly, layer: ScoresLayer, name: str, fed: Sequence[Node]) -> Node:
    """Attention scores of what other layers projected."""
    steps = steps_of(fed[0])
    if fed[0].width % 3:
        raise LayerError("", f"must be fed 3 times as many features, got {fed[0].width}")
    _check_heads(layer.heads, fed[0].width // 3)
    return _scored(build, layer, name, fed[0], steps)


def _check_heads(heads: int, features: int) -> None:
    if features % heads:
        raise LayerError("heads", f"must divide the features ({features}), got {heads}")


def _scored(
    build: Assembly, layer: AttentionLayer | ScoresLayer, name: str, fed: Node, steps: int
) -> Node:
    function = digital.Scores(heads=layer.heads, causal=layer.causal, steps=steps)
    return build.function(name, fed, function, fed.shape.with_features(fed.width // 3))


def embedding(build: Assembly, layer: EmbeddingLayer, name: str, fed: Sequence[Node]) -> Node:
    """Vectors of tokens, on tiles or in digital memory."""
    steps, tokens = steps_of(fed[0]), build.task.tokens
    if tokens is None or fed[0].inputs:
        raise LayerError("", f"must be fed the tokens of a text, got {fed[0].shape}")
    shape = Shape(features=layer.outputs, steps=steps)
    if layer.digital:
        function = digital.Embedding(tokens=tokens, outputs=layer.outputs)
        return build.add(
            Node(
                name=name,
                inputs=(of_node(fed[0].name, 0, 1),),
                shape=shape,
                group=name,
                function=function,
                frozen=layer.frozen,
            )
        )
    one_hot = digital.OneHot(tokens=tokens)
    driven = build.function(f"{name}.one_hot", fed[0], one_hot, Shape(features=tokens, steps=steps))
    matrix = build.matrix(layer, matrix_of(layer, build, name, driven, layer.outputs))
    return build.product(name, matrix, driven)


def position(build: Assembly, layer: PositionLayer, name: str, fed: Sequence[Node]) -> Node:
    """A learned vector for every step, added."""
    function = digital.Position(steps=steps_of(fed[0]), features=fed[0].width)
    return frozen_as(build, build.function(name, fed[0], function, fed[0].shape), layer.frozen)
