"""Training algorithms as users meet them: every kind with every cell, on every schedule."""

import numpy as np
import pytest

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.executors.local import LocalExecutor
from crossmesh.tiles.analog.algorithms import ALGORITHMS
from tests.emulator.executors.test_executors import ignore, in_threads, local
from tests.emulator.training.algorithm_kinds import KINDS, REFUSED
from tests.jobs import CELLS, SCHEDULES, small_job


def job_of(cell, algorithm, schedule="sequential", **changes):
    settings = {"algorithm": KINDS.get(algorithm, algorithm), **changes}
    return small_job(cell, schedule, training=settings)


def is_refused(cell, algorithm):
    return cell == "ideal" or (cell == "pcm_3t1c" and KINDS[algorithm]["kind"] != "mixed_precision")


def test_every_kind_is_tested():
    assert {given["kind"] for given in KINDS.values()} | {"sgd", "hardware_aware"} == set(
        ALGORITHMS
    )


@pytest.mark.parametrize("algorithm", KINDS)
@pytest.mark.parametrize("cell", CELLS)
def test_actors_never_change_a_bit(cell, algorithm, tmp_path):
    if is_refused(cell, algorithm):
        with pytest.raises(ConfigError, match=REFUSED[cell]):
            job_of(cell, algorithm)
        return
    job = job_of(cell, algorithm)
    host_of = tuple(tile % 3 for tile in range(len(job.program.blocks)))

    digests, rows = local(job)

    assert in_threads(job, host_of, tmp_path) == (digests, rows)
    assert all(np.isfinite(row[1]) for row in rows)


@pytest.mark.parametrize("schedule", [name for name in SCHEDULES if name != "sequential"])
@pytest.mark.parametrize("algorithm", KINDS)
def test_schedules_train_and_actors_never_change_a_bit(algorithm, schedule, tmp_path):
    job = job_of("soft_bounds", algorithm, schedule)
    host_of = tuple(tile // 2 % 2 for tile in range(len(job.program.blocks)))

    assert in_threads(job, host_of, tmp_path) == local(job)


@pytest.mark.parametrize("algorithm", KINDS)
def test_micro_batches_never_change_the_physics(algorithm):
    few, many = (
        job_of("soft_bounds", algorithm, "synchronous", batch=12, micro_batch=size)
        for size in (4, 12)
    )
    weights = [state_of(job) for job in (few, many)]
    for name, array in weights[0].items():
        # sums of several vectors are added in another order: a rare pulse may come earlier
        off = np.abs(array - weights[1][name]) > 1e-5
        assert off.mean() < 0.02, name


def state_of(job):
    """Weights of every tile after an epoch."""
    executor = LocalExecutor(job)
    executor.write_initial_weights()
    executor.run(job.epoch(0), ignore)
    weights = {n: tile.weights.copy() for n, tile in executor.host.tiles.items()}
    executor.close()
    return weights


@pytest.mark.parametrize("algorithm", KINDS)
def test_a_tile_that_is_loaded_goes_on_as_if_nothing_had_happened(algorithm):
    job = job_of("soft_bounds", algorithm)
    whole, half = LocalExecutor(job), LocalExecutor(job)
    for executor in (whole, half):
        executor.write_initial_weights()
        executor.run(job.epoch(0), ignore)
    states = {
        n: {name: array.copy() for name, array in tile.state().items()}
        for n, tile in half.host.tiles.items()
    }
    other = LocalExecutor(job)
    other.write_initial_weights()
    for n, tile in other.host.tiles.items():
        tile.load(states[n])
    for executor in (whole, other):
        executor.run(job.epoch(1), ignore)
    assert whole.digests() == other.digests()
    for executor in (whole, half, other):
        executor.close()
