"""A host leaves its process as it is, and says which operation failed on which tile."""

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from crossmesh.tiles.runtime.assignment import Assignment
from crossmesh.tiles.runtime.host import TileError, TileHost
from tests.jobs import small_job


def host_of_all(job):
    n_tiles = len(job.program.blocks)
    assignment = Assignment(program=job.program, seed=1, host_of=(0,) * n_tiles, host=0)
    return TileHost(assignment, job.feeds)


def n_threads():
    return [pool["num_threads"] for pool in threadpool_info()]


def test_making_a_host_leaves_the_threads_of_the_process_alone():
    job = small_job()
    with threadpool_limits(2):
        before = n_threads()
        host_of_all(job)

        assert n_threads() == before


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_a_diverged_ideal_cell_shows_in_the_loss_in_spite_of_converters(value):
    job = small_job("ideal")
    host = host_of_all(job)
    host.write(job.initial())
    with_bias = max(tile.block.row for tile in host.tiles.values())
    for tile in host.tiles.values():
        if tile.block.row == with_bias:  # its last line is driven for every example
            tile.crossbar.weights[-1] = value

    with pytest.raises(TileError, match=r"failed to loss: the loss must be finite, got nan after"):
        host.run(job.epoch(0))


def test_an_update_that_is_not_finite_names_its_tile():
    job = small_job("constant_step")
    host = host_of_all(job)
    host.write(job.initial())
    last = max(host.tiles)
    host.tiles[last].backward = lambda d, first: np.full((len(d), 7), np.nan, np.float32)

    with pytest.raises(TileError, match=r"tile \d+ \(.*\) failed to pulse: .* must be finite"):
        host.run(job.epoch(0))
