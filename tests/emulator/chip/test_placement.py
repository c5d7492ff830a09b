"""The floor plan by traffic against a slow one that adds up the whole cost of every swap."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmesh.emulator.chip import placement
from crossmesh.emulator.chip.placement import place_tiles
from crossmesh.emulator.config.chip import Chip
from crossmesh.tiles.runtime.plan import in_order
from tests.jobs import small_job


def cost(places, traffic, width):
    """Values times links over all pairs."""
    return sum(
        values * (abs(places[one] % width - places[two] % width)
                  + abs(places[one] // width - places[two] // width))
        for (one, two), values in traffic.items()
    )  # fmt: skip


def naive(places, traffic, width, n_tiles, passes):
    places = list(places)
    for _ in range(passes):
        swapped = False
        for tile in range(n_tiles):
            costs = []
            for other in range(len(places)):
                swap = list(places)
                swap[tile], swap[other] = swap[other], swap[tile]
                costs.append(cost(swap, traffic, width))
            best = costs.index(min(costs))
            if costs[best] < costs[tile]:
                places[tile], places[best] = places[best], places[tile]
                swapped = True
        if not swapped:
            break
    return places


@given(seed=st.integers(0, 2**32), width=st.integers(1, 5), height=st.integers(1, 4))
def test_swaps_are_those_of_the_slow_plan(seed, width, height):
    rng = np.random.default_rng(seed)
    n_tiles = int(rng.integers(1, width * height + 1))
    pairs = [pair for pair in itertools.combinations(range(n_tiles), 2) if rng.random() < 0.4]
    traffic = {pair: int(rng.integers(1, 2000)) for pair in pairs}
    snake = rng.permutation(width * height)

    found = placement._improved(snake, traffic, width, n_tiles)

    expected = naive(snake, traffic, width, n_tiles, placement._PASSES)
    assert found.tolist() == expected


@pytest.mark.parametrize("topology", ["mesh", "torus", "circuit_mesh"])
def test_tiles_have_places_of_their_own(topology):
    job = small_job()
    operations, n_tiles = in_order(job.program, job.epoch(0).schedule), len(job.program.blocks)

    chip = Chip(topology=topology, width=7, height=9)
    place = place_tiles(chip, operations, job.program.units)

    assert len(set(place)) == len(place) == n_tiles
    assert all(0 <= node < 63 for node in place)
