"""From the steps of a sketch to layers with names and weights."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pydantic import ValidationError

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.config.layers import (
    ConvLayer,
    DropoutLayer,
    EmbeddingLayer,
    Layer,
    LinearLayer,
    MergeLayer,
    NormLayer,
    PlainLayer,
    PoolLayer,
    RecurrentLayer,
)
from crossmesh.emulator.config.operators import OperatorLayer
from crossmesh.emulator.onnx_io.opening import FIELD
from crossmesh.emulator.onnx_io.sketch import INPUT, Sketch, SketchedLayer
from crossmesh.emulator.onnx_io.values import Array

FUNCTIONS = ("relu", "gelu", "tanh", "sigmoid", "softmax")
_CLASSES: dict[str, Callable[..., Layer]] = {
    "add": MergeLayer,
    "batch_norm": NormLayer,
    "concat": MergeLayer,
    "conv": ConvLayer,
    "dropout": DropoutLayer,
    "embedding": EmbeddingLayer,
    "global_pool": PlainLayer,
    "gru": RecurrentLayer,
    "layer_norm": NormLayer,
    "linear": LinearLayer,
    "lstm": RecurrentLayer,
    "max_pool": PoolLayer,
    "average_pool": PoolLayer,
    "operator": OperatorLayer,
    **dict.fromkeys(FUNCTIONS, PlainLayer),
}


@dataclass(frozen=True, kw_only=True)
class Assembled:
    """Layers in an order in which each follows what feeds it.

    Attributes:
        layers: The layers.
        weights: Their weights, by published name.
        channels_first: Whether the input is an image whose channels come first in the data.
    """

    layers: list[Layer]
    weights: dict[str, Array]
    channels_first: bool


def assembled(sketch: Sketch, last: str) -> Assembled:
    """Layers up to an output, and their weights.

    Raises:
        ConfigError: If there is none but the input.
    """
    steps = _needed(sketch.steps, last)
    steps, channels_first = _as_image(steps)
    steps = _with_activations(steps)
    if len(steps) < 2:
        raise ConfigError(f"{FIELD} must have an operator between input and output, got none")
    layers: list[Layer] = []
    weights: dict[str, Array] = {}
    before = INPUT
    for name, step in steps.items():
        if name == INPUT:
            continue
        try:
            layers.append(_layer(step, before))
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            raise ConfigError(f"{FIELD} must have valid layers, got {name}: {reason}") from None
        for suffix, array in step.arrays.items():
            weights[f"{name}.{suffix}"] = array
        before = name
    return Assembled(layers=layers, weights=weights, channels_first=channels_first)


def _needed(steps: dict[str, SketchedLayer], last: str) -> dict[str, SketchedLayer]:
    """The steps that one depends on, itself the last."""
    kept = {last}
    for name in reversed(steps):
        if name in kept:
            kept.update(steps[name].inputs)
            if "share" in steps[name].settings:
                kept.add(steps[name].settings["share"])
    found = {name: step for name, step in steps.items() if name in kept or name == INPUT}
    found[last] = found.pop(last)
    return found


def _as_image(steps: dict[str, SketchedLayer]) -> tuple[dict[str, SketchedLayer], bool]:
    """Without the move of channels behind pixels, where the input is used in no other way."""
    axes = steps[INPUT].axes
    users = [step for step in steps.values() if INPUT in step.inputs]
    moved = (axes[1], axes[2], axes[0]) if len(axes) == 3 else None
    is_moved = [
        moved is not None and step.settings.get("operator") == "arrange" and step.axes == moved
        for step in users
    ]
    if not users or not all(is_moved) or users[-1].name == next(reversed(steps)):
        return steps, False
    gone = {step.name for step in users}
    kept = {
        name: replace(step, inputs=tuple(INPUT if i in gone else i for i in step.inputs))
        for name, step in steps.items()
        if name not in gone
    }
    assert moved is not None
    kept[INPUT] = replace(kept[INPUT], axes=moved)
    return kept, True


def _with_activations(steps: dict[str, SketchedLayer]) -> dict[str, SketchedLayer]:
    """Functions behind a linear layer or convolution as its activation."""
    uses: dict[str, int] = {}
    for step in steps.values():
        for name in step.inputs:
            uses[name] = uses.get(name, 0) + 1
    owners = {step.settings["share"] for step in steps.values() if "share" in step.settings}
    taken: dict[str, str] = {}  # what takes the place of a function
    made: dict[str, SketchedLayer] = {}
    for name, step in steps.items():
        inputs = tuple(taken.get(one, one) for one in step.inputs)
        before = made.get(inputs[0]) if inputs else None
        fits = (
            step.kind in FUNCTIONS
            and before is not None
            and before.kind in {"linear", "conv"}
            and uses[step.inputs[0]] == 1
            and step.inputs[0] not in owners
            and "activation" not in before.settings
        )
        if fits and before is not None:
            settings = before.settings | {"activation": step.kind}
            made.pop(before.name)
            made[before.name] = replace(before, settings=settings)
            taken[name] = before.name
        else:
            made[name] = replace(step, inputs=inputs)
    return made


def _layer(step: SketchedLayer, before: str) -> Layer:
    fields: dict[str, Any] = {"name": step.name, **step.settings}
    kind = _CLASSES[step.kind]
    if step.kind == "operator":
        return kind(inputs=step.inputs, **_plain(fields))
    if step.kind in {"add", "concat"}:
        return kind(kind=step.kind, inputs=step.inputs, **fields)
    if step.inputs[0] != before:
        fields["input"] = step.inputs[0]
    return kind(kind=step.kind, **fields)


def _plain(value: Any) -> Any:
    """NumPy's numbers as Python's, and lists as tuples."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return tuple(_plain(one) for one in value)
    return value.item() if isinstance(value, np.generic) else value
