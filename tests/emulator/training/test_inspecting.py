"""What a checkpoint holds: its tests repeat the run's, and its cells are those of its tiles."""

import numpy as np
import pytest

from crossmesh.emulator.compiler.job import prepare
from crossmesh.emulator.config.loading import load_config
from crossmesh.emulator.executors.local import LocalExecutor
from crossmesh.emulator.runs.callbacks import NoCallbacks
from crossmesh.emulator.runs.directory import RunDirectory
from crossmesh.emulator.training.diagnosis.inspecting import inspect_run
from crossmesh.emulator.training.diagnosis.views import cells_at_bounds
from crossmesh.emulator.training.training import train

SMALL = [
    "engine.kind=local", "training.examples=200", "training.epochs=2", "training.baseline=false",
    "chip.model=analytic", "checkpoint.every_s=null",
]  # fmt: skip
CELLS = {
    "a device": "{kind: constant_step}",
    "a pair": "{kind: pair, device: {kind: soft_bounds}}",
    "2PCM+3T1C": "{kind: pcm_3t1c}",
    "numbers": "{kind: ideal}",
}


@pytest.fixture(scope="module", params=CELLS)
def inspected(request, tmp_path_factory):
    """Result of a run, and what its checkpoint holds."""
    config = load_config("digits", [*SMALL, f"tile.cell={CELLS[request.param]}"])
    directory = RunDirectory(tmp_path_factory.mktemp("run") / "run")
    result = train(config, directory)
    found = inspect_run(
        directory, config, NoCallbacks(), examples=10_000,
        results={"test_accuracy": result.test_accuracy, "baseline_test_accuracy": None},
    )  # fmt: skip
    return result, found


def test_the_tests_are_those_of_the_run(inspected):
    result, found = inspected

    assert found.costs.as_read == result.test_accuracy
    assert found.confusions.sum() == found.costs.examples == 359
    assert found.confusions.trace() / 359 == pytest.approx(result.test_accuracy)


def test_tiles_and_layers_count_every_cell(inspected):
    result, found = inspected
    sizes = [layer.weights.counts.sum() for layer in found.layers]

    assert sizes == [64 * 48, 48 * 10]
    assert [tile.report.pulses for tile in found.tiles] == [
        row["pulses"] for row in result.tiles.to_pylist() if row["tile"] < 4
    ]
    for layer in found.layers:
        has_devices = not layer.state.tile.cell.holds_anything
        assert (layer.state.at_bounds is not None) == has_devices
        assert len(layer.arrays) == (layer.state.tile.cell.n_arrays if has_devices else 0)
        for _, conductances in layer.arrays:
            assert conductances.counts.sum() == layer.weights.counts.sum()
    for name, deviation in ((layer.state.name, layer.state.deviation) for layer in found.layers):
        rows = [row for row in result.tiles.to_pylist() if row["layer"] == name]
        assert min(r["weight_std"] for r in rows) * 0.9 < deviation
        assert deviation < max(r["weight_std"] for r in rows) * 1.1


def test_cells_at_bounds_are_those_that_were_driven_there():
    same = "{kind: constant_step, upper_device_noise: 0, lower_device_noise: 0}"
    job = prepare(load_config("digits", [*SMALL, f"tile.cell={same}"]))
    executor = LocalExecutor(job)
    executor.write_initial_weights()
    tile = executor.host.tiles[0]
    far = np.zeros(tile.block.shape, np.float32)
    far[:3] = 100
    tile.crossbar.write(far)

    assert cells_at_bounds(job, tile.block, tile) == 3 * tile.block.shape[1]
    executor.close()
