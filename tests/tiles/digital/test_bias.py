"""Biases on a word line and in digital parameters: what each costs, and what stays the same."""

import json
import math
import sys
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.chip.report import chip_of
from crossmesh.emulator.cli import main
from crossmesh.emulator.compiler.job import prepare
from crossmesh.emulator.compiler.mapping import is_bias
from crossmesh.emulator.config.layer import TileLayer
from crossmesh.emulator.config.layers import LinearLayer
from crossmesh.emulator.config.loading import dumped, load_config
from crossmesh.emulator.executors.local import LocalExecutor
from crossmesh.emulator.executors.placement import tile_sizes
from crossmesh.emulator.layout.layout import lay_out
from crossmesh.emulator.layout.table import layout_json, rows
from crossmesh.emulator.runs.directory import RunDirectory
from crossmesh.emulator.training.baseline import FloatTwin
from crossmesh.emulator.training.export import held_weights
from crossmesh.emulator.training.training import train
from crossmesh.tiles.analog.block import Block
from crossmesh.tiles.analog.footprint import OBJECT_BYTES, tile_bytes
from crossmesh.tiles.analog.programmed import MODELS
from crossmesh.tiles.analog.retention import Aging
from crossmesh.tiles.analog.tile import Tile
from crossmesh.tiles.analog.tile_config import TileConfig
from crossmesh.tiles.digital import DigitalMemory, add_bias, learn_bias
from crossmesh.tiles.runtime.program import Kind
from tests.emulator.training.test_training import IDEAL_READ
from tests.jobs import SCHEDULES, Recorder, small_config, small_job
from tests.layers_oracle import evaluate
from tests.zoo import BIASES, TEXTS, ZOO, zoo_config, zoo_job

IDEAL = {"cell": {"kind": "ideal"}, "read": IDEAL_READ}
rng = np.random.default_rng(0)


def ideal(bias, **tile):
    return {"tile": {**IDEAL, "bias": bias, **tile}}


def biases_of(job):
    """The digital biases of a job, by matrix."""
    blocks = job.program.blocks
    return {b.layer: b.tile for b in blocks if is_bias(job.network.matrices.get(b.layer), b)}


# --- The parameters ---


def test_a_bias_is_added_to_every_vector():
    y, parameters = rng.normal(size=(5, 3)).astype(np.float32), np.array([[1, -2, 0.5]], np.float32)
    expected = y + parameters

    add_bias(y, parameters)

    np.testing.assert_array_equal(y, expected)


def test_a_bias_moves_by_the_errors_of_all_vectors():
    parameters, d = rng.normal(size=(1, 3)).astype(np.float32), rng.normal(size=(500, 3))
    expected = parameters + 0.1 * d.astype(np.float32).astype(float).sum(axis=0)

    learn_bias(parameters, d.astype(np.float32), 0.1)

    np.testing.assert_array_equal(parameters, expected.astype(np.float32))


# --- Reads of small inputs ---


def relative(y, exact):
    return math.sqrt(((y - exact) ** 2).mean() / (exact**2).mean())


@pytest.mark.parametrize("most", [0.1, 0.02, 0.005])
def test_a_read_of_small_inputs_errs_little_without_the_line_of_the_bias(most):
    """A tile reads inputs up to ``most`` with its default converters and bound management."""
    n, w = 64, rng.normal(0, 0.3, (65, 8)).astype(np.float32)
    x = (most * rng.uniform(-1, 1, (200, n))).astype(np.float32)
    config = TileConfig(
        **validated_tile({"cell": {"kind": "ideal"}, "read": {"output_noise": 0.0}})
    )

    def reads(lines, inputs):
        tile = Tile(config, Block(tile=0, layer="a", row=0, col=0, shape=(lines, 8)), 1.0, 0)
        tile.write(w[:lines])
        return tile.forward(inputs, 0)

    on_line = reads(n + 1, np.hstack([x, np.ones((200, 1), np.float32)])) - w[n]
    beside = reads(n, x)

    add_bias(beside, w[n:])
    assert relative(beside - w[n], x @ w[:n]) < 0.015
    assert relative(on_line, x @ w[:n]) > 0.1


def validated_tile(tile):
    config = small_config(
        tile=tile, network=[{"kind": "linear", "outputs": 10, "activation": "softmax"}]
    )
    return {name: getattr(config.tile, name) for name in ("cell", "read")}


SMALL_INPUTS = """
name: small-inputs
data: {source: npz, file: xy.npz}
network: [{kind: linear, outputs: 8, name: a}]
weights: w.npz
loss: mean_squared_error
training: {epochs: 1, examples: 8, learning_rate: 1.0e-9}
tile: {bias: BIAS, cell: {kind: ideal}, read: {output_noise: 0.0}}
engine: {kind: local}
"""


@pytest.fixture
def run(monkeypatch, capsys):
    """The command within this process: what it prints, as JSON or as it is."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["crossmesh", *map(str, arguments)])
        code = main.run()
        out, err = capsys.readouterr()
        return (code, err) if code else json.loads(out)

    return run


@pytest.mark.parametrize("most", [0.1, 0.02, 0.005])
def test_small_inputs_through_the_commands(most, run, tmp_path, monkeypatch):
    """The error of evaluate and train beside exact targets, relative to the product's size."""
    monkeypatch.chdir(tmp_path)
    w, b = rng.normal(0, 0.3, (8, 64)), rng.normal(0, 0.3, 8)
    x = most * rng.uniform(-1, 1, (200, 64))
    product = (x @ w.T).astype(np.float32)
    arrays = {"x_train": x, "y_train": product + b, "x_test": x, "y_test": product + b}
    np.savez("xy.npz", **{name: a.astype(np.float32) for name, a in arrays.items()})
    np.savez("w.npz", **{"a.weight": w, "a.bias": b})

    def error(*arguments):
        loss = run(*arguments, "--json")["test_loss"]
        return math.sqrt(2 * loss / float((product**2).mean()))

    for bias, rule in (("digital", lambda e: e < 0.015), ("line", lambda e: e > 0.1)):
        chosen = f"{bias}.yaml"
        (tmp_path / chosen).write_text(SMALL_INPUTS.replace("BIAS", bias))
        assert rule(error("evaluate", chosen))
        assert rule(error("train", chosen, "--run-dir", bias, "--quiet"))


# --- Values: the same as on an ideal line, and as a naive network ---


def trained(job, epochs=1):
    executor = LocalExecutor(job)
    executor.write_initial_weights()
    for number in range(epochs):
        executor.run(job.epoch(number), lambda progress: None)
    return executor


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("name", ZOO)
def test_on_ideal_tiles_both_learn_the_same_weights(name, schedule):
    """Weights and gradients of every kind of layer, within some hundred float32 roundings."""
    held = {}
    for bias in BIASES:
        job = zoo_job(name, schedule=schedule, **ideal(bias))
        executor = trained(job)
        held[bias] = held_weights(job, executor)
        executor.close()
        first = {n: m for n, m in held_at_first(job).items() if n.endswith("bias")}

    assert list(held["line"]) == list(held["digital"])
    for weight, array in held["line"].items():
        np.testing.assert_allclose(held["digital"][weight], array, atol=3e-5, err_msg=weight)
    moved = [n for n in first if not np.array_equal(first[n], held["digital"][n])]
    frozen = {"features": 2}.get(name, 0)
    assert len(moved) >= len(first) - frozen - len(_norms(job))


def _norms(job):
    return [layer for layer in job.layers if layer.kind.endswith("norm")]


def held_at_first(job):
    executor = LocalExecutor(job)
    executor.write_initial_weights()
    executor.close()
    return held_weights(job, executor)


def inputs_of(job, examples):
    if job.tokens is not None:
        return examples.inputs.reshape(len(examples), -1).astype(int)
    return examples.inputs.reshape(-1, *job.example_shape)


@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize("name", ZOO)
def test_a_trained_network_computes_what_a_naive_one_does(name, bias):
    job = zoo_job(name, **ideal(bias))
    executor, recorder = trained(job), Recorder()
    executor.host.program = replace(job.program, loss=recorder)
    executor.host.join(None)
    executor.run(job.evaluation(0), lambda progress: None)
    executor.close()

    x = inputs_of(job, job.dataset.test)
    expected = evaluate(job.layers, held_weights(job, executor), x)

    outputs = np.concatenate(recorder.outputs)
    np.testing.assert_allclose(outputs, expected.reshape(outputs.shape), atol=2e-5)


@pytest.mark.parametrize("name", ["lenet", "branches", "lstm", "gru", "attention"])
def test_biases_follow_the_gradient(name):
    """One step from the first weights, beside differences of the naive network's loss."""
    changes = {"examples": 4, "batch": 4, "epochs": 1, "learning_rate": 0.5, "shuffle": False}
    network = [layer for layer in ZOO[name] if layer["kind"] != "dropout"]
    job = zoo_job(name, network=network, training=changes, **ideal("digital"))
    before = held_at_first(job)
    executor = trained(job)
    after = held_weights(job, executor)
    executor.close()
    x, classes = inputs_of(job, job.dataset.train), job.dataset.train.targets

    def loss(weights):
        y = evaluate(job.layers, weights, x)
        return -np.log(y[np.arange(len(y)), classes]).sum()

    layers = {layer.name for layer in job.layers if isinstance(layer, TileLayer)}
    checked = [w for w in before if "bias" in w and w.partition(".")[0] in layers]
    for bias in checked:
        slope = np.zeros(before[bias].shape)
        for k in range(len(slope)):
            step = np.zeros(slope.shape)
            step[k] = 1e-5
            up, down = (loss({**before, bias: before[bias] + s * step}) for s in (1, -1))
            slope[k] = (up - down) / 2e-5
        moved = (after[bias].astype(float) - before[bias]) / 0.5
        np.testing.assert_allclose(moved, -slope, rtol=2e-3, atol=2e-5, err_msg=bias)
    assert checked


# --- The same bits ---


@pytest.mark.parametrize("cell", ["pcm_3t1c", "pcm", "soft_bounds"])
def test_the_weights_of_tiles_learn_beside_a_digital_bias_on_any_cell(cell):
    result = train(small_config(cell, "asynchronous", tile={"bias": "digital"}))

    assert result.summary["test_loss"] < 2.5
    assert result.tiles.num_rows == len(small_job(cell, tile={"bias": "digital"}).program.blocks)


def test_a_bias_is_saved_digested_and_loaded(tmp_path):
    job = small_job(tile={"bias": "digital"})
    executor = trained(job)
    files, digests = executor.save(str(tmp_path)), executor.digests()
    executor.close()
    other = LocalExecutor(job)
    other.load(str(tmp_path), files)
    other.close()
    number = biases_of(job)["linear0"]

    assert other.digests() == digests
    parameters = other.host.tiles[number].parameters
    np.testing.assert_array_equal(parameters, executor.host.tiles[number].parameters)
    parameters += 1
    assert [a == b for a, b in zip(other.digests(), digests, strict=True)].count(False) == 1


def test_first_biases_are_those_of_the_line():
    first = {bias: held_at_first(small_job("ideal", tile={"bias": bias})) for bias in BIASES}

    for name in ("linear0.bias", "linear1.bias", "linear2.bias"):
        np.testing.assert_allclose(first["digital"][name], first["line"][name], atol=1e-7)


def test_the_float_twin_learns_the_same_wherever_the_bias_lies():
    weights = {}
    for bias in BIASES:
        twin = FloatTwin(small_job(tile={"bias": bias}))
        twin.train(0)
        weights[bias] = twin.weights

    for layer, array in weights["line"].items():
        np.testing.assert_allclose(weights["digital"][layer], array, atol=1e-5)


def test_a_bias_does_not_age():
    job = small_job(tile={"bias": "digital"})
    executor = LocalExecutor(job)
    executor.write_initial_weights()
    before = executor.digests()
    executor.age(Aging(model=MODELS["pcm"], repetition=0, after_s=3e7, compensated=False))
    tiles = executor.host.tiles
    executor.close()

    assert executor.digests() == before
    assert all(isinstance(tiles[number], DigitalMemory) for number in biases_of(job).values())


def test_frozen_layers_keep_their_bias():
    layers = [
        {"kind": "linear", "outputs": 9, "activation": "tanh", "frozen": True},
        {"kind": "linear", "outputs": 10, "activation": "softmax"},
    ]
    job = small_job(network=layers, tile={"bias": "digital"})
    executor = trained(job)
    executor.close()
    after = held_weights(job, executor)
    before = held_at_first(job)

    np.testing.assert_array_equal(after["linear0.bias"], before["linear0.bias"])
    assert not np.array_equal(after["linear1.bias"], before["linear1.bias"])


def test_copies_of_tiles_share_one_bias():
    job = zoo_job("lenet", mapping={"vectors_per_tile": 20}, tile={"bias": "digital"})

    assert sum(b.layer == "conv0" and b.home is None for b in job.program.blocks) == 4
    assert [b.shape for b in job.program.blocks if b.layer == "conv0" and b.home is not None] == [
        (1, 4)
    ]


# --- What it is made of: map, chip, memory ---


def test_a_layer_may_choose_for_itself():
    layers = [
        {"kind": "linear", "outputs": 12, "activation": "tanh", "tile": {"bias": "line"}},
        {"kind": "linear", "outputs": 10, "activation": "softmax"},
    ]
    job = small_job(network=layers, tile={"bias": "digital"})

    assert list(biases_of(job)) == ["linear1"]
    assert {n: m.lines for n, m in job.network.matrices.items()} == {"linear0": 65, "linear1": 12}
    matrices = [layer["matrices"][0] for layer in layout_json(lay_out(job))["layers"][::2]]
    assert [matrix["bias"] for matrix in matrices[:1]] == ["line"]


def test_the_map_tells_where_biases_are():
    job = zoo_job("lenet", tile={"bias": "digital"})
    layout = lay_out(job)
    lines = [" | ".join(row) for row in rows(layout)]

    assert lines[1] == "conv0 | conv | 4 x 8 x 8 | 9 x 4 | 64 | 1 x 1 | 27 % | 0 | tile 0 | 36 + 4"
    assert layout.parameters == 4 + 9 + 12 + 10
    reported = {m["name"]: m for layer in layout_json(layout)["layers"] for m in layer["matrices"]}
    assert (reported["conv0"]["bias"], reported["conv0"]["weights"]) == ("digital", 36)
    features = layout_json(lay_out(zoo_job("features", tile={"bias": "line"})))["layers"]
    assert [m["bias"] for layer in features for m in layer["matrices"]] == [
        "digital", "line", "digital", "line",
    ]  # fmt: skip


def test_memory_counts_the_bias_at_the_tile_that_it_is_beside():
    line, digital = (tile_sizes(small_job("ideal", tile={"bias": bias})) for bias in BIASES)
    first = small_job("ideal", tile={"bias": "digital"}).program.blocks[0]
    config = small_job("ideal").config.tile

    assert digital[0] == tile_bytes(config, first.shape) + 16 * 4 + OBJECT_BYTES
    assert len(digital) <= len(line)


def test_the_chip_counts_the_digital_unit_and_no_word_line():
    events = {}
    for bias in BIASES:
        job = small_job(training={"batch": 1}, tile={"rows": 128, "cols": 64, "bias": bias})
        report = chip_of(job)
        events[bias] = report.energy.events
        assert report.time.interval_s > 0
    outputs = 16 + 9 + 10
    changed = Counter(events["digital"])
    changed.subtract(events["line"])
    backward = 9 + 10  # conversions of word lines in backward reads, which the first layer has not

    assert changed["dac"] == -3
    assert changed["cell_read"] == -outputs - backward
    assert changed["line_pulse"] < 0
    assert changed["adc"] == changed["sample_hold"] == -2
    # one sum and one multiplication by the rate for each bias; a backward sum less for two lines
    assert changed["digital"] >= 2 * outputs - 2


def test_operations_of_the_program_are_those_of_a_bias():
    job = small_job(tile={"bias": "digital"})
    number = biases_of(job)["linear0"]
    at = [(op.kind, op.node) for op in job.program.operations if op.tile == number]

    assert at[0] == (Kind.SUM, "linear0")
    assert at[-1] == (Kind.LEARN, "linear0")
    assert not next(op for op in job.program.operations if op.kind is Kind.INPUT).has_ones


# --- Configs ---


@pytest.mark.parametrize(
    ("network", "rule"),
    [
        (
            [{"kind": "linear", "outputs": 10, "bias": False, "activation": "softmax",
              "tile": {"bias": "line"}}],
            "network.0.tile.bias must be that of the section tile (digital) where a layer has no "
            "bias, got line",
        ),
        (
            [{"kind": "linear", "outputs": 10, "activation": "softmax", "tile": {"bias": "both"}}],
            "network.0.tile.bias must be 'line' or 'digital', got 'both'",
        ),
        (
            [{"kind": "linear", "outputs": 9, "digital": True, "tile": {"bias": "digital"}},
             {"kind": "linear", "outputs": 10, "activation": "softmax"}],
            "network.0.tile must be left out of a layer in digital memory, got one (layer linear0)",
        ),
    ],
)  # fmt: skip
def test_what_has_no_effect_is_refused(network, rule):
    with pytest.raises(ConfigError) as refused:
        prepare(small_config(network=network, tile={"bias": "digital"}))
    assert str(refused.value) == rule


def test_a_layer_of_tokens_has_no_bias():
    layers = [{**TEXTS["characters"][0], "tile": {"bias": "line"}}, *TEXTS["characters"][1:]]
    with pytest.raises(ConfigError, match=r"network\.0\.tile\.bias must be that of the section"):
        zoo_config("characters", network=layers, tile={"bias": "digital"})


def test_a_layer_without_bias_takes_other_settings_of_its_tile_and_the_config_loads_again(tmp_path):
    layers = [
        {"kind": "linear", "outputs": 9, "bias": False, "tile": {"rows": 30}},
        {"kind": "linear", "outputs": 10, "activation": "softmax"},
    ]
    config = small_config(network=layers, tile={"bias": "line"})
    (tmp_path / "again.yaml").write_text(dumped(config))

    assert load_config(tmp_path / "again.yaml") == config
    assert isinstance(config.network[0], LinearLayer)
    assert config.network[0].tile.bias == "line"


def test_a_run_of_before_there_was_a_choice_has_its_biases_on_lines(tmp_path):
    text = dumped(small_config(tile={"bias": "line"})).replace("  bias: line\n", "")
    assert "bias: line" not in text
    (tmp_path / "config.yaml").write_text(text)

    assert RunDirectory(tmp_path).config() == small_config(tile={"bias": "line"})
    assert load_config(tmp_path / "config.yaml").tile.bias == "digital"
