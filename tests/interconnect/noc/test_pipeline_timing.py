"""Timing of pipelines: closed forms, bounds, and the pattern that recurs."""

import csv
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmesh.interconnect.noc import Mesh, Router, models
from crossmesh.interconnect.noc.flow import Flow, Send, Task
from crossmesh.interconnect.noc.pipeline_timing import steady, time_flow
from crossmesh.interconnect.schedule import (
    Asynchronous,
    ForwardOnly,
    GPipe,
    OneForwardOneBackward,
    Phase,
    Sequential,
    Synchronous,
)

ALONE = Mesh(width=1, height=1)
FLUSHED = (Synchronous, GPipe, OneForwardOneBackward)  # a batch drains before it updates
times = st.lists(st.integers(0, 40), min_size=1, max_size=6)


def training(forward, backward, update):
    """A resource per stage that reads forward and back and updates; the loss takes no time."""
    n = len(forward)
    tasks = [Task(s, Phase.FORWARD, forward[s], (s - 1,) if s else ()) for s in range(n)]
    tasks.append(Task(n - 1, Phase.LOSS, 0, (n - 1,)))
    back = {}
    for s in reversed(range(n)):
        back[s] = len(tasks)
        tasks.append(Task(s, Phase.BACKWARD, backward[s], (len(tasks) - 1,)))
    tasks += [Task(s, Phase.UPDATE, update[s], (back[s],)) for s in range(n)]
    return Flow(stages=range(n), tasks=tasks)


def cycles(flow, schedule, n):
    return time_flow(ALONE, Router(), flow, schedule, n, "analytic").cycles


def test_every_row_of_the_anchors(shared):
    n_rows = 0
    with (shared / "reference" / "noc" / "schedule_anchors.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            p, m = int(row["stages_or_layers"]), int(row["batch_or_microbatches"])
            name = row["schedule"]
            if name == "pipelayer":
                n = int(row["images"])
                pipelined = Synchronous(micro_batches_per_update=m).ticks(p, n)
                # One update per batch: without pipelining its tick comes once per batch as well.
                one_by_one = Sequential().ticks(p, n) - n + n // m
            elif name.startswith("gpipe"):
                flow = training([1] * p, [int(name[-1])] * p, [0] * p)
                (pipelined,) = {cycles(flow, kind.for_batch(m), m) for kind in FLUSHED}
                one_by_one = cycles(flow, Sequential(), m)
            else:
                assert row["note"].endswith(" ".join(map(str, staleness(p))))
                n_rows += 1
                continue
            assert pipelined == int(row["cycles_pipelined"]), row
            assert one_by_one == int(row["cycles_sequential"]), row
            n_rows += 1
    assert n_rows == 18


def staleness(n_stages, n=30):
    """Updates of each stage between a micro-batch's forward read and its own update."""
    updates, read, found = Counter(), {}, {}
    for slot in Asynchronous().slots(n_stages, n):
        if slot.phase is Phase.FORWARD:
            read[slot.stage, slot.micro_batch] = updates[slot.stage]
        elif slot.phase is Phase.UPDATE:
            found[slot.stage] = updates[slot.stage] - read[slot.stage, slot.micro_batch]
            updates[slot.stage] += 1
    return [found[stage] for stage in range(n_stages)]


@given(n_stages=st.integers(1, 9))
def test_staleness_is_twice_the_stages_behind(n_stages):
    assert staleness(n_stages) == [2 * (n_stages - 1 - s) for s in range(n_stages)]


@given(stage_cycles=times, n=st.integers(1, 30))
def test_a_pipeline_takes_its_fill_and_the_slowest_stage_for_each_that_follows(stage_cycles, n):
    tasks = [Task(s, Phase.FORWARD, c, (s - 1,) if s else ()) for s, c in enumerate(stage_cycles)]
    flow = Flow(stages=range(len(stage_cycles)), tasks=tasks)

    assert cycles(flow, ForwardOnly(), n) == sum(stage_cycles) + (n - 1) * max(stage_cycles)


@given(stages=st.lists(st.tuples(*[st.integers(1, 40)] * 3), min_size=1, max_size=6))
def test_asynchronous_training_is_as_fast_as_its_slowest_stage(stages):
    flow = training(*map(list, zip(*stages, strict=True)))
    found = steady(ALONE, Router(), flow, Asynchronous(), "analytic")

    assert found.recurs
    assert found.interval_cycles == max(map(sum, stages))


@given(
    stages=st.lists(st.tuples(*[st.integers(1, 40)] * 3), min_size=1, max_size=5),
    schedule=st.sampled_from(
        [Sequential(), Asynchronous(), *(kind(micro_batches_per_update=4) for kind in FLUSHED)]
    ),
    more=st.integers(1, 9),
)
def test_what_is_extrapolated_is_what_a_longer_run_takes(stages, schedule, more):
    flow = training(*map(list, zip(*stages, strict=True)))
    found = steady(ALONE, Router(), flow, schedule, "analytic")
    n = len(found.timing.started) + more * found.micro_batches

    assert cycles(flow, schedule, n) == found.total_cycles(n)


def test_a_resource_of_two_stages_follows_the_slots_of_both():
    """The last stage's tile also has the first stage's update: 5 + 3 cycles for each."""
    tasks = [
        Task(0, Phase.FORWARD, 2),
        Task(1, Phase.FORWARD, 5, (0,)),
        Task(1, Phase.UPDATE, 3, (0,), stage=0),
    ]
    flow = Flow(stages=[0, 1], tasks=tasks)

    timing = time_flow(ALONE, Router(), flow, Asynchronous(), 6, "analytic")
    slots = [s for s in Asynchronous().slots(2, 6) if (s.phase, s.stage) in {(0, 1), (3, 0)}]
    started = [timing.started[s.micro_batch, 1 if s.phase == 0 else 2] for s in slots]
    assert started == sorted(started)
    assert steady(ALONE, Router(), flow, Asynchronous(), "analytic").interval_cycles == 8


@given(f=st.integers(1, 9), b=st.integers(1, 9), p=st.integers(1, 6), m=st.integers(1, 12))
def test_a_batch_of_equal_stages_has_the_bubble_of_gpipe(f, b, p, m):
    flow = training([f] * p, [b] * p, [0] * p)

    for kind in FLUSHED:
        assert cycles(flow, kind(micro_batches_per_update=m), m) == (m + p - 1) * (f + b)
    assert cycles(flow, Sequential(), m) == m * p * (f + b)


def chain(task_cycles, flits):
    """Two tiles side by side; one sends a message of packets to the other in every micro-batch."""
    tasks = [Task(0, Phase.FORWARD, task_cycles), Task(1, Phase.FORWARD, task_cycles)]
    return Flow(stages=[0, 1], tasks=tasks, sends=[Send(0, 0, flits, {1: (1,)})])


@pytest.mark.parametrize("model", ["packet", "flit"])
def test_a_starved_link_sets_the_interval(model):
    flow, row = chain(10, (8,) * 20), Mesh(width=2, height=1)
    found = steady(row, Router(virtual_channels=4), flow, ForwardOnly(), model)

    assert found.timing.link_flits.max() == 160
    assert found.interval_cycles == pytest.approx(160, rel=0.02)


@pytest.mark.parametrize("model", ["analytic", "packet", "flit"])
def test_a_message_takes_the_closed_form_between_two_tasks(model):
    timing = time_flow(Mesh(width=2, height=1), Router(), chain(10, (8,)), ForwardOnly(), 1, model)

    assert timing.started.tolist() == [[0, 10 + Router().zero_load_cycles(1, 8)]]


def test_a_task_waits_for_every_packet_and_every_need():
    tasks = [
        Task(0, Phase.FORWARD, 5), Task(1, Phase.FORWARD, 7), Task(2, Phase.FORWARD, 1, (1,)),
    ]  # fmt: skip
    sends = [Send(0, 0, (3, 3), {1: (2,)})]
    flow = Flow(stages=[0, 0, 0], tasks=tasks, sends=sends)
    timing = time_flow(Mesh(width=2, height=1), Router(), flow, ForwardOnly(), 1)

    assert timing.started[0, 2] == timing.arrivals.max() > 7


def test_what_waits_for_itself_is_refused():
    tasks = [Task(0, Phase.FORWARD, 1, (1,)), Task(0, Phase.FORWARD, 1, (0,))]
    with pytest.raises(RuntimeError, match="task 0 of micro-batch 0 never becomes ready"):
        time_flow(ALONE, Router(), Flow(stages=[0], tasks=tasks), ForwardOnly(), 1)


@pytest.mark.slow
def test_a_busy_mesh_recurs_and_a_longer_run_agrees():
    draw = np.random.default_rng(0)
    n = 16
    tasks = [Task(i, Phase.FORWARD, 40) for i in range(n)]
    tasks += [Task(n + i, Phase.FORWARD, 20) for i in range(n)]
    ends = draw.permutation(n).tolist()
    sends = [Send(i, i, (4,) * 3, {ends[i]: (n + ends[i],)}) for i in range(n)]
    flow = Flow(stages=[0] * n + [1] * n, tasks=tasks, sends=sends)
    mesh, router = Mesh(width=4, height=4), Router(virtual_channels=4, rotates=False)
    found = steady(mesh, router, flow, ForwardOnly())
    longer = time_flow(mesh, router, flow, ForwardOnly(), len(found.timing.started) + 40)

    assert found.recurs
    shift = found.micro_batches
    repeated = longer.started[-20:] - longer.started[-20 - shift : -shift]
    assert (repeated == found.cycles).all()
    assert longer.cycles == found.total_cycles(len(longer.started))


@pytest.mark.parametrize("model", ["analytic", "packet", "flit"])
def test_where_a_run_pauses_for_signals_changes_nothing(model, monkeypatch):
    flow, seen = chain(10, (8, 8, 3)), []
    mesh, router = Mesh(width=3, height=1), Router()
    whole = time_flow(mesh, router, flow, ForwardOnly(), 9, model)
    monkeypatch.setattr(models, "_ROUTER_CYCLES", 3)
    monkeypatch.setattr(models, "_EVENTS", 2)

    paused = time_flow(
        mesh, router, flow, ForwardOnly(), 9, model, lambda *share: seen.append(share)
    )

    for name in ("started", "ended", "arrivals", "link_flits", "cycles"):
        assert np.array_equal(getattr(paused, name), getattr(whole, name)), name
    done, totals = zip(*seen, strict=True)
    assert done[:2] == (0, 0)
    assert len(seen) > 10
    assert list(done) == sorted(done)
    assert set(totals) == {9 * (8 + 8 + 3) * 2}  # a link, and the port of a tile


def test_what_takes_more_memory_than_there_is_is_refused(monkeypatch):
    monkeypatch.setattr(models, "lacking", lambda needed: 0)

    with pytest.raises(MemoryError):
        time_flow(Mesh(width=2, height=1), Router(), chain(10, (8,)), ForwardOnly(), 1)


def test_packets_of_a_multicast_share_a_route():
    messages = models.Messages(
        source=np.array([0, 0, 0, 0]), flits=np.array([8, 8, 3, 8]), first=np.arange(0, 9, 2),
        destination=np.array([1, 2, 1, 2, 1, 3, 1, 3]),
    )  # fmt: skip

    routes, root = models.shared_routes(Mesh(width=4, height=1), messages)

    assert len(routes.root) == 2
    assert root.tolist() == [routes.root[k] for k in (0, 0, 1, 1)]
