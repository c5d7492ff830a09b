"""Every kind of layer: the same bits in any packing, under every schedule, on other days."""

import pytest

from tests.jobs import SCHEDULES
from tests.pinned import machine_type, pinned
from tests.test_executors import digest_of_job, in_threads, local
from tests.zoo import ZOO, zoo_job


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("name", ZOO)
def test_packing_of_tiles_never_changes_a_bit(name, schedule, tmp_path):
    job = zoo_job(name, schedule=schedule)
    n_tiles = len(job.program.blocks)
    scattered = tuple((3 * tile + tile // 3) % 4 for tile in range(n_tiles))

    assert in_threads(job, scattered, tmp_path) == local(job)


@pytest.mark.parametrize("name", ["lenet", "transformer"])
def test_one_tile_per_host_is_the_same(name, tmp_path):
    job = zoo_job(name, schedule="asynchronous")
    host_of = tuple(range(len(job.program.blocks)))

    assert in_threads(job, host_of, tmp_path) == local(job)


@pytest.mark.parametrize("name", ["lenet", "residual", "branches"])
def test_replicas_are_the_same_in_any_packing(name, tmp_path):
    job = zoo_job(name, schedule="synchronous", mapping={"vectors_per_tile": 10})
    host_of = tuple(tile % 3 for tile in range(len(job.program.blocks)))

    assert any(block.copies > 1 for block in job.program.blocks)
    assert in_threads(job, host_of, tmp_path) == local(job)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("name", ZOO)
def test_bits_are_those_of_other_days(name, schedule):
    """Pinned by ``python -m tests.test_executors`` after a change that means to change them."""
    known = pinned()
    if known is None:
        pytest.skip(f"no bits are pinned for {machine_type()}")
    assert known[f"{name} {schedule}"] == digest_of_job(zoo_job(name, schedule=schedule))
