"""Scales of bit lines of a layer: its matrices have those of their own, and no product changes."""

import numpy as np
import pytest

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.compiler.job import prepare
from crossmesh.emulator.config.loading import validated
from crossmesh.emulator.executors.local import LocalExecutor
from tests.emulator.executors.test_executors import in_threads, local
from tests.emulator.training.test_training import IDEAL_READ

LAST = {"kind": "linear", "outputs": 10, "activation": "softmax"}
IDEAL = {"cell": {"kind": "ideal"}, "read": IDEAL_READ}
NOISY = {"read": {"input_range": 0.7}}
# Layers, and the bit lines of their matrices.
LAYERS = {
    "lstm": ({"kind": "lstm", "outputs": 3}, [{"kind": "last"}, LAST], (12, 12)),
    "attention": ({"kind": "attention", "heads": 2}, [{"kind": "global_pool"}, LAST], (24, 8)),
    "conv": ({"kind": "conv", "outputs": 4, "kernel": 3}, [LAST], (4,)),
    "groups": (
        {"kind": "conv", "outputs": 6, "kernel": 1, "groups": 2, "input": "stem"}, [LAST], (3, 3),
    ),
}  # fmt: skip
STEM = {"kind": "conv", "outputs": 4, "kernel": 3, "name": "stem"}


def job_of(kind, scales, tile=IDEAL):
    layer, after, _ = LAYERS[kind]
    own = {"tile": {"line_scales": scales}} if scales else {}
    before = [STEM] if kind == "groups" else []
    return prepare(
        validated(
            {
                "name": "lines",
                "data": {"source": "digits"},
                "network": [*before, {**layer, **own, "name": "it"}, *after],
                "tile": {"rows": 7, "cols": 5, **tile},
                "training": {"examples": 8, "test_examples": 8, "batch": 4},
                "engine": {"kind": "local"},
            }
        )
    )


def loss_of(job):
    executor = LocalExecutor(job)
    executor.write_initial_weights()
    loss = executor.run(job.epoch(0), lambda progress: None).rows[-1].loss
    executor.close()
    return loss


@pytest.mark.parametrize("kind", LAYERS)
def test_matrices_share_them_out_and_train_alike(kind):
    lines = LAYERS[kind][2]
    scales = [round(0.5 + 0.1 * i, 1) for i in range(sum(lines))]
    job = job_of(kind, scales)
    matrices = [m for name, m in job.network.matrices.items() if name.partition(".")[0] == "it"]
    assert tuple(matrix.outputs for matrix in matrices) == lines
    assert [scale for matrix in matrices for scale in matrix.tile.line_scales] == scales
    assert loss_of(job) == pytest.approx(loss_of(job_of(kind, None)), rel=1e-5)


@pytest.mark.parametrize("kind", LAYERS)
def test_they_and_a_range_of_inputs_have_the_same_bits_in_any_hosts(kind, tmp_path):
    """Of devices that are pulsed and read through converters and noise."""
    scales = [1 / (1 + i) for i in range(sum(LAYERS[kind][2]))]
    job = job_of(kind, scales, NOISY)
    host_of = tuple(tile % 3 for tile in range(len(job.program.blocks)))
    assert in_threads(job, host_of, tmp_path) == local(job)


@pytest.mark.parametrize("more", [-1, 1])
@pytest.mark.parametrize("kind", LAYERS)
def test_there_is_one_for_each_bit_line(kind, more):
    lines = sum(LAYERS[kind][2])
    where = 1 if kind == "groups" else 0
    with pytest.raises(ConfigError) as refused:
        job_of(kind, np.ones(lines + more).tolist())
    assert str(refused.value) == (
        f"network.{where}.tile.line_scales must have a value for each of the {lines} bit lines, "
        f"got {lines + more} (layer it)"
    )
