"""A network of ten million weights in one process: memory as its config says."""

import subprocess
import sys
from pathlib import Path

import pytest

from crossmesh.emulator.compiler.job import prepare
from crossmesh.emulator.config.loading import load_config
from crossmesh.emulator.executors.local import LocalExecutor
from crossmesh.tiles.analog.footprint import build_bytes, give_back, tile_bytes
from crossmesh.tiles.analog.warming import warm_up

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]
MODULE = "tests.emulator.training.test_large"

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


def weights_and_bytes():
    """Weights, the bytes that the config says they take, and those that this process grew by."""
    job = prepare(load_config("synthetic-100m", SMALLER))
    shapes = [block.shape for block in job.program.blocks]
    expected = sum(tile_bytes(job.config.tile, shape) for shape in shapes)
    warm_up(job.config.tile)
    give_back()
    before = resident()
    executor = LocalExecutor(job)
    executor.write_initial_weights()
    executor.run(job.epoch(0), lambda progress: None)
    grown = resident() - before
    executor.close()
    return sum(rows * cols for rows, cols in shapes), expected, grown


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux's smaps")
def test_ten_million_weights_take_what_their_config_says():
    """In a process of its own, since what earlier tests have freed is used again."""
    asked = f"from {MODULE} import weights_and_bytes; print(*weights_and_bytes())"
    done = subprocess.run(
        [sys.executable, "-c", asked], cwd=ROOT, capture_output=True, text=True, check=True
    )
    n_weights, expected, grown = map(int, done.stdout.split())

    assert n_weights > 9_000_000
    assert expected / n_weights < 12.2
    assert 0.97 * expected < grown < 1.03 * expected + 2 * build_bytes((512, 512))
