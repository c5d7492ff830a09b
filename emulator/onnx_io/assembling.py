"""From the sources of an ONNX graph to layers with names and weights."""

import itertools
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from pydantic import ValidationError

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.config.layers import (
    AttentionLayer,
    ConvLayer,
    DropoutLayer,
    EmbeddingLayer,
    Layer,
    LinearLayer,
    MergeLayer,
    NormLayer,
    PlainLayer,
    PoolLayer,
    PositionLayer,
    RecurrentLayer,
    ScoresLayer,
)
from crossmesh.emulator.onnx_io.arithmetic import LOG_SOFTMAX
from crossmesh.emulator.onnx_io.heads import common_name
from crossmesh.emulator.onnx_io.scaling import AFFINE
from crossmesh.emulator.onnx_io.values import Array, Source

INPUT = "input"
FUNCTIONS = ("relu", "gelu", "tanh", "sigmoid", "softmax")
PLAIN = (*FUNCTIONS, "global_pool", "flatten", "last")
ENDS = ("softmax", "sigmoid", "relu", "gelu", "tanh")  # of a network that gives no logits


def finished(output: Source, *, softmax: bool) -> Source:
    """The output of a network that is trained on classes.

    Args:
        output: The output of the file.
        softmax: Whether a softmax is put behind logits.
    """
    if output.kind == LOG_SOFTMAX:
        output = output.inputs[0]
    if softmax and output.kind not in ENDS:
        return output.after("softmax")
    return output


def assembled(output: Source) -> tuple[list[Layer], dict[str, Array]]:
    """Layers up to an output, in an order in which each follows what feeds it, and their weights.

    Raises:
        ConfigError: If there is none but the input, or one that is no layer.
    """
    sources = _with_attention(_with_activations(_before(output)))
    if len(sources) < 2:
        raise ConfigError("network.onnx must have an operator between input and output, got none")
    names = _names(sources)
    layers: list[Layer] = []
    weights: dict[str, Array] = {}
    for before, source in itertools.pairwise(sources):
        name = names[source.serial]
        try:
            layers.append(_layer(source, before, names))
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            raise ConfigError(
                f"network.onnx must have valid layers, got {name}: {reason}"
            ) from None
        weights |= {
            f"{name}.{suffix}": np.ascontiguousarray(array, np.float32)
            for suffix, array in source.arrays.items()
        }
    return layers, weights


def _before(output: Source) -> list[Source]:
    """All sources that an output depends on, the input first."""
    found: dict[int, Source] = {}
    waiting = [output]
    while waiting:
        source = waiting.pop()
        if source.serial not in found:
            found[source.serial] = source
            waiting += source.inputs
    return [found[serial] for serial in sorted(found)]


def _rebuilt(sources: Sequence[Source], merged: Callable[..., Source | None]) -> list[Source]:
    """The sources, each perhaps merged with those before it, up to the same output.

    Args:
        sources: In order.
        merged: From a source and the numbers of uses, what takes its place, or None.
    """
    uses: dict[int, int] = {}
    for source in sources:
        for fed_by in source.inputs:
            uses[fed_by.serial] = uses.get(fed_by.serial, 0) + 1
    new: dict[int, Source] = {}
    n_uses: dict[int, int] = {}
    for source in sources:
        inputs = tuple(new[fed_by.serial] for fed_by in source.inputs)
        moved = source.changed(inputs=inputs)  # always, so that the order stays
        n_uses[moved.serial] = uses.get(source.serial, 0)
        taker = merged(moved, n_uses) or moved
        n_uses[taker.serial] = uses.get(source.serial, 0)
        new[source.serial] = taker
    return _before(new[sources[-1].serial])


def _with_activations(sources: Sequence[Source]) -> list[Source]:
    """Functions behind a linear layer or convolution as its activation."""

    def merged(source: Source, uses: dict[int, int]) -> Source | None:
        if source.kind not in FUNCTIONS:
            return None
        before = source.inputs[0]
        is_alone = before.kind in AFFINE and uses[before.serial] == 1
        if not is_alone or "activation" in before.settings or "frozen" in before.settings:
            return None
        return before.changed(settings=before.settings | {"activation": source.kind})

    return _rebuilt(sources, merged)


def _with_attention(sources: Sequence[Source]) -> list[Source]:
    """Scores between the linear layers of an attention as one layer."""

    def merged(source: Source, uses: dict[int, int]) -> Source | None:
        if source.kind != "linear" or source.settings or source.inputs[0].kind != "scores":
            return None
        scores = source.inputs[0]
        before = scores.inputs[0]
        if before.kind != "linear" or before.settings:
            return None
        n = before.inputs[0].n_features
        if uses[scores.serial] != 1 or uses[before.serial] != 1:
            return None
        if (before.n_features, scores.n_features, source.n_features) != (3 * n, n, n):
            return None
        return scores.changed(
            kind="attention",
            inputs=before.inputs,
            arrays=_attention_arrays(before, source),
            hint=common_name([before.hint, source.hint]),
        )

    return _rebuilt(sources, merged)


def _attention_arrays(qkv: Source, out: Source) -> dict[str, Array]:
    arrays = {}
    has_bias = "bias" in qkv.arrays or "bias" in out.arrays
    for part, source in (("qkv", qkv), ("out", out)):
        arrays[f"{part}.weight"] = source.arrays["weight"]
        if has_bias:
            zeros = np.zeros(source.n_features, np.float32)
            arrays[f"{part}.bias"] = source.arrays.get("bias", zeros)
    return arrays


def _names(sources: Sequence[Source]) -> dict[int, str]:
    """A new name for each source that is a layer; the first is the input."""
    names = {sources[0].serial: INPUT}
    taken = {INPUT}
    for number, source in enumerate(sources[1:]):
        wanted = re.sub(r"[^A-Za-z0-9_-]", "-", source.hint).strip("-_")
        name = wanted = wanted or f"{source.kind}{number}"
        count = 1
        while name in taken:
            count += 1
            name = f"{wanted}-{count}"
        taken.add(name)
        names[source.serial] = name
    return names


def _layer(source: Source, before: Source, names: dict[int, str]) -> Layer:
    fields: dict[str, Any] = {"kind": source.kind, "name": names[source.serial]}
    fields |= source.settings
    feeders = tuple(names[fed_by.serial] for fed_by in source.inputs)
    if source.kind in {"add", "concat"}:
        return MergeLayer(inputs=feeders, **fields)
    if source.inputs[0] is not before:
        fields["input"] = feeders[0]
    if source.kind in PLAIN:
        return PlainLayer(**fields)
    if source.kind not in _LAYERS:
        what = source.kind
        raise ConfigError(f"network.onnx must use supported operators, got an isolated {what}")
    return _LAYERS[source.kind](source, fields)


def _placed(kind: Any) -> Callable[[Source, dict[str, Any]], Layer]:
    def make(source: Source, fields: dict[str, Any]) -> Layer:
        outputs = source.n_features
        return kind(outputs=outputs, bias="bias" in source.arrays, **fields)  # type: ignore[no-any-return]  # one of them

    return make


def _recurrent(source: Source, fields: dict[str, Any]) -> Layer:
    bias = "bias_ih" in source.arrays
    return RecurrentLayer(outputs=source.n_features, bias=bias, **fields)


_LAYERS: dict[str, Callable[[Source, dict[str, Any]], Layer]] = {
    "attention": lambda source, fields: AttentionLayer(bias="qkv.bias" in source.arrays, **fields),
    "average_pool": lambda _, fields: PoolLayer(**fields),
    "batch_norm": lambda _, fields: NormLayer(**fields),
    "conv": _placed(ConvLayer),
    "dropout": lambda _, fields: DropoutLayer(**fields),
    "embedding": lambda source, fields: EmbeddingLayer(outputs=source.n_features, **fields),
    "gru": _recurrent,
    "layer_norm": lambda _, fields: NormLayer(**fields),
    "linear": _placed(LinearLayer),
    "lstm": _recurrent,
    "max_pool": lambda _, fields: PoolLayer(**fields),
    "position": lambda _, fields: PositionLayer(**fields),
    "scores": lambda _, fields: ScoresLayer(**fields),
}
