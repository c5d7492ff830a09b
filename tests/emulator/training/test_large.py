"""A network of ten million weights in this process: memory as its config says."""

from pathlib import Path

import pytest

from crossmesh.emulator.compiler.job import prepare
from crossmesh.emulator.config.loading import load_config
from crossmesh.emulator.executors.local import LocalExecutor
from crossmesh.tiles.analog.footprint import build_bytes, give_back, tile_bytes
from crossmesh.tiles.analog.tile import warm_up

pytestmark = pytest.mark.slow

SMALLER = [
    "data={source: synthetic, inputs: 2048, classes: 10, examples: 16, test_examples: 16}",
    "network=[{kind: linear, outputs: 2048, bias: false, activation: tanh},"
    "{kind: linear, outputs: 2560, bias: false, activation: tanh},"
    "{kind: linear, outputs: 10, bias: false, activation: softmax}]",
    "engine.kind=local",
]


def resident():
    """Bytes of this process that are in memory and no other's."""
    lines = Path("/proc/self/smaps_rollup").read_text("utf-8").splitlines()
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Private_Dirty:"))


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux's smaps")
def test_ten_million_weights_take_what_their_config_says():
    job = prepare(load_config("synthetic-100m", SMALLER))
    shapes = [block.shape for block in job.program.blocks]
    n_weights = sum(rows * cols for rows, cols in shapes)
    assert n_weights > 9_000_000
    expected = sum(tile_bytes(job.config.tile, shape) for shape in shapes)
    warm_up(job.config.tile)
    give_back()  # what tests before have left
    before = resident()

    executor = LocalExecutor(job)
    try:
        executor.write_initial_weights()
        executor.run(job.epoch(0), lambda progress: None)
        grown = resident() - before
    finally:
        executor.close()

    assert expected / n_weights < 12.2
    assert 0.9 * expected < grown < 1.03 * expected + 2 * build_bytes((512, 512))
