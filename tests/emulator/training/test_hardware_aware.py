"""Hardware-aware training: noisy reads, clean weights, learned ranges, and memories afterwards."""

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from crossmesh.common.errors import ConfigError
from crossmesh.common.random import Stream
from crossmesh.emulator.compiler.job import prepare
from crossmesh.emulator.config.loading import validated
from crossmesh.emulator.executors.local import LocalExecutor
from crossmesh.emulator.executors.placement import tile_sizes
from crossmesh.emulator.runs.directory import RunDirectory
from crossmesh.emulator.training.baseline import FloatTwin
from crossmesh.emulator.training.retention import age
from crossmesh.emulator.training.training import train
from crossmesh.tiles.analog.algorithms import HardwareAware
from crossmesh.tiles.analog.algorithms.hardware_aware import InputRange, WeightClip
from crossmesh.tiles.analog.block import Block
from crossmesh.tiles.analog.programmed import MODELS
from crossmesh.tiles.analog.read import ReadConfig
from crossmesh.tiles.analog.tile_config import TileConfig
from crossmesh.tiles.digital import AwareTile, GradientDescent, Rule
from crossmesh.tiles.runtime.program import NOTHING
from tests.emulator.training.test_training import IDEAL_READ
from tests.jobs import small_config, small_job

KINDS = ("additive", "multiplicative", "programming")
FULL = {"kind": "hardware_aware", "weight_noise": 0.1, "clip": {"value": 0.6},
        "input_range": {"init_from_data": 3}}  # fmt: skip
ADAM = {"kind": "adam", "learning_rate": 0.01}
rng = np.random.default_rng(0)


def aware_config(algorithm=FULL, schedule="sequential", **changes):
    training = {"algorithm": algorithm, "optimizer": ADAM, **changes.pop("training", {})}
    return small_config("constant_step", schedule, training=training, **changes)


def tile_of(read=IDEAL_READ, scale=1.0, shape=(20, 9), **settings):
    """A tile alone, with drawn weights, in the training of its first update."""
    aware = HardwareAware(**settings)
    config = TileConfig(cell=aware.cell(TileConfig().cell), read=ReadConfig.model_validate(read))
    rule = Rule(optimizer=GradientDescent(), learned_rows=99, decayed_rows=99, aware=aware)
    tile = AwareTile(config, Block(tile=3, layer="a", row=0, col=0, shape=shape), scale, 7, rule)
    tile.write(rng.normal(0, 0.3, shape).astype(np.float32))
    tile.begin(None)
    return tile


def drawn(*shape):
    return rng.normal(0, 1, shape).astype(np.float32)


# ---------------------------------------------------------------- one tile


@pytest.mark.parametrize("kind", KINDS)
def test_forward_and_backward_see_the_same_noisy_weights_and_updates_none(kind):
    tile = tile_of(weight_noise=0.2, noise_kind=kind, scale=0.5)
    clean, eye = tile.weights, np.eye(20, dtype=np.float32)
    tile.see(40)
    forward = tile.forward(eye, 0)
    backward = tile.backward(np.eye(9, dtype=np.float32), 0)

    np.testing.assert_array_equal(forward, backward.T)
    assert abs(forward - clean).max() > 0.01
    np.testing.assert_array_equal(tile.weights, clean)

    x, d = drawn(4, 20), drawn(4, 9)
    tile.update(x, d, 0.1, 0)
    tile.step(0.1)
    np.testing.assert_allclose(tile.weights, clean + 0.1 * x.T @ d, atol=1e-5)


def test_noise_is_that_of_the_update_and_of_the_tile():
    tile, eye = tile_of(weight_noise=0.2), np.eye(20, dtype=np.float32)

    def seen(update):
        tile.see(update)
        return tile.forward(eye, 0)

    first, other = seen(0), seen(8)
    assert abs(first - other).max() > 0.01
    np.testing.assert_array_equal(seen(0), first)
    assert abs(seen(2**32) - first).max() > 0.01
    tile.begin(5)
    np.testing.assert_array_equal(tile.forward(eye, 0), tile.weights)


@pytest.mark.parametrize("kind", KINDS)
def test_noise_has_the_spread_that_its_kind_says(kind):
    weights = np.linspace(-0.8, 0.8, 5, dtype=np.float32).reshape(1, 5).repeat(4000, axis=0)
    aware = HardwareAware(weight_noise=0.1, noise_kind=kind)
    apart = aware.perturbed(weights, Stream(seed=1, owner=2), 16) - weights
    spread = apart.std(axis=0)

    if kind == "programming":  # as of one memory at its target, and of another at 0 or above
        model = MODELS["pcm"]
        expected = 0.8 * 0.1 * model.scatter(abs(weights[0]) / 0.8, 0.0) / model.full_scale_siemens
        assert (spread[[0, 1, 3, 4]] > 0.97 * expected[[0, 1, 3, 4]]).all()
        assert (spread < 1.5 * expected + 0.001).all()
    else:
        expected = 0.1 * (abs(weights[0]) if kind == "multiplicative" else np.full(5, 0.8))
        np.testing.assert_allclose(spread, expected, rtol=0.05, atol=1e-6)
        assert (abs(apart.mean(axis=0)) < 0.01).all()


@pytest.mark.parametrize(("clip", "expected"), [({"value": 0.25}, 0.25), ({"sigma": 1.5}, None)])
def test_weights_are_clipped_after_a_step(clip, expected):
    tile = tile_of(clip=WeightClip(**clip), scale=0.5)
    largest = expected or 1.5 * tile.weights.std(dtype=np.float64)
    tile.step(0.1)

    assert abs(tile.weights).max() == pytest.approx(largest, rel=1e-5)


# ---------------------------------------------------------------- input ranges


def test_inputs_fill_the_dac_within_the_range():
    read = {**IDEAL_READ, "dac": {"bits": 4, "range": 1.0}}
    tile = tile_of(read, input_range=InputRange(init_value=2.0))
    x = np.zeros((3, 20), np.float32)
    x[0, 0], x[1, 0], x[2, 0] = 1.0, 2.0, 5.0
    y = tile.forward(x, 0) / tile.weights[0]

    np.testing.assert_allclose(y[0], 1.0, atol=2.0 / 14)
    np.testing.assert_allclose(y[1:], 2.0, rtol=1e-5)


def test_clipped_inputs_have_no_error():
    tile = tile_of(input_range=InputRange(init_value=1.0))
    x, d = drawn(8, 20), drawn(8, 9)
    tile.forward(x, 32)
    z = tile.backward(d, 32)

    np.testing.assert_array_equal(z, np.where(abs(x) > 1, 0, d @ tile.weights.T))
    tile.update(x, d, 0.1, 32)
    assert (tile.backward(d, 32) != 0).all()


def test_a_range_begins_as_standard_deviations_of_the_inputs():
    tile = tile_of(input_range=InputRange(init_from_data=2, init_std_alpha=2.0))
    deviations = []
    for factor in (1.0, 3.0):
        x = np.float32(factor) * drawn(64, 20)
        deviations.append(x.std(dtype=np.float64))
        tile.update(x[:40], drawn(40, 9), 0.1, 0)
        tile.update(x[40:], drawn(24, 9), 0.1, 40)  # however a batch is cut
        tile.step(0.1)

    assert tile.state()["input_range"] == pytest.approx(2 * np.mean(deviations), rel=1e-5)


def test_a_range_follows_the_slope_of_its_clipped_inputs():
    """What would widen it, by finite differences; without a decay, nothing else moves it."""
    settings = InputRange(init_value=1.0, init_from_data=0, decay=0.0)
    tile = tile_of(input_range=settings)
    x, d = drawn(8, 20), drawn(8, 9)
    z = d @ tile.weights.T
    wider = np.maximum(z[x >= 1], 0).sum() - np.minimum(z[x <= -1], 0).sum()
    tile.update(x, d, 0.01, 0)
    tile.step(0.01)

    assert tile.state()["input_range"] == pytest.approx(1 + 0.01 * wider, rel=1e-5)


def test_a_range_decays_while_few_inputs_are_clipped():
    tile = tile_of(input_range=InputRange(init_value=50.0, init_from_data=0, decay=0.01))
    tile.update(drawn(8, 20), drawn(8, 9), 0.1, 0)
    tile.step(0.1)

    assert tile.state()["input_range"] == pytest.approx(50 - 0.1 * 0.01 * 8 * 50)


# ---------------------------------------------------------------- networks


def digests(job, spans=1):
    with threadpool_limits(1):
        executor = LocalExecutor(job)
        executor.write_initial_weights()
        size = job.n_train // spans
        for start in range(0, job.n_train, size):
            executor.run(
                job.span(0, start, min(start + size, job.n_train), NOTHING), lambda p: None
            )
        return executor.digests()


def test_spans_change_no_bit():
    job = prepare(aware_config(schedule="synchronous", training={"batch": 10, "micro_batch": 5}))

    assert digests(job) == digests(job, 5)


def test_micro_batches_see_the_noise_of_their_batch():
    """Nothing but roundings depends on how a batch is cut; converters would make steps of them."""
    found = []
    for schedule, size in (("sequential", 10), ("synchronous", 5)):
        training = {"batch": 10, "micro_batch": size, "optimizer": {"kind": "sgd"}}
        job = prepare(aware_config(schedule=schedule, training=training, tile={"read": IDEAL_READ}))
        with threadpool_limits(1):
            executor = LocalExecutor(job)
            executor.write_initial_weights()
            executor.run(job.epoch(0), lambda progress: None)
            found.append([tile.weights for tile in executor.host.tiles.values()])

    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_resumed_run_has_the_same_bits(tmp_path):
    config = aware_config(training={"epochs": 3})
    straight = train(config)
    short = config.training.model_copy(update={"epochs": 1})
    train(config.model_copy(update={"training": short}), tmp_path / "run")

    assert train(config, tmp_path / "run", resume=True).state_digest == straight.state_digest


@pytest.mark.slow
def test_actors_change_no_bit():
    config = aware_config()
    ray = {"kind": "ray", "tiles_per_actor": 4}
    tree = config.model_dump(mode="json")

    assert train(validated({**tree, "engine": ray})).state_digest == train(config).state_digest


def test_without_noise_and_periphery_it_is_the_float_twin():
    config = aware_config(
        {"kind": "hardware_aware"}, training={"epochs": 1}, tile={"read": IDEAL_READ}
    )
    job = prepare(config)
    twin = FloatTwin(job)
    twin.train(0)
    executor = LocalExecutor(job)
    executor.write_initial_weights()
    executor.run(job.epoch(0), lambda progress: None)

    for tile in executor.host.tiles.values():
        block = tile.block
        np.testing.assert_allclose(
            tile.weights,
            twin.weights[block.layer][slice(*block.row_range), slice(*block.col_range)],
            atol=2e-5,
        )


def test_a_layer_may_be_trained_so_and_another_by_pulses():
    network = [
        {"kind": "linear", "outputs": 16, "activation": "tanh", "algorithm": FULL},
        {"kind": "linear", "outputs": 10, "activation": "softmax"},
    ]
    job = small_job(network=network)
    with threadpool_limits(1):
        executor = LocalExecutor(job)
        kinds = {tile.block.layer: isinstance(tile, AwareTile)
                 for tile in executor.host.tiles.values()}  # fmt: skip

    assert kinds == {"linear0": True, "linear1": False}


def test_its_memory_is_counted():
    plain, aware = (small_job(training={"optimizer": ADAM, "algorithm": algorithm})
                    for algorithm in ({"kind": "sgd"}, FULL))  # fmt: skip
    numbers = sum(b.shape[0] * b.shape[1] for b in aware.program.crossbars)

    assert sum(tile_sizes(aware)) > 4 * 4 * numbers  # gradient, two moments, noisy weights
    assert sum(tile_sizes(plain)) != sum(tile_sizes(aware))


def test_trained_weights_are_programmed_and_measured(tmp_path):
    config = aware_config(training={"examples": 1000, "epochs": 12, "test_examples": 200})
    result = train(config, tmp_path / "run")
    ages = age(RunDirectory.existing(tmp_path / "run"), config, [0.0, 3e7], repeats=2)
    rows = ages.table.to_pylist()

    assert result.test_accuracy > 0.8
    assert len(rows) == 2 * 2 * 2
    assert len({row["test_loss"] for row in rows}) > 4
    assert min(row["test_accuracy"] for row in rows if row["compensated"]) > 0.7


@pytest.mark.parametrize(
    ("algorithm", "said"),
    [
        ({"weight_noise": -1}, "training.algorithm.weight_noise must be at least 0.0, got -1"),
        ({"clip": {}}, "training.algorithm.clip.value or sigma must be given, and only one"),
        ({"memory": "flash"}, "training.algorithm.memory must be 'pcm', 'hermes'"),
        ({"noise": 0.1}, "training.algorithm.noise is unknown"),
    ],
)
def test_a_wrong_setting_is_refused_in_one_line(algorithm, said):
    tree = small_config().model_dump(mode="json")
    training = {**tree["training"], "algorithm": {"kind": "hardware_aware", **algorithm}}
    with pytest.raises(ConfigError) as error:
        validated({**tree, "training": training})

    assert said in str(error.value)
