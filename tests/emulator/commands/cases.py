"""What is trained by the command: a case for all that a config's classes, tables and files name."""

import typing
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic import ValidationError

from crossmesh.emulator.config.layers import Layer
from crossmesh.emulator.config.loading import overrides, presets
from crossmesh.emulator.config.run import RunConfig
from crossmesh.emulator.data import DataConfig
from crossmesh.emulator.data.sources import SOURCES
from tests.emulator.commands.options import (
    NO_KINDS,
    Choice,
    Tree,
    choices,
    kinds,
    laid,
    literals,
    opened,
)

BEGINNING: Tree = {
    "name": "small",
    "data": {"source": "digits"},
    "network": [
        {"kind": "linear", "outputs": 8, "activation": "tanh"},
        {"kind": "linear", "outputs": 10, "activation": "softmax"},
    ],
    "training": {"examples": 10, "test_examples": 6, "batch": 2, "evaluation_batch": 4,
                 "learning_rate": 0.05},
    "tile": {"rows": 40, "cols": 6},
    "chip": {"model": "analytic"},
    "engine": {"kind": "local"},
    "checkpoint": {"every_s": None},
}  # fmt: skip
END: list[Tree] = [{"kind": "linear", "outputs": 10, "activation": "softmax"}]
BY_STEPS: list[Tree] = [{"kind": "linear", "outputs": 90, "activation": "softmax"}]
TEXT: Tree = {"source": "text", "file": "text.txt", "steps": 6}


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is laid on ``BEGINNING``, as ``--set`` does.

    Attributes:
        name: What is new in it.
        fields: The fields that are set, with their values.
        has_classes: Whether its examples belong to classes; None: as the targets are understood.
        needs: What must be there: ``shared`` data sets, or nothing.
    """

    name: str
    fields: Tree
    has_classes: bool | None = True
    needs: str | None = None

    @property
    def options(self) -> list[str]:
        """As they are typed."""
        return [word for text in overrides(self.fields) for word in ("--set", text)]

    def __str__(self) -> str:
        return self.name


# Choices that hold only beside others.
BESIDE: dict[str, Tree] = {
    "training.micro_batch": {"training.schedule": "synchronous"},
    "training.optimizer=sgd, nesterov": {"training.optimizer.momentum": 0.5},
    "training.algorithm": {"tile.cell": {"kind": "soft_bounds"}},
    **{
        f"training.schedule={name}": {"training.batch": 4, "training.micro_batch": 2}
        for name in ("synchronous", "gpipe", "1f1b")
    },
    "tile.cell=pcm_3t1c, transfer.examples_per_row": {"tile.rows": 5},
    "tile.read.wire_model": {"tile.read.wire_resistance": 1e-5},
    "mapping.vectors_per_tile": {"network": [{"kind": "conv", "outputs": 3, "kernel": 3}, *END]},
}  # fmt: skip
# These have cases of their own below; a name is none, and where tiles run changes no result.
APART = {"name", "data", "network", "weights", "calibrate", "loss", "engine"}


def of_sections() -> Iterator[Case]:
    """Every choice of every section: cells, devices, reads, updates, schedules, chips."""
    for name, field in RunConfig.model_fields.items():
        if name in APART:
            continue
        for section in opened([field.rebuild_annotation()]):
            found = choices(section) if hasattr(section, "model_fields") else [("=7", {"": 7})]
            for label, tree in found:
                whole = f"{name}.{label}" if label[0] != "=" else f"{name}{label}"
                beside = [more for start, more in BESIDE.items() if whole.startswith(start)]
                fields = {f"{name}.{key}".rstrip("."): value for key, value in tree.items()}
                yield Case(name=whole, fields={**fields, **(beside[0] if beside else {})})


def of_named_devices() -> Iterator[Case]:
    """Every shipped device, by its name."""
    for name in presets():
        fields: Tree = {"tile.cell": {"extends": name}}
        yield Case(name=f"tile.cell.extends={name}", fields=fields)


def of_named_algorithms() -> Iterator[Case]:
    """Every shipped training algorithm, by its name, on devices that find their symmetry point."""
    cell = {"kind": "soft_bounds", "symmetry_referenced": True, "zero_shift_pulses": 20}
    for name in presets("algorithm"):
        fields: Tree = {"training.algorithm": {"extends": name}, "tile.cell": cell}
        yield Case(name=f"training.algorithm.extends={name}", fields=fields)


# Where a layer stands: what feeds it, itself, what it feeds, and other data than digits.
_IMAGE: Tree = {"kind": "conv", "outputs": 2, "kernel": 3}
_TWO: list[Tree] = [
    {"kind": "linear", "outputs": 5, "name": "a"},
    {"kind": "linear", "outputs": 5, "input": "a", "name": "b"},
]
_plain = partial(dict[str, Any], before=[], after=END, data=None)
LAYERS: dict[str, Tree] = {
    "linear": _plain(layer={"outputs": 6}),
    "conv": _plain(layer={"outputs": 4, "kernel": 3, "padding": 1}),
    "lstm": _plain(layer={"outputs": 4}, after=[{"kind": "last"}, *END]),
    "gru": _plain(layer={"outputs": 4}, after=[{"kind": "last"}, *END]),
    "attention": _plain(layer={"heads": 2}, after=[{"kind": "global_pool"}, *END]),
    "scores": _plain(
        before=[{"kind": "position"}, {"kind": "linear", "outputs": 12}], layer={"heads": 2},
        after=[{"kind": "global_pool"}, *END],
    ),
    "embedding": _plain(layer={"outputs": 6}, after=BY_STEPS, data=TEXT),
    "position": _plain(layer={}, after=[{"kind": "global_pool"}, *END]),
    "max_pool": _plain(layer={"kernel": 2}),
    "average_pool": _plain(layer={"kernel": 2}),
    "global_pool": _plain(before=[_IMAGE], layer={}),
    "flatten": _plain(before=[_IMAGE], layer={}),
    "last": _plain(before=[{"kind": "gru", "outputs": 3}], layer={}),
    "batch_norm": _plain(before=[_IMAGE], layer={}),
    "layer_norm": _plain(layer={}),
    "dropout": _plain(layer={"rate": 0.3}),
    "add": _plain(before=_TWO, layer={"inputs": ["a", "b"]}),
    "operator": _plain(before=_TWO, layer={"operator": "multiply", "inputs": ["a", "b"]}),
    "concat": _plain(before=_TWO, layer={"inputs": ["a", "b"]}),
    **{
        name: _plain(before=[{"kind": "linear", "outputs": 6}], layer={})
        for name in ("identity", "relu", "gelu", "tanh", "sigmoid", "softmax")
    },
}  # fmt: skip


def layer_classes() -> dict[str, Any]:
    """The class of every kind of layer."""
    return {kind: cls for cls in opened([Layer]) for kind in kinds(cls)}


def of_layers() -> Iterator[Case]:
    """Every kind of layer, and every choice of each."""
    for kind, cls in layer_classes().items():
        if kind in LAYERS:
            yield _of_layer(kind, "", {})
            for label, tree in choices(cls):
                yield _of_layer(kind, label, tree)


def _of_layer(kind: str, label: str, tree: Tree) -> Case:
    place = LAYERS[kind]
    layer = {"kind": kind, **place["layer"], **tree}
    fields: Tree = {"network": [*place["before"], layer, *place["after"]]}
    if place["data"]:
        fields["data"] = place["data"]
    return Case(name=f"network: {kind} {label}".rstrip(), fields=fields)


# Files of every source, and a network that they fit where they do not fit the usual one.
DATA: dict[str, Tree] = {
    "digits": {},
    "synthetic": {"inputs": 12, "examples": 20, "test_examples": 10},
    "mnist": {"directory": "data"},
    "mnist-backrand": {"directory": "data"},
    "fashion-mnist": {"directory": "data"},
    "cifar10": {"directory": "data"},
    "text": {"file": "text.txt", "steps": 6},
    "idx": {"directory": "idx"},
    "npz": {"file": "classes.npz"},
    "parquet": {"file": "train.parquet"},
}
_OF_SHARED = {"mnist", "mnist-backrand", "fashion-mnist", "cifar10"}


def of_data() -> Iterator[Case]:
    """Every source, with every choice that it takes."""
    for source in SOURCES:
        if source not in DATA:
            continue
        begun = {"source": source, **DATA[source]}
        for label, tree in [("", {}), *_taken(begun)]:
            fields: Tree = {"data": laid(begun, tree)}
            if source in _OF_SHARED:  # pixels by the hundred, not tiles
                fields["tile.rows"] = 800
            if source == "text":
                fields["network"] = [{"kind": "embedding", "outputs": 6}, *BY_STEPS]
            yield Case(
                name=f"data: {source} {label}".rstrip(), fields=fields,
                needs="shared" if source in _OF_SHARED else None,
            )  # fmt: skip
    fields = {"data": {"source": "parquet", "file": "train.parquet", "test_file": "test.parquet"}}
    yield Case(name="data: parquet test_file", fields=fields)
    for file in ("tokens.npz", "tokens.parquet"):
        source = file.partition(".")[2]
        fields = {
            "data": {"source": source, "file": file, "tokens": 17},
            "network": [{"kind": "embedding", "outputs": 6}, *BY_STEPS],
        }
        yield Case(name=f"data: {source} tokens", fields=fields)
        columns = {"source": source, "file": f"columns.{source}", "columns": ["a", "b"]}
        yield Case(name=f"data: {source} columns", fields={"data": columns})


def _taken(begun: Tree) -> Iterator[Choice]:
    for label, tree in choices(DataConfig):
        if "source" in tree:
            continue
        try:
            DataConfig(**laid(begun, tree))
        except ValidationError:  # this source does not take it
            continue
        yield label, tree


def _last(activation: str, outputs: int = 10) -> list[Tree]:
    return [*BEGINNING["network"][:1],
            {"kind": "linear", "outputs": outputs, "activation": activation}]  # fmt: skip


# Targets and a last layer for every loss.
LOSSES: dict[str, list[Case]] = {
    "cross_entropy": [
        Case(name="loss: cross_entropy of classes", fields={}),
        Case(name="loss: cross_entropy of one-hot targets",
             fields={"data": {"source": "npz", "file": "one-hot.npz"}}),
    ],
    "mean_squared_error": [
        Case(name="loss: mean_squared_error of classes", fields={"network": _last("sigmoid")}),
        Case(name="loss: mean_squared_error of values", has_classes=False,
             fields={"data": {"source": "npz", "file": "values.npz"},
                     "network": _last("tanh", 2)}),
    ],
    "binary_cross_entropy": [
        Case(name="loss: binary_cross_entropy", has_classes=None,
             fields={"data": {"source": "npz", "file": "several.npz"},
                     "network": _last("sigmoid")}),
    ],
}  # fmt: skip


def losses() -> set[str]:
    """The losses that a config can name."""
    return set(literals(RunConfig.model_fields["loss"].rebuild_annotation()))


def of_losses() -> Iterator[Case]:
    """Every loss."""
    for loss in sorted(losses() & LOSSES.keys()):
        for case in LOSSES[loss]:
            fields = {"loss": loss, **case.fields}
            yield Case(name=case.name, fields=fields, has_classes=case.has_classes)


def networks_from_files() -> dict[str, Tree]:
    """Every field of an imported network, on ``trained.onnx``, which ``BEGINNING`` came to."""
    onnx = {"onnx": "trained.onnx"}
    changed = {"linear0": {"digital": True, "frozen": True}, "*1": {"tile": {"rows": 30}}}
    return {
        "onnx": onnx,
        "weights": {**onnx, "weights": "new"},
        "input_shape": {**onnx, "input_shape": [64]},
        "constants": {**onnx, "constants": {}},  # files with some: tests/emulator/onnx_io
        "output": {**onnx, "output": "output"},
        "until": {**onnx, "until": "linear0", "then": END},
        "then": {**onnx, "until": "linear0", "then": [{"kind": "relu"}, *END]},
        "layers": {**onnx, "layers": changed},
    }


def of_imports() -> Iterator[Case]:
    """A network, or its weights, from files that ``crossmesh export`` writes."""
    for field, network in networks_from_files().items():
        yield Case(name=f"network: from onnx, {field}", fields={"network": network})
    yield Case(name="weights", fields={"weights": "trained.npz"})
    yield Case(name="calibrate", fields={"weights": "trained.npz", "calibrate": True})


def imported_fields() -> set[str]:
    """The fields of an imported network."""
    (imported,) = (cls for cls in typing.get_args(RunConfig.model_fields["network"].annotation)
                   for cls in opened([cls]) if hasattr(cls, "model_fields"))  # fmt: skip
    return set(imported.model_fields) - NO_KINDS


def of_bit_lines() -> Iterator[Case]:
    """Scales of the bit lines of one layer."""
    tile = {"tile": {"line_scales": [1 / (j + 1) for j in range(8)]}}
    layers = [{**BEGINNING["network"][0], **tile}, *BEGINNING["network"][1:]]
    yield Case(name="network.0.tile.line_scales", fields={"network": layers})


CASES: list[Case] = [
    *of_sections(), *of_named_devices(), *of_named_algorithms(), *of_layers(), *of_data(),
    *of_losses(), *of_imports(), *of_bit_lines(),
]  # fmt: skip
