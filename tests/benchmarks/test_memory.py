"""Memory of all processes of a run: what a weight takes, from two sizes of the same network."""

import sys
from pathlib import Path

import pytest

from benchmarks.processes import watched
from crossmesh.emulator.compiler.job import prepare
from crossmesh.emulator.config.loading import load_config
from crossmesh.emulator.executors.placement import tile_sizes

pytestmark = [
    pytest.mark.slow,
    pytest.mark.ray,
    pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux's smaps"),
]
WIDTHS = (1024, 4096)
NOISE_BYTES = 40e6  # libraries that other processes of this machine share by chance


def options(width):
    """Settings of a network with two square matrices of this many rows."""
    layers = [f"{{kind: linear, outputs: {width}, bias: false, activation: tanh}}"] * 2
    last = "{kind: linear, outputs: 10, bias: false, activation: softmax}"
    return [
        f"data={{inputs: {width}, classes: 10, examples: 16, test_examples: 16}}",
        f"network=[{', '.join([*layers, last])}]",
    ]


def peak(width, folder):
    """Most bytes that all processes of a run held at once."""
    words = [word for option in options(width) for word in ("--set", option)]
    command = (sys.executable, "-m", "crossmesh", "train", "synthetic-100m", *words)
    return watched((*command, "--run-dir", str(folder))).peak()


@pytest.mark.parametrize(("name", "weights"), [("synthetic-100m", 10**8), ("synthetic-1b", 10**9)])
def test_shipped_networks_have_as_many_weights_as_they_say(name, weights):
    blocks = prepare(load_config(name)).program.blocks
    assert sum(rows * cols for rows, cols in (block.shape for block in blocks)) == weights


def test_more_weights_take_what_their_config_says_in_all_processes_together(tmp_path):
    jobs = [prepare(load_config("synthetic-100m", options(width))) for width in WIDTHS]
    small, large = (sum(tile_sizes(job)) for job in jobs)
    measured = [peak(width, tmp_path / str(width)) for width in WIDTHS]
    grown = measured[1] - measured[0]

    # A busy machine looks seldom, and may miss the peak; it sees none that was not there.
    assert 0.6 * (large - small) < grown < 1.1 * (large - small) + NOISE_BYTES
