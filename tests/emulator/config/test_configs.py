"""Shipped networks: laid out as published, and the same bits in any packing."""

import math
from functools import partial

import pytest

from crossmesh.emulator.compiler.job import prepare
from crossmesh.emulator.config.loading import load_config
from tests.emulator.executors.test_executors import in_threads, local

FOLDERS = {"mnist": "mnist", "cifar10": "cifar10-subset", "text": "tinyshakespeare"}
# Weights that learn, running means left out.
WEIGHTS = {
    "mnist-lenet5": 61_706,
    "mnist-lenet5-constant-step": 61_706,
    "cifar10-resnet20": 272_474,
    "cifar10-vgg8": 12_977_034,
    "cifar10-resnet20-small": None,
    "cifar10-vgg8-small": None,
    "shakespeare-gpt": None,
    "shakespeare-gpt-small": None,
    "shakespeare-gpt-small-ecram": None,
    "shakespeare-lstm": None,
    "shakespeare-lstm-small": None,
}
LARGE = "cifar10-vgg8"  # its small version is packed in its place
SLOW = {"shakespeare-lstm", "shakespeare-gpt"}


@pytest.fixture
def job_of(shared):
    """Makes the job of a shipped config, on few examples."""
    return partial(job_on, shared / "data")


def job_on(data_sets, name, *changes):
    config = load_config(name, ["engine.kind=local", "training.test_examples=5",
                                "training.evaluation_batch=4", *changes])  # fmt: skip
    folder = data_sets / FOLDERS[config.data.source]
    data = config.data.model_copy(update={"directory": folder})
    return prepare(config.model_copy(update={"data": data}))


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in WEIGHTS if name != LARGE])
@pytest.mark.parametrize("schedule", ["synchronous", "asynchronous"])
def test_packing_of_tiles_never_changes_a_bit(name, schedule, job_of, tmp_path):
    batch = ("training.batch=4", "training.examples=10") + (
        ("training.micro_batch=2",) if schedule == "synchronous" else ()
    )
    if name in SLOW and schedule == "synchronous":
        pytest.skip("takes long; the other schedule is tested")
    job = job_of(name, f"training.schedule={schedule}", *batch)
    n_tiles = len(job.program.blocks)
    host_of = tuple((tile // 3) % 4 for tile in range(n_tiles))

    assert in_threads(job, host_of, tmp_path) == local(job)


@pytest.mark.parametrize("name", [name for name, weights in WEIGHTS.items() if weights])
def test_networks_are_as_large_as_published(name, job_of):
    job = job_of(name, "training.examples=1")
    total = sum(matrix.rows * matrix.outputs for matrix in job.network.matrices.values())
    for node in job.network.nodes:
        if node.learned is not None:
            rows, cols = node.learned.shape
            total += min(rows, 2) * cols
    assert total == WEIGHTS[name]
    assert len({block.tile for block in job.program.blocks}) == len(job.program.blocks)
    assert math.isfinite(job.program.n_stages)
