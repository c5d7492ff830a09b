"""Several networks on one chip: each as fast as the links that it shares allow."""

import numpy as np
import pytest

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.chip import shared as shared_chip
from crossmesh.emulator.chip.shared import share_chip
from crossmesh.interconnect.noc import Mesh, Router, sharing
from crossmesh.interconnect.noc.flow import Flow, Send, Task
from crossmesh.interconnect.noc.pipeline_timing import steady
from crossmesh.interconnect.noc.sharing import steady_together
from crossmesh.interconnect.schedule import ForwardOnly, Phase
from tests.jobs import small_job


def chain(source, target, cycles, flits):
    """A stage that sends a packet to the next, over a link."""
    tasks = [Task(0, Phase.FORWARD, cycles), Task(1, Phase.FORWARD, 1)]
    send = Send(task=0, source=source, flits=(flits,), takers={target: (1,)})
    return Flow(stages=[0, 1], tasks=tasks, sends=[send])


def together(*flows, width=4):
    mesh, schedules = Mesh(width=width, height=1), [ForwardOnly()] * len(flows)
    alone = [steady(mesh, Router(), flow, ForwardOnly(), "packet") for flow in flows]
    return alone, steady_together(mesh, Router(), flows, schedules, alone, "packet")


def test_flows_that_share_a_link_have_what_it_carries():
    """Two streams of 8 flits every 10 cycles over one link of 8 + 1 cycles a packet: 18 a pair."""
    alone, both = together(chain(0, 3, 10, 8), chain(1, 2, 10, 8))

    assert [each.interval_cycles for each in alone] == [10, 10]
    assert all(each.interval_cycles > 10 for each in both)
    assert sum(1 / float(each.interval_cycles) for each in both) <= 2 / 16


def test_flows_that_share_nothing_are_as_fast_as_alone_at_intervals_of_their_own():
    alone, both = together(chain(0, 1, 12, 3), chain(2, 3, 31, 8))

    assert [each.interval_cycles for each in both] == [12, 31]
    assert all(each.recurs for each in both)
    assert [int(each.timing.link_flits.sum()) for each in both] == [3, 8]
    assert [each.interval_cycles for each in alone] == [12, 31]


@pytest.mark.parametrize("pair", [("sequential", "asynchronous"), ("asynchronous",) * 2])
def test_networks_on_one_chip_report_time_and_energy_of_each(pair):
    jobs = [small_job("soft_bounds", schedule) for schedule in pair]
    shared = share_chip(jobs)

    places = [report.time.pipeline.place for report in shared.together]
    assert not set(places[0]) & set(places[1])
    for one, both in zip(shared.alone, shared.together, strict=True):
        assert both.time.interval_s >= one.time.interval_s * (1 - 1e-9)
        assert both.energy.per_example_j.value > 0
    assert [each["schedule"] for each in shared.summary] == list(pair)
    leaks = [report.energy.leakage_w for report in shared.together]
    assert np.isclose(sum(leaks), shared.together[0].area.leakage_w, rtol=0.05)


def test_a_common_interval_is_refused():
    job = small_job("soft_bounds", "sequential")
    chip = job.config.chip.model_copy(update={"interval_s": 1.0})
    timed = type(job)(**{**vars(job), "config": job.config.model_copy(update={"chip": chip})})

    with pytest.raises(ConfigError, match="interval_s must be left out for several networks"):
        share_chip([timed, job])


def test_a_pipeline_that_is_far_slower_than_its_neighbor_has_an_interval(monkeypatch):
    """With few tasks timed, the quick one ends before the slow one has done a micro-batch."""
    monkeypatch.setattr(sharing, "_MOST_TASKS", 40)
    _, both = together(chain(0, 1, 2, 2), chain(2, 3, 5_000, 2))

    assert [float(each.interval_cycles) for each in both] == pytest.approx([3, 5_000], rel=0.5)


def test_tasks_that_wait_for_each_other_are_named():
    after = [Task(0, Phase.FORWARD, 5, needs=(1,)), Task(1, Phase.FORWARD, 5, needs=(0,))]
    waiting = Flow(stages=[0, 1], tasks=after, sends=[])
    alone = [steady(Mesh(width=4, height=1), Router(), chain(0, 1, 12, 3), ForwardOnly())] * 2

    with pytest.raises(RuntimeError, match=r"^pipeline 1: task 0 of micro-batch 0 never"):
        steady_together(
            Mesh(width=4, height=1), Router(), [chain(0, 1, 12, 3), waiting],
            [ForwardOnly()] * 2, alone, "packet",
        )  # fmt: skip


def test_timing_that_takes_more_memory_than_there_is_names_what_to_make_smaller(monkeypatch):
    job = small_job("soft_bounds", "sequential")

    def too_large(*arguments):
        raise MemoryError

    monkeypatch.setattr(shared_chip, "steady_together", too_large)
    with pytest.raises(ConfigError, match=r"^training\.micro_batch and batch must be smaller"):
        share_chip([job, job])
