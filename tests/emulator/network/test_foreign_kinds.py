"""Layers of other packages in every place that asks a layer for something."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import pytest

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.compiler.job import prepare
from crossmesh.emulator.config.layer import NamedLayer, TileLayer
from crossmesh.emulator.config.layers import (
    LAYERS,
    EmbeddingLayer,
    LinearLayer,
    PoolLayer,
)
from crossmesh.emulator.network.assembly import matrix_of, whole
from crossmesh.emulator.onnx_io.published_arrays import Affine
from crossmesh.emulator.runs.directory import RunDirectory
from crossmesh.emulator.training.export import export
from crossmesh.emulator.training.training import train
from crossmesh.tiles.digital import Function
from tests.foreign import OUTPUT, config


@dataclass(frozen=True, kw_only=True, slots=True)
class Product(Function):
    """``y = a * b``."""

    needs_inputs: ClassVar[bool] = True

    def forward(self, inputs: Any, out: Any, call: Any) -> None:
        """Multiply."""
        np.multiply(inputs[0], inputs[1], out=out)

    def backward(self, d: Any, index: int, inputs: Any, y: Any, call: Any) -> Any:
        """The other factor."""
        return d * inputs[1 - index]


class OtherLinear(LinearLayer):
    """A linear layer under another name."""

    kind: Literal["mine.linear"] = "mine.linear"  # type: ignore[assignment]


class OtherPool(PoolLayer):
    """Of a class of several kinds, of which it says none."""

    kind: Literal["mine.pool"] = "mine.pool"  # type: ignore[assignment]


class OtherEmbedding(EmbeddingLayer):
    """An embedding whose vectors are squeezed."""

    kind: Literal["mine.embedding"] = "mine.embedding"  # type: ignore[assignment]

    def lower(self, build: Any, name: str, fed: Any) -> Any:
        """As ours, and a function behind it."""
        return build.activation(name, "tanh", super().lower(build, f"{name}_vectors", fed))


class Gate(NamedLayer):
    """Multiplies its input with that of another layer."""

    kind: Literal["mine.gate"] = "mine.gate"
    gate: str

    @property
    def feeders(self) -> tuple[str | None, ...]:
        """The input, and the gate."""
        return (self.input, self.gate)

    def lower(self, build: Any, name: str, fed: Any) -> Any:
        """One function of both."""
        return build.function(name, fed, Product(), fed[0].shape)


class Noop(NamedLayer):
    """Gives what it takes."""

    kind: Literal["mine.noop"] = "mine.noop"

    @property
    def keeps_shape(self) -> bool:
        """It does nothing."""
        return True

    def lower(self, build: Any, name: str, fed: Any) -> Any:
        """Nothing."""
        return build.join(name, list(map(whole, fed)), fed[0].shape)


class OtherTile(TileLayer):
    """A product without a bias, of two names."""

    kind: Literal["mine.tile"] = "mine.tile"
    outputs: int

    def lower(self, build: Any, name: str, fed: Any) -> Any:
        """A matrix of its own name."""
        matrix = matrix_of(self, build, f"{name}.m", fed[0], self.outputs)
        return build.product(name, build.matrix(self, matrix), fed[0])


class NamedTile(OtherTile):
    """The same, known to files."""

    kind: Literal["mine.named"] = "mine.named"  # type: ignore[assignment]

    def published(self, name: str) -> Any:
        """One weight."""
        return [Affine(matrix=f"{name}.m", weight=f"{name}.w", bias=None, outputs=self.outputs)]

    def to_onnx(self, graph: Any, fed: Any) -> Any:
        """One product."""
        value = graph.node("Gemm", [fed[0].value, graph.published("w")], transB=1)
        return graph.flat(value, self.outputs)


LAYER_KINDS = (OtherLinear, OtherPool, OtherEmbedding, Gate, Noop, OtherTile, NamedTile)


@pytest.fixture(autouse=True)
def _kinds(monkeypatch):
    for cls in LAYER_KINDS:
        monkeypatch.setitem(LAYERS._kinds, cls.model_fields["kind"].default, cls)


# Layers


def test_a_subclass_of_a_layer_of_ours_is_built_like_it():
    theirs = [{"kind": "mine.linear", "outputs": 20, "activation": "tanh", "name": "a"}, OUTPUT]
    ours = [{**theirs[0], "kind": "linear"}, OUTPUT]

    assert train(config(theirs)).state_digest == train(config(ours)).state_digest


def test_a_subclass_of_a_class_of_several_kinds_must_say_how_it_is_built():
    with pytest.raises(ConfigError, match=(
        r"^network\.0\.kind must be of a class with a method lower, got mine\.pool \(layer mine_po"
    )):  # fmt: skip
        prepare(config([{"kind": "mine.pool", "kernel": 2}, OUTPUT]))


def test_a_layer_of_several_inputs_trains():
    network = [
        {"kind": "linear", "outputs": 20, "activation": "tanh", "name": "a"},
        {"kind": "linear", "outputs": 20, "activation": "sigmoid", "name": "b", "input": "input"},
        {"kind": "mine.gate", "gate": "a"},
        OUTPUT,
    ]
    job = prepare(config(network))
    gate = job.network.by_name["mine_gate2"]
    result = train(config(network, training={"epochs": 3, "learning_rate": 0.1, "examples": 200}))

    assert [take.node for take in gate.inputs] == ["b.sigmoid", "a.tanh"]
    assert result.summary["test_accuracy"] > 0.5
    with pytest.raises(
        ConfigError, match=r"^network\.2\.input must be a layer before it .* got c$"
    ):
        prepare(config([*network[:2], {"kind": "mine.gate", "gate": "c"}, OUTPUT]))


def test_a_layer_that_keeps_shapes_lets_the_layer_behind_it_say_what_it_takes():
    conv = {"kind": "conv", "outputs": 4, "kernel": 3, "activation": "relu"}
    job = prepare(config([{"kind": "mine.noop"}, conv, OUTPUT]))

    assert job.network.by_name["input"].shape.image == (8, 8)


def test_an_embedding_takes_tokens(tmp_path):
    (tmp_path / "input.txt").write_text("to be or not to be, " * 40)
    data = {"source": "text", "directory": str(tmp_path), "file": "input.txt", "steps": 6}
    network = [{"kind": "mine.embedding", "outputs": 5}, {**OUTPUT, "outputs": 12}]
    result = train(config(network, data={**data, "file": str(tmp_path / "input.txt")}))

    assert np.isfinite(result.summary["train_loss"])


# Files


@pytest.fixture
def run(tmp_path):
    def trained(kind):
        network = [{"kind": kind, "outputs": 20, "name": "a"}, {"kind": "tanh"}, OUTPUT]
        directory = RunDirectory(tmp_path / kind)
        train(config(network), directory)
        return directory, directory.config([])

    return trained


def test_a_layer_that_no_file_knows_is_refused_in_one_line(run, tmp_path):
    directory, trained = run("mine.tile")
    with pytest.raises(ConfigError, match=(
        r"^layers of kind mine\.tile cannot be written as ONNX, without a method to_onnx \(layer a"
    )):  # fmt: skip
        export(directory, trained, onnx=tmp_path / "a.onnx")
    export(directory, trained, npz=tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as archive:
        assert set(archive) == {"linear2.weight", "linear2.bias"}


def test_a_layer_that_says_how_is_written_to_files(run, tmp_path):
    from onnx.reference import ReferenceEvaluator

    directory, trained = run("mine.named")
    export(directory, trained, onnx=tmp_path / "a.onnx", npz=tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as archive:
        w = archive["a.w"]
        assert w.shape == (20, 64)
        x = np.random.default_rng(0).normal(size=(3, 64)).astype(np.float32)
        logits = np.tanh(x @ w.T) @ archive["linear2.weight"].T + archive["linear2.bias"]
    found = ReferenceEvaluator(str(tmp_path / "a.onnx")).run(None, {"input": x})[0]
    np.testing.assert_allclose(found, logits, atol=1e-5)


def test_a_subclass_of_a_layer_of_ours_is_written_like_it(run, tmp_path):
    directory, trained = run("mine.linear")
    export(directory, trained, onnx=tmp_path / "a.onnx", npz=tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as archive:
        assert archive["a.weight"].shape == (20, 64)


def test_a_layer_that_can_grow_does_so_with_the_number_of_actors():
    from crossmesh.cluster.scaling.plan import grown

    network = config([{"kind": "mine.linear", "outputs": 10}, {"kind": "tanh"}, OUTPUT]).network
    assert [getattr(layer, "outputs", None) for layer in grown(network, 4.0)] == [20, None, 10]
