"""Sums in the network: trees of adders on the ways of packets, and what they spare."""

import json

import pytest

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.chip.report import chip_of
from crossmesh.emulator.chip.summing import Junction, tree_of
from crossmesh.emulator.chip.tasks import ROUTER_ADD
from crossmesh.emulator.chip.trace import trace
from crossmesh.emulator.compiler.job import prepare
from crossmesh.emulator.config.loading import load_config
from crossmesh.emulator.training.training import train
from tests.jobs import SCHEDULES, small_config, small_job

CHIP = {"in_network_sums": True, "width": 6, "height": 4, "placement": "row_major"}


def small(schedule="sequential", *, sums=True, **chip):
    return chip_of(small_job(schedule=schedule, chip={**CHIP, "in_network_sums": sums, **chip}))


def summed(source):
    """Every partial sum below a junction."""
    if isinstance(source, int):
        return [source]
    return [number for each in source.inputs for number in summed(each)]


def test_ways_that_meet_become_one():
    ways = [[6, 3, 0], [7, 6, 3, 0], [5, 4, 3, 0], [0]]

    (end,) = tree_of(ways, 0, dict.fromkeys(range(9)))
    assert end == Junction(0, (3, Junction(3, (2, Junction(6, (0, 1))))))
    # What meets where no tile lies goes on side by side.
    (end,) = tree_of(ways, 0, {0: 0})
    assert end.node == 0
    assert sorted(summed(end)) == [0, 1, 2, 3]
    assert tree_of(ways[:3], 0, {6: 0}) == [2, Junction(6, (0, 1))]


@pytest.mark.parametrize("topology", ["mesh", "torus"])
@pytest.mark.parametrize("placement", ["row_major", "snake", "traffic"])
def test_every_partial_sum_is_added_once_and_no_link_carries_more(topology, placement):
    with_sums, without = (
        small(sums=sums, topology=topology, placement=placement) for sums in (True, False)
    )
    added = with_sums.energy.events["router_add"]
    digital = "partial sums and biases", "sums of errors"
    spared = [
        sum(each.time.pipeline.digital[name] for name in digital) for each in (without, with_sums)
    ]

    assert added == spared[0] - spared[1] > 0
    flits = [each.time.steady.timing.link_flits for each in (with_sums, without)]
    assert flits[0].sum() < flits[1].sum()
    assert with_sums.energy.by_component_j["router_add"].value > 0
    assert with_sums.area.by_component_mm2["router_add"] > 0
    assert "router_add" not in without.area.by_component_mm2


def test_links_carry_one_message_for_all_partial_sums_of_a_column_of_tiles():
    """Four blocks of rows in a row of places: 3 + 2 + 1 messages over links become 3."""
    network = [{"kind": "linear", "outputs": 10, "activation": "softmax"}]
    tile, place = {"rows": 19, "cols": 10}, {"width": 4, "height": 1}
    reports = [
        chip_of(
            small_job(network=network, tile=tile, chip={**CHIP, **place, "in_network_sums": on})
        )
        for on in (False, True)
    ]
    flits = []
    for report in reports:
        time = report.time
        hops = [
            len(time.topology.route(send.source, node)) * sum(send.flits)
            for send, kind in zip(time.pipeline.flow.sends, time.pipeline.kinds, strict=True)
            if kind == "partial_sum"
            for node in send.takers
        ]
        flits.append(sum(hops))

    assert flits[0] == 2 * flits[1]
    assert reports[1].energy.events["router_add"] == 3 * 10


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("model", ["analytic", "packet", "flit"])
def test_sums_come_when_all_their_parts_are_there(schedule, model):
    timed = small(schedule, model=model).time
    timing, flow, steps = timed.steady.timing, timed.pipeline.flow, timed.pipeline.steps
    adders = [k for k, step in enumerate(steps) if step.kind == ROUTER_ADD]
    sent = {k: set() for k in adders}
    delivery = 0
    for send in flow.sends:
        for _ in send.flits:
            for takers in send.takers.values():
                for taker in {*takers} & {*adders}:
                    sent[taker].add(send.task)
                    assert (timing.started[:, taker] >= timing.arrivals[:, delivery]).all()
                delivery += 1

    assert adders
    for adder in adders:
        inputs = sent[adder] | {*flow.tasks[adder].needs}
        assert len(inputs) > 1
        assert (timing.started[:, adder] >= timing.ended[:, sorted(inputs)].max(axis=1)).all()
    assert json.dumps(trace(timed))


def test_values_never_depend_on_where_sums_are_made():
    digests = {
        train(small_config(chip=chip)).state_digest
        for chip in ({}, CHIP, {**CHIP, "placement": "snake"}, {**CHIP, "topology": "torus"})
    }
    assert len(digests) == 1


@pytest.mark.parametrize("topology", ["tree", "point_to_point", "circuit_mesh"])
def test_sums_need_routers_of_tiles_at_which_flits_meet(topology):
    with pytest.raises(ConfigError, match=r"in_network_sums must be false where no flits meet .* "):
        small(topology=topology)


def test_sums_that_words_cannot_hold_are_refused():
    config = ["chip.in_network_sums=true", "chip.partial_sum_bits=9", "tile.rows=16"]
    with pytest.raises(ConfigError, match=r"chip\.partial_sum_bits must be at least 1\d for in-ne"):
        chip_of(prepare(load_config("digits", config)))
