"""What calibration is made of: recorded vectors, mended tiles, layers of several matrices."""

import numpy as np
import pytest

from crossmesh.emulator.compiler.job import prepare
from crossmesh.emulator.config.brief import brief
from crossmesh.emulator.config.loading import load_config, validated
from crossmesh.emulator.onnx_io import weights
from crossmesh.emulator.training.calibration.calibrate import calibrate
from crossmesh.emulator.training.calibration.mending import Cause, MendedTile
from crossmesh.emulator.training.calibration.recording import MOST_VECTORS, record
from crossmesh.tiles.analog.block import Block
from crossmesh.tiles.analog.tile import Tile
from crossmesh.tiles.analog.tile_config import TileConfig
from tests.jobs import validated_cell

rng = np.random.default_rng(3)
LAST = {"kind": "linear", "outputs": 10, "activation": "softmax"}
NETWORKS = {
    "lstm": [{"kind": "lstm", "outputs": 6}, {"kind": "last"}, LAST],
    "attention": [{"kind": "attention", "heads": 2}, {"kind": "global_pool"}, LAST],
    "depthwise": [
        {"kind": "conv", "outputs": 4, "kernel": 3, "padding": 1, "replicas": 2},
        {"kind": "conv", "outputs": 4, "kernel": 3, "groups": 4, "activation": "relu"},
        LAST,
    ],
}


def config_of(folder, network, **tile):
    """A config with weights that are given: those it would draw, but of other sizes by layer."""
    config = {
        "name": "given",
        "data": {"source": "digits"},
        "network": network,
        "tile": {"rows": 20, "cols": 7, **tile},
        "training": {"examples": 60, "test_examples": 20, "batch": 4},
        "engine": {"kind": "local"},
    }
    job = prepare(validated(config))
    drawn = {
        name: 4.0 ** (i - 1) * job.weights(name, (0, 0), (matrix.rows, matrix.outputs))
        for i, (name, matrix) in enumerate(job.network.matrices.items())
    }
    np.savez(folder / "given.npz", **weights.published(job.layers, drawn))
    return validated({**config, "weights": str(folder / "given.npz")})


@pytest.mark.parametrize("bias", ["digital", "line"])
@pytest.mark.parametrize("kind", NETWORKS)
def test_layers_of_several_matrices_err_less(kind, bias, tmp_path):
    config = config_of(tmp_path, NETWORKS[kind], bias=bias)
    found = calibrate(config, examples=30)
    for layer in found.layers.values():
        assert layer.error < layer.error_before
    (tmp_path / "again.yaml").write_text(brief(found.config), "utf-8")
    again = load_config(tmp_path / "again.yaml")
    assert again == found.config
    assert prepare(again).network.matrices.keys() == prepare(config).network.matrices.keys()


def test_calibrating_again_keeps_to_what_was_found(tmp_path):
    config = config_of(tmp_path, NETWORKS["depthwise"])
    once = calibrate(config, examples=30)
    twice = calibrate(once.config, examples=30)
    for name, layer in twice.layers.items():
        assert layer.error_before == pytest.approx(once.layers[name].error, rel=1e-6)
        assert layer.error <= layer.error_before


def test_arrays_in_memory_take_the_place_of_the_data(tmp_path):
    config = config_of(tmp_path, NETWORKS["lstm"])
    dataset = prepare(config).dataset
    train, test = dataset.train, dataset.test
    images = (part.inputs.reshape(-1, 8, 8) for part in (train, test))
    arrays = (next(images), train.targets, next(images), test.targets)
    wanted = calibrate(config, examples=30)
    found = calibrate(config, examples=30, data=arrays)
    assert found.layers == wanted.layers


def test_recorded_vectors_are_of_all_parts_of_an_image(tmp_path):
    """A multiple of the rows' length would be the same column of every image."""
    network = [{"kind": "conv", "outputs": 2, "kernel": 1}, LAST]
    job = prepare(config_of(tmp_path, network))
    recording = record(job, 60)
    pixels = recording.inputs[0][:, 0]
    everything = np.concatenate(
        [job.feeds["train"].inputs(0, start, start + 20)[:, 0] for start in range(0, 60, 20)]
    )
    assert 0.9 * MOST_VECTORS < len(pixels) < 1.4 * MOST_VECTORS
    assert pixels.mean() == pytest.approx(everything.mean(), rel=0.1)
    assert pixels.std() == pytest.approx(everything.std(), rel=0.1)


def mended(cell, wanted, *causes):
    """What reads of a tile see of the weights that it should hold."""
    config = TileConfig(cell=validated_cell(cell))
    block = Block(tile=5, layer="a", row=0, col=0, shape=wanted.shape)
    tile = MendedTile(config, block, 1.0, 7, 1, frozenset(causes))
    tile.write(wanted)
    plain = Tile(config, block, 1.0, 7)
    plain.write(wanted)
    return tile._cells().weights, plain._cells().weights


def test_mended_bounds_hold_what_is_beyond_them():
    wanted = rng.normal(0, 0.5, (9, 8)).astype(np.float32)
    cell = {"kind": "constant_step"}
    seen, plain = mended(cell, wanted, Cause.BOUNDS)
    assert not np.array_equal(plain, wanted)
    np.testing.assert_array_equal(seen, wanted)
    seen, plain = mended(cell, wanted, Cause.PROGRAMMING)  # such devices are written exactly
    np.testing.assert_array_equal(seen, plain)
    seen, plain = mended(cell, wanted, Cause.NOISE)
    np.testing.assert_array_equal(seen, plain)


def test_mended_programming_leaves_bounds_and_both_leave_nothing():
    wanted = rng.normal(0, 0.5, (9, 8)).astype(np.float32)
    stuck = {"kind": "constant_step", "stuck": {"fraction": 0.3}}
    seen, plain = mended(stuck, wanted, Cause.BOUNDS, Cause.PROGRAMMING)
    np.testing.assert_array_equal(seen, wanted)
    bounds, _ = mended(stuck, wanted, Cause.BOUNDS)
    np.testing.assert_array_equal(bounds, wanted)  # a stuck device has no other range
    programming, _ = mended(stuck, wanted, Cause.PROGRAMMING)
    np.testing.assert_array_equal(programming, plain)


def test_noise_of_a_device_from_read_to_read_is_noise():
    cell = {"kind": "pair", "device": {"kind": "pcm"}}
    config = TileConfig(cell=validated_cell(cell))
    block = Block(tile=5, layer="a", row=0, col=0, shape=(4, 3))
    wanted = np.full((4, 3), 0.3, np.float32)
    for causes, has_variance in (({Cause.BOUNDS}, True), ({Cause.NOISE}, False)):
        tile = MendedTile(config, block, 1.0, 7, 1, causes)
        tile.write(wanted)
        assert (tile._cells().variance is not None) is has_variance
