"""The floor plan by traffic against a slow one that adds up the whole cost of every swap."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmesh.emulator.chip import placement
from crossmesh.emulator.chip.placement import place_program, place_tiles
from crossmesh.emulator.chip.report import report_chip
from crossmesh.emulator.config.chip import Chip
from crossmesh.tiles.runtime.plan import in_order
from tests.jobs import small_job

NORMALISED = [
    {"kind": "linear", "outputs": 48, "activation": "tanh"},
    {"kind": "layer_norm"},
    {"kind": "linear", "outputs": 40, "activation": "tanh"},
    {"kind": "layer_norm"},
    {"kind": "linear", "outputs": 10, "activation": "softmax"},
]


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


def hops(job, placement, **fields):
    """Flits times links of a micro-batch, as the chip's report counts them, and the report."""
    chip = Chip(placement=placement, model="packet", **fields)
    span = job.epoch(0)
    report = report_chip(job.program, chip, span.schedule, span.micro_batch, seed=3)
    return int(report.time.steady.timing.link_flits.sum()), report


@pytest.mark.parametrize("topology", ["mesh", "torus", "tree"])
@pytest.mark.parametrize("schedule", ["sequential", "asynchronous"])
def test_annealed_places_take_fewer_hops(topology, schedule):
    job = small_job("soft_bounds", schedule, network=NORMALISED)

    before, _ = hops(job, "traffic", topology=topology)
    after, report = hops(job, "annealed", topology=topology)

    assert after < before
    assert len(set(report.time.pipeline.place)) == len(job.program.crossbars)


def test_memories_are_moved_beside_tiles_and_nothing_else_of_a_program_is():
    job = small_job("soft_bounds", "asynchronous", network=NORMALISED)
    span = job.epoch(0)

    program, _ = place_program(job.program, Chip(), span.schedule, span.micro_batch)

    assert program.operations == job.program.operations
    assert program.crossbars == job.program.crossbars
    moved = [
        (one.home, two.home)
        for one, two in zip(job.program.blocks, program.blocks, strict=True)
        if one.home is not None
    ]
    assert any(one != two for one, two in moved)
    assert {home for _, home in moved} <= {block.tile for block in program.crossbars}


def test_annealing_counts_sums_that_routers_make():
    """Places annealed for sums carry less of them than places annealed for single messages."""
    job = small_job("soft_bounds", network=NORMALISED, tile={"rows": 8, "cols": 16})
    span = job.epoch(0)
    fields = {"in_network_sums": True, "model": "packet"}
    as_singles = place_program(job.program, Chip(), span.schedule, span.micro_batch, seed=3)
    unaware = report_chip(
        job.program, Chip(**fields), span.schedule, span.micro_batch, placed=as_singles
    )

    aware, report = hops(job, "annealed", in_network_sums=True)

    assert aware < 0.97 * unaware.time.steady.timing.link_flits.sum()
    assert report.energy.events["router_add"] > 0
