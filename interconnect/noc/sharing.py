"""Timing of several pipelines that share an interconnect, each at the interval that it reaches."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate

import numpy as np

from crossmesh.interconnect.noc.choice import Choice, Wanted, choose, without_flits
from crossmesh.interconnect.noc.flow import Flow, messages_of, plan_of, ways_of
from crossmesh.interconnect.noc.models import Messages, Watch, carry, unwatched
from crossmesh.interconnect.noc.pipeline_timing import (
    Steady,
    Timing,
    check_ready,
    mean_of,
    recurrence,
)
from crossmesh.interconnect.noc.resources import ResourcePlan, work_of
from crossmesh.interconnect.noc.router import Router
from crossmesh.interconnect.noc.topology import Integers, Topology
from crossmesh.interconnect.schedule import Schedule

_LEAST = 4  # updates of each pipeline that are timed
_MOST_TASKS = 4_000_000  # over all pipelines


def steady_together(  # noqa: PLR0913, PLR0917  as ``steady``
    topology: Topology,
    router: Router,
    flows: Sequence[Flow],
    schedules: Sequence[Schedule],
    alone: Sequence[Steady],
    model: Wanted = "flit",
    watch: Watch = unwatched,
) -> tuple[Steady, ...]:
    """Time pipelines side by side, from when all begin until the first has done its part.

    Each does about as many micro-batches as it would do alone in the time that all take. Where the
    starts of its tasks do not recur, its interval is a mean over the second half; of a pipeline
    that did not come to two updates in that time, over its first two.

    Args:
        topology: Routers and links, which all share.
        router: Parameters of the routers.
        flows: Tasks and messages of each pipeline; no node is in two of them.
        schedules: Order of the phases of each.
        alone: Each pipeline timed by itself.
        model: ``auto``, ``analytic``, ``packet`` or ``flit``.
        watch: Called now and then.

    Returns:
        The settled timing of each pipeline.

    Raises:
        RuntimeError: If a task never becomes ready, or packets deadlock.
    """
    counts = _counts(flows, schedules, alone)
    hops = sum(n * ways_of(topology, flow).hops for n, flow in zip(counts, flows, strict=True))
    choice = choose(model, hops, without_flits(topology))
    whole = choice.model == "analytic"
    messages, plan, needs = _joined(flows, schedules, counts, whole=whole)
    work = work_of(plan, needs, max(counts))
    carry(topology, router, messages, plan, work, choice.model, watch)
    bounds = list(accumulate((len(flow.tasks) for flow in flows), initial=0))
    started = [work.started[: counts[i], bounds[i] : bounds[i + 1]] for i in range(len(flows))]
    for i, each in enumerate(started):
        check_ready(each, f"pipeline {i}: ")
    end = min(int(each.max()) for each in started)
    return tuple(
        _settled(each[: _within(each, end, schedule)], flow, schedule, one, choice)
        for each, flow, schedule, one in zip(started, flows, schedules, alone, strict=True)
    )


def _counts(
    flows: Sequence[Flow], schedules: Sequence[Schedule], alone: Sequence[Steady]
) -> list[int]:
    """Micro-batches of each pipeline: as many as it does alone while the slowest is timed twice."""
    intervals = [float(each.interval_cycles) for each in alone]
    span = 2 * max(len(each.timing.started) * i for each, i in zip(alone, intervals, strict=True))
    rates = sum(len(flow.tasks) / i for flow, i in zip(flows, intervals, strict=True))
    span = min(span, _MOST_TASKS / rates)
    counts = []
    for interval, schedule in zip(intervals, schedules, strict=True):
        step = schedule.micro_batches_per_update
        counts.append(step * max(2 * _LEAST, -(-int(span / interval) // step)))
    return counts


def _within(started: Integers, end: int, schedule: Schedule) -> int:
    """Micro-batches that have begun all of their tasks by a cycle; at least those of two updates.

    An interval takes two of them: fewer have none, or none that can be told.
    """
    by_then = int(np.count_nonzero(np.maximum.accumulate(started.max(axis=1)) <= end))
    return max(by_then, 2 * schedule.micro_batches_per_update)


def _settled(
    started: Integers, flow: Flow, schedule: Schedule, alone: Steady, choice: Choice
) -> Steady:
    step = schedule.micro_batches_per_update
    in_flight = 1 if step > 1 or not schedule.overlaps else 2 * flow.n_stages
    cycles = np.array([task.cycles for task in flow.tasks], np.int64)
    timing = Timing(
        started=started,
        ended=started + cycles,
        arrivals=np.zeros((len(started), 0), np.int64),
        link_flits=alone.timing.link_flits,
        cycles=int((started + cycles).max()),
    )
    found = recurrence(timing, step, in_flight)
    if found:
        return Steady(timing=timing, **found, recurs=True, choice=choice)
    return mean_of(timing, step, 1, choice)


def _joined(
    flows: Sequence[Flow], schedules: Sequence[Schedule], counts: Sequence[int], *, whole: bool
) -> tuple[Messages, ResourcePlan, Integers]:
    """All pipelines as one, in which each does its own number of micro-batches."""
    made = [messages_of(flow, max(counts), whole=whole) for flow in flows]
    plans = [
        plan_of(flow, schedule, n, whole=whole)
        for flow, schedule, n in zip(flows, schedules, counts, strict=True)
    ]
    messages, plan, needs = made[0], *plans[0]
    for others, (other, more) in zip(made[1:], plans[1:], strict=True):
        plan = _beside(plan, other, len(messages.flits))
        messages = replace(
            messages,
            source=np.concatenate([messages.source, others.source]),
            flits=np.concatenate([messages.flits, others.flits]),
            longest=np.concatenate([messages.longest, others.longest]),
            first=_after(messages.first, others.first),
            destination=np.concatenate([messages.destination, others.destination]),
        )
        needs = np.concatenate([needs, more])
    return messages, plan, needs


def _after(first: Integers, more: Integers) -> Integers:
    """Where lists begin, of two runs of lists one after the other."""
    return np.concatenate([first, first[-1] + more[1:]])


def _beside(one: ResourcePlan, two: ResourcePlan, n_messages: int) -> ResourcePlan:
    """Two plans as one; tasks, resources, messages and stages of the second follow the first's."""
    tasks = len(one.cycles)
    kinds = max(one.n_phases, two.n_phases)
    return ResourcePlan(
        cycles=np.concatenate([one.cycles, two.cycles]),
        resource=np.concatenate([one.resource, len(one.stage) + two.resource]),
        then_first=_after(one.then_first, two.then_first),
        then=np.concatenate([one.then, tasks + two.then]),
        lag=np.concatenate([one.lag, two.lag]),
        sends_first=_after(one.sends_first, two.sends_first),
        sends=np.concatenate([one.sends, n_messages + two.sends]),
        taken_first=_after(one.taken_first, two.taken_first),
        taken=np.concatenate([one.taken, tasks + two.taken]),
        list_first=_after(_padded(one, kinds), _padded(two, kinds)),
        list=np.concatenate([one.list, tasks + two.list]),
        stage=np.concatenate([one.stage, len(one.slot_first) - 1 + two.stage]),
        slot_first=_after(one.slot_first, two.slot_first),
        slot_phase=np.concatenate([one.slot_phase, two.slot_phase]),
        slot_micro_batch=np.concatenate([one.slot_micro_batch, two.slot_micro_batch]),
        n_phases=kinds,
        n_deliveries=one.n_deliveries + two.n_deliveries,
    )


def _padded(plan: ResourcePlan, kinds: int) -> Integers:
    """Where a resource's lists begin, with empty ones behind them for kinds that it has not."""
    first = plan.list_first[:-1].reshape(len(plan.stage), plan.n_phases)
    end = plan.list_first[plan.n_phases :: plan.n_phases]
    more = np.repeat(end[:, None], kinds - plan.n_phases, axis=1)
    return np.append(np.concatenate([first, more], axis=1).ravel(), plan.list_first[-1])
