"""Conversion of published weight arrays to matrices, by kind of layer."""

from collections.abc import Callable, Sequence
from typing import Any

from crossmesh.emulator.config.layer import layer_name, shared_by
from crossmesh.emulator.config.layers import (
    AttentionLayer,
    ConvLayer,
    EmbeddingLayer,
    Layer,
    LinearLayer,
    NormLayer,
    PositionLayer,
    RecurrentLayer,
    kind_of_ours,
    pair,
)
from crossmesh.emulator.config.operators import OperatorLayer
from crossmesh.emulator.onnx_io.published_arrays import (
    Affine,
    PublishedPart,
    PublishedTable,
    PublishedTensor,
    Stack,
)

GATES = {"lstm": 4, "gru": 3}
NORM_PARTS = {
    "batch_norm": ("weight", "bias", "running_mean", "running_var"),
    "layer_norm": ("weight", "bias"),
}


def _linear(layer: LinearLayer, name: str) -> list[PublishedPart]:
    bias = f"{name}.bias" if layer.bias else None
    return [Affine(matrix=name, weight=f"{name}.weight", bias=bias, outputs=layer.outputs)]


def _conv(layer: ConvLayer, name: str) -> list[PublishedPart]:
    return [
        Affine(
            matrix=name,
            weight=f"{name}.weight",
            bias=f"{name}.bias" if layer.bias else None,
            outputs=layer.outputs,
            kernel=pair(layer.kernel),
            groups=layer.groups,
        )
    ]


def _recurrent(layer: RecurrentLayer, name: str) -> list[PublishedPart]:
    return [
        Affine(
            matrix=f"{name}.{matrix}",
            weight=f"{name}.weight_{suffix}",
            bias=f"{name}.bias_{suffix}" if layer.bias else None,
            outputs=GATES[layer.kind] * layer.outputs,
            inputs=inputs,
        )
        for matrix, suffix, inputs in (("input", "ih", None), ("hidden", "hh", layer.outputs))
    ]


def _attention(layer: AttentionLayer, name: str) -> list[PublishedPart]:
    return [
        Affine(
            matrix=f"{name}.{part}",
            weight=f"{name}.{part}.weight",
            bias=f"{name}.{part}.bias" if layer.bias else None,
            outputs=None,
            blocks=blocks,
        )
        for part, blocks in (("qkv", 3), ("out", 1))
    ]


def _embedding(layer: EmbeddingLayer, name: str) -> list[PublishedPart]:
    return [PublishedTable(matrix=name, columns=layer.outputs)]


def _position(layer: PositionLayer, name: str) -> list[PublishedPart]:
    return [PublishedTable(matrix=name, columns=None)]


def _norm(layer: NormLayer, name: str) -> list[PublishedPart]:
    return [Stack(matrix=name, suffixes=NORM_PARTS[layer.kind])]


def _operator(layer: OperatorLayer, name: str) -> list[PublishedPart]:
    if layer.parameter is None:
        return []
    sizes = layer.operands[layer.parameter].sizes or ()
    return [PublishedTensor(matrix=name, axes=tuple(sizes))]


PARTS_OF: dict[str, Callable[[Any, str], list[PublishedPart]]] = {
    "linear": _linear,
    "conv": _conv,
    "lstm": _recurrent,
    "gru": _recurrent,
    "attention": _attention,
    "embedding": _embedding,
    "position": _position,
    "batch_norm": _norm,
    "layer_norm": _norm,
    "operator": _operator,
}


def parts(layers: Sequence[Layer]) -> list[PublishedPart]:
    """Every matrix of a network that has one, in the order of its layers."""
    return [
        part
        for number, layer in enumerate(layers)
        for part in _parts(layer, layer_name(layer, number))
    ]


def _parts(layer: Layer, name: str) -> Sequence[PublishedPart]:
    if shared_by(layer) is not None:
        return ()
    if layer.has_own_graph:
        return layer.published(name)
    part = PARTS_OF.get(kind_of_ours(layer) or "")
    return part(layer, name) if part else ()
