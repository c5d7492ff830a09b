import json
import math

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.plain import PlainNetwork
from crossmesh.common.errors import ConfigError
from crossmesh.emulator.config.loading import load_config
from crossmesh.emulator.executors.local import LocalExecutor
from crossmesh.emulator.runs.callbacks import NoCallbacks
from crossmesh.emulator.runs.directory import RunDirectory, config_digest
from crossmesh.emulator.training.baseline import WHOLE, train_baseline
from crossmesh.emulator.training.training import evaluate, train
from tests.jobs import SCHEDULES, run_folder, small_config, small_job, steps
from tests.zoo import zoo_config

IDEAL_READ = {
    "noise_management": "none",
    "bound_management": "none",
    "dac": None,
    "adc": None,
    "output_noise": 0.0,
}


def layer_weights(executor, layer, shape):
    """A layer's weights, put together from its tiles."""
    weights = np.full(shape, np.nan, np.float32)
    for tile in executor.host.tiles.values():
        if tile.block.layer == layer:
            weights[slice(*tile.block.row_range), slice(*tile.block.col_range)] = tile.weights
    return weights


@settings(max_examples=8)
@given(rows=st.integers(3, 70), cols=st.integers(2, 20))
def test_ideal_tiles_reproduce_the_digital_network(rows, cols):
    """After 1,000 examples every weight agrees within 2e-5, some hundred float32 roundings."""
    job = small_job(
        "ideal",
        training={"epochs": 1, "examples": 1000, "batch": 4, "learning_rate": 0.05},
        tile={"rows": rows, "cols": cols, "read": IDEAL_READ},
    )
    executor = LocalExecutor(job)
    executor.write_initial_weights()
    executor.run(job.epoch(0), lambda progress: None)
    network, feed = PlainNetwork(job), job.feeds["train"]
    for start in range(0, 1000, 4):
        batch = feed.inputs(0, start, start + 4), feed.targets(0, start, start + 4)
        network.step(*batch, 0.05)
    executor.close()
    for layer, weights in network.weights.items():
        there = layer_weights(executor, layer, weights.shape)
        np.testing.assert_allclose(there, weights, atol=2e-5)
        moved = abs(weights - PlainNetwork(job).weights[layer]).max()
        assert moved > 0.05  # it did learn


def test_synchronous_ideal_training_equals_one_large_batch():
    sequential = train(
        small_config("ideal", "sequential", training={"batch": 12}, tile={"read": IDEAL_READ})
    )
    pipelined = train(small_config("ideal", "synchronous", tile={"read": IDEAL_READ}))

    for key in ("train_loss", "test_loss"):
        assert pipelined.summary[key] == pytest.approx(sequential.summary[key], rel=1e-4)


def test_learning_rates_follow_their_epochs():
    points = [{"epoch": 0, "value": 0.1}, {"epoch": 2, "value": 0.01}]
    job = small_job(training={"epochs": 4, "learning_rate": points})

    assert [job.epoch(e).learning_rate for e in range(4)] == [0.1, 0.1, 0.01, 0.01]


def test_mean_squared_error_trains_on_values(tmp_path):
    random = np.random.default_rng(0)
    x = random.uniform(-1, 1, (400, 3)).astype(np.float32)
    y = np.stack([x[:, 0] * 0.5, x.sum(axis=1) * 0.2], axis=1)
    np.savez(tmp_path / "xy.npz", x_train=x[:300], y_train=y[:300], x_test=x[300:], y_test=y[300:])
    config = small_config(
        data={"source": "npz", "file": str(tmp_path / "xy.npz")},
        network=[{"kind": "linear", "outputs": 2}],
        loss="mean_squared_error",
        training={"examples": 300, "test_examples": 100, "epochs": 10, "learning_rate": 0.2},
    )
    summary = train(config).summary

    assert summary["test_accuracy"] is None
    assert summary["test_loss"] < 0.01 < float((y**2).mean()) / 2


def test_a_branch_feeds_two_layers_and_learns():
    """A graph, not a list: a node whose error is gathered from a layer and a function."""
    network = [
        {"kind": "linear", "outputs": 12, "name": "hidden"},
        {"kind": "tanh", "input": "hidden", "name": "bent"},
        {"kind": "linear", "outputs": 10, "input": "bent", "activation": "softmax"},
    ]
    config = small_config("ideal", network=network, training={"epochs": 10, "examples": 500})
    result = train(config)

    assert result.summary["test_accuracy"] > 0.7


def test_a_run_leaves_what_it_says(tmp_path):
    config = small_config(training={"baseline": True})
    directory = RunDirectory(tmp_path / "run")
    result = train(config, directory)

    assert run_folder(directory.path) == {
        "config.yaml",
        "metrics.parquet",
        "baseline.parquet",
        "tiles.parquet",
        "arrays.parquet",
        "summary.json",
        "links.parquet",
        "trace.json",
        "inputs.json",
        "environment.json",
        "recoveries.parquet",
    }
    assert json.loads((directory.path / "summary.json").read_text()) == result.summary
    assert directory.config() == config
    assert pq.read_table(directory.path / "metrics.parquet") == result.history
    tiles = pq.read_table(directory.path / "tiles.parquet")
    assert tiles == result.tiles
    assert tiles.num_rows == result.summary["emulation"]["tiles"]
    assert set(tiles["weight_scale"].to_pylist()) == {1.0}
    assert min(tiles["pulses"].to_pylist()) > 0
    assert pq.read_table(directory.path / "links.parquet") == result.links
    chip = result.summary["chip"]
    assert chip["examples_per_s"] == pytest.approx(1 / chip["interval_s"])
    assert chip["max_link_load"] == max(result.links["load"].to_pylist())
    assert chip["mean_tile_busy"] == pytest.approx(np.mean(tiles["busy"].to_pylist()))
    assert result.summary["examples_trained"] == 100
    metrics = result.history.to_pydict()
    assert metrics["examples"][-1] == 100
    assert metrics["examples"] == sorted(set(metrics["examples"]))
    tested = [e for e, a in zip(metrics["epoch"], metrics["test_accuracy"], strict=True) if a]
    assert tested == [1, 2]


def test_the_baseline_is_the_digital_network():
    config = small_config(training={"baseline": True})
    job = small_job(training={"baseline": True})

    twin, result = train_baseline(job), train(config)
    assert result.baseline_test_accuracy == twin.test().accuracy
    assert result.baseline["test_accuracy"].to_pylist()[-1] == twin.test().accuracy
    assert result.baseline["epoch"].to_pylist() == [*range(1, 1 + config.training.epochs)]
    first = train_baseline(job, epochs=1)
    assert result.baseline["test_loss"][0].as_py() == first.test().loss


def test_the_baseline_joins_blocks_of_rows_and_columns(monkeypatch):
    """As those of more than 65,536 rows or columns are, here of 7 and 5."""
    whole = train_baseline(small_job(training={"baseline": True})).weights
    monkeypatch.setattr(
        "crossmesh.emulator.training.baseline.WHOLE",
        WHOLE.model_copy(update={"rows": 7, "cols": 5}),
    )
    cut = train_baseline(small_job(training={"baseline": True})).weights

    assert cut.keys() == whole.keys()
    for layer, array in whole.items():
        np.testing.assert_allclose(cut[layer], array, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_resumed_run_gives_the_same_bits(schedule, tmp_path):
    config = small_config("soft_bounds", schedule, training={"epochs": 3})
    whole = train(config)
    directory = RunDirectory(tmp_path / "run")

    class Cut(Exception):  # noqa: N818  because it stands for a signal
        pass

    class Cutter(NoCallbacks):
        def row(self, row):
            if row.epoch == 3:
                raise Cut

    with pytest.raises(Cut):
        train(config, directory, Cutter())
    assert len(steps(directory.path)) == 2
    resumed = train(directory.config(), directory, resume=True)

    for key in ("state_digest", "train_loss", "test_loss", "test_accuracy", "examples_trained"):
        assert resumed.summary[key] == whole.summary[key]
    assert resumed.history["loss"] == whole.history["loss"]


def test_a_damaged_checkpoint_is_noticed_and_the_one_before_is_used(tmp_path):
    config = small_config(training={"epochs": 3})
    directory = RunDirectory(tmp_path / "run")
    whole = train(config, directory)
    newest = steps(directory.path)[-1] / "tile-000003.arrow"
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)

    class Notes(NoCallbacks):
        def __init__(self):
            self.notes = []

        def note(self, text):
            if not text.startswith("needs about "):  # which every run says
                self.notes.append(text)

    notes = Notes()
    resumed = train(config, directory, notes, resume=True)

    assert resumed.summary["state_digest"] == whole.summary["state_digest"]
    assert "tile-000003.arrow does not have the checksum that was written" in notes.notes[0]
    assert notes.notes[1] == "resumed after 100 examples"


def test_evaluate_repeats_the_last_test(tmp_path):
    config = small_config()
    directory = RunDirectory(tmp_path / "run")
    summary = train(config, directory).summary
    again = evaluate(directory, config, lambda text: None)

    for key in ("state_digest", "test_loss", "test_accuracy", "examples_trained"):
        assert again[key] == summary[key]


def test_evaluate_needs_a_checkpoint(tmp_path):
    directory = RunDirectory(tmp_path)
    with pytest.raises(ConfigError, match="RUN must have a checkpoint, got "):
        evaluate(directory, small_config(), lambda text: None)


def test_where_a_run_happens_is_no_part_of_its_digest(tmp_path):
    config = small_config()
    moved = small_config(name="other", engine={"kind": "ray"}, data={"directory": str(tmp_path)})

    assert config_digest(moved) == config_digest(config)
    assert config_digest(small_config(seed=1)) != config_digest(config)


def test_weight_scale_auto_fits_the_initial_weights_into_half_of_the_range():
    job = small_job(tile={"weight_scale": "auto"})
    executor = LocalExecutor(job)
    executor.write_initial_weights()
    for tile in executor.host.tiles.values():
        assert 0.2 < abs(tile.crossbar.weights).max() <= 0.300001
    result = train(job.config)
    assert len(set(result.tiles["weight_scale"].to_pylist())) == 3  # one per layer
    executor.close()


@pytest.mark.slow
def test_devices_and_periphery_learn_digits():
    summary = train(load_config("digits", ["engine.kind=local"])).summary

    assert summary["test_accuracy"] >= 0.95
    assert math.isclose(summary["baseline_test_accuracy"], 0.98, abs_tol=0.02)


def test_the_float_twin_normalises_over_the_same_micro_batches():
    config = zoo_config("residual", "ideal", "synchronous", tile={"read": IDEAL_READ},
                        training={"baseline": True})  # fmt: skip
    summary = train(config).summary

    assert summary["baseline_test_loss"] == pytest.approx(summary["test_loss"], rel=1e-5)
