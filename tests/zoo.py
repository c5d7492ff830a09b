"""Small networks of every kind of layer, on real digits and on a text of our own."""

from pathlib import Path
from typing import Any

from crossmesh.emulator.compiler.job import Job, prepare
from crossmesh.emulator.config.run import RunConfig
from tests.jobs import small_config

Layers = list[dict[str, Any]]

TEXT = (Path(__file__).parents[1] / "LICENSE").resolve()
_END: Layers = [{"kind": "linear", "outputs": 10, "activation": "softmax"}]

# Images of 8 x 8 digits.
IMAGES: dict[str, Layers] = {
    "lenet": [
        {"kind": "conv", "outputs": 4, "kernel": 3, "padding": 1, "activation": "relu"},
        {"kind": "max_pool", "kernel": 2},
        {"kind": "conv", "outputs": 9, "kernel": [3, 2], "activation": "tanh"},
        {"kind": "linear", "outputs": 12, "activation": "sigmoid"},
        *_END,
    ],
    "residual": [
        {"kind": "conv", "outputs": 4, "kernel": 3, "padding": 1, "bias": False},
        {"kind": "batch_norm"},
        {"kind": "relu", "name": "a"},
        {"kind": "conv", "outputs": 8, "kernel": 3, "padding": 1, "stride": 2, "bias": False},
        {"kind": "batch_norm"},
        {"kind": "relu"},
        {"kind": "conv", "outputs": 8, "kernel": 3, "padding": 1, "bias": False},
        {"kind": "batch_norm", "name": "b"},
        {"kind": "conv", "outputs": 8, "kernel": 1, "stride": 2, "input": "a", "name": "c"},
        {"kind": "add", "inputs": ["b", "c"]},
        {"kind": "relu"},
        {"kind": "global_pool"},
        *_END,
    ],
    "branches": [
        {"kind": "conv", "outputs": 4, "kernel": 3, "padding": 1, "name": "a"},
        {"kind": "conv", "outputs": 6, "kernel": 3, "padding": 2, "dilation": 2, "groups": 2,
         "activation": "gelu", "name": "b"},
        {"kind": "max_pool", "kernel": 3, "stride": 1, "padding": 1, "input": "a", "name": "c"},
        {"kind": "concat", "inputs": ["b", "c", "a"]},
        {"kind": "average_pool", "kernel": [2, 4]},
        {"kind": "dropout", "rate": 0.2},
        {"kind": "flatten"},
        *_END,
    ],
    "features": [
        {"kind": "conv", "outputs": 5, "kernel": 3, "digital": True, "frozen": True},
        {"kind": "batch_norm", "frozen": True},
        {"kind": "relu"},
        {"kind": "max_pool", "kernel": 2},
        {"kind": "linear", "outputs": 8, "activation": "tanh", "frozen": True},
        {"kind": "linear", "outputs": 8, "activation": "tanh", "digital": True},
        *_END,
    ],
}  # fmt: skip

# Digits as sequences of 8 rows of 8 pixels.
SEQUENCES: dict[str, Layers] = {
    "lstm": [{"kind": "lstm", "outputs": 6}, {"kind": "last"}, *_END],
    "gru": [
        {"kind": "gru", "outputs": 5},
        {"kind": "gru", "outputs": 4, "bias": False},
        {"kind": "last"},
        *_END,
    ],
    "attention": [
        {"kind": "position", "name": "a"},
        {"kind": "attention", "heads": 2, "name": "b"},
        {"kind": "add", "inputs": ["a", "b"]},
        {"kind": "layer_norm"},
        {"kind": "global_pool"},
        *_END,
    ],
}

# A text, with a target for every character.
TEXTS: dict[str, Layers] = {
    "transformer": [
        {"kind": "embedding", "outputs": 12},
        {"kind": "position", "name": "a"},
        {"kind": "layer_norm"},
        {"kind": "attention", "heads": 3, "causal": True, "bias": False, "name": "b"},
        {"kind": "add", "inputs": ["a", "b"], "name": "c"},
        {"kind": "layer_norm"},
        {"kind": "linear", "outputs": 16, "activation": "gelu"},
        {"kind": "linear", "outputs": 12, "name": "d"},
        {"kind": "add", "inputs": ["c", "d"]},
        {"kind": "layer_norm"},
        {"kind": "linear", "outputs": 80, "activation": "softmax"},
    ],
    "characters": [
        {"kind": "embedding", "outputs": 6, "digital": False},
        {"kind": "lstm", "outputs": 8},
        {"kind": "linear", "outputs": 80, "activation": "softmax"},
    ],
}

ZOO: dict[str, Layers] = {**IMAGES, **SEQUENCES, **TEXTS}
BIASES: tuple[str, ...] = ("line", "digital")  # values of tile.bias


def zoo_config(
    name: str, cell: str = "constant_step", schedule: str = "sequential", **changes: Any
) -> RunConfig:
    """A config of a network of the zoo: several tiles per layer, ragged ends."""
    text = {"source": "text", "file": str(TEXT), "steps": 7}
    tree: dict[str, Any] = {"network": ZOO[name], "data": text if name in TEXTS else {}}
    return small_config(cell, schedule, **{**tree, **changes})


def zoo_job(*arguments: Any, **changes: Any) -> Job:
    """The job of such a config."""
    return prepare(zoo_config(*arguments, **changes))
