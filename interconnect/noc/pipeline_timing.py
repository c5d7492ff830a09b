"""Timing of a pipeline: resources do tasks in the order of a schedule, and messages take time.

Nothing is timed twice: the slots of the schedule that the executor follows fix the order in which
every resource does its tasks, and the interconnect says when what they need has arrived. Since
each resource waits for what is next rather than by a timetable, the interval comes out of the run
and is the smallest that this order allows.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from crossmesh.interconnect.noc.choice import Choice, Wanted, choose, without_flits
from crossmesh.interconnect.noc.flow import Flow, FlowRoutes, messages_of, plan_of, ways_of
from crossmesh.interconnect.noc.models import Model, Watch, carry, unwatched
from crossmesh.interconnect.noc.resources import work_of
from crossmesh.interconnect.noc.router import Router
from crossmesh.interconnect.noc.topology import Integers, Topology
from crossmesh.interconnect.schedule import Schedule

_CONFIRMED = 2  # times that a pattern must recur before it is believed
_DOUBLINGS = 8  # of the micro-batches that are timed, in search of the pattern
_MOST_FLIT_HOPS = 20_000_000  # in one run, beyond which the search ends,
_MOST_TASKS = 4_000_000  # and so it does beyond so many tasks


@dataclass(frozen=True, kw_only=True, eq=False)
class Timing:
    """When what was done.

    Attributes:
        started: ``(micro-batches, tasks)`` first cycle of each task.
        ended: ``(micro-batches, tasks)`` first cycle after it.
        arrivals: ``(micro-batches, deliveries)`` cycle in which each packet arrived; by the
            analytic model, in which each message had.
        link_flits: ``(links,)`` flits per micro-batch.
        cycles: Cycle in which everything was done.
    """

    started: Integers
    ended: Integers
    arrivals: Integers
    link_flits: Integers
    cycles: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Steady:
    """A pipeline that has settled.

    Attributes:
        timing: The run in which it did.
        micro_batches: Micro-batches after which the pattern recurs.
        cycles: Cycles after which it recurs.
        settled: First micro-batch of the pattern.
        recurs: Whether it recurs exactly; otherwise the interval is a mean.
        choice: The model that timed it, and why.
    """

    choice: Choice
    timing: Timing
    micro_batches: int
    cycles: int
    settled: int
    recurs: bool

    @property
    def interval_cycles(self) -> Fraction:
        """Cycles from one micro-batch to the next."""
        return Fraction(self.cycles, self.micro_batches)

    def total_cycles(self, n_micro_batches: int) -> Fraction:
        """Cycles of a run of at least as many micro-batches as were timed."""
        more = n_micro_batches - len(self.timing.started)
        return self.timing.cycles + more * self.interval_cycles


def time_flow(  # noqa: PLR0913, PLR0917  as ``carry``
    topology: Topology,
    router: Router,
    flow: Flow,
    schedule: Schedule,
    n_micro_batches: int,
    model: Model = "flit",
    watch: Watch = unwatched,
    ways: FlowRoutes | None = None,
) -> Timing:
    """Time a run of some micro-batches, from an empty pipeline to an empty one.

    Args:
        topology: Routers and links.
        router: Parameters of the routers.
        flow: Tasks of a micro-batch and the messages between them.
        schedule: Order of the phases.
        n_micro_batches: Length of the run.
        model: ``analytic``, ``packet`` or ``flit``.
        watch: Called now and then.
        ways: Routes of the messages, where they are known.

    Returns:
        Starts, ends and arrivals in cycles.

    Raises:
        ValueError, MemoryError: If flow, interconnect and memory do not fit.
        RuntimeError: If a task never becomes ready, or packets deadlock.
    """
    whole = model == "analytic"
    ways = ways or ways_of(topology, flow)
    messages = messages_of(flow, n_micro_batches, whole=whole, ways=ways)
    plan, needs = plan_of(flow, schedule, n_micro_batches, whole=whole)
    work = work_of(plan, needs, n_micro_batches)
    carried = carry(topology, router, messages, plan, work, model, watch)
    check_ready(work.started)
    return Timing(
        started=work.started,
        ended=work.started + plan.cycles,
        arrivals=carried.arrivals.reshape(n_micro_batches, -1),
        link_flits=carried.link_flits // n_micro_batches,
        cycles=carried.cycles,
    )


def check_ready(started: Integers, where: str = "") -> None:
    """Refuse timings with tasks that never begin.

    Args:
        started: ``(micro-batches, tasks)`` first cycle of each task; below 0: none.
        where: Words that the error begins with.

    Raises:
        RuntimeError: With the first of them.
    """
    if (started < 0).any():
        m, task = np.argwhere(started < 0)[0].tolist()
        raise RuntimeError(f"{where}task {task} of micro-batch {m} never becomes ready")


def steady(
    topology: Topology, router: Router, flow: Flow, schedule: Schedule, model: Wanted = "flit",
    watch: Watch = unwatched,
) -> Steady:  # fmt: skip
    """Time a pipeline until its pattern recurs: every start of a task, shifted by a constant.

    What is under way at one time lies within as many micro-batches as are in flight. Once twice as
    many do the same at the same distances, what follows is taken to do so too.

    Args:
        topology: Routers and links.
        router: Parameters of the routers.
        flow: Tasks of a micro-batch and the messages between them.
        schedule: Order of the phases.
        model: ``analytic``, ``packet`` or ``flit``; ``auto``: see ``choose``.
        watch: Called now and then, in each run of the search.

    Returns:
        Times of the run, and the period in cycles and micro-batches.
    """
    step = schedule.micro_batches_per_update
    in_flight = 1 if step > 1 or not schedule.overlaps else 2 * flow.n_stages
    n = step * (3 * in_flight + _CONFIRMED + 4)
    ways = ways_of(topology, flow)
    choice = choose(model, n * ways.hops, without_flits(topology))
    for _ in range(_DOUBLINGS + 1):
        timing = time_flow(topology, router, flow, schedule, n, choice.model, watch, ways)
        found = recurrence(timing, step, in_flight)
        if found:
            return Steady(timing=timing, **found, recurs=True, choice=choice)
        n *= 2
        if n * int(timing.link_flits.sum()) > _MOST_FLIT_HOPS or n * len(flow.tasks) > _MOST_TASKS:
            break
    return mean_of(timing, step, in_flight, choice)


def recurrence(timing: Timing, step: int, in_flight: int) -> dict[str, int] | None:
    """The shortest period in which every start repeats, looked at before the pipeline drains."""
    events = timing.started[: len(timing.started) - (in_flight if in_flight > 1 else 0)]
    groups = len(events) // step
    for period in range(1, groups // (_CONFIRMED + 1)):
        window = max(in_flight, period) * _CONFIRMED * step
        shift = period * step
        if window + shift > len(events):
            break
        later, earlier = events[-window:], events[-window - shift : -shift]
        differences = later - earlier
        if (differences == differences[0, 0]).all():
            return {
                "micro_batches": shift,
                "cycles": int(differences[0, 0]),
                "settled": len(events) - window - shift,
            }
    return None


def mean_of(timing: Timing, step: int, in_flight: int, choice: Choice) -> Steady:
    """The mean over the second half."""
    last = len(timing.started) - 1 - (in_flight if in_flight > 1 else 0)
    first = (last // 2) // step * step
    last = first + (last - first) // step * step
    cycles = int((timing.started[last] - timing.started[first]).max())
    return Steady(
        timing=timing, micro_batches=last - first, cycles=cycles, settled=first, recurs=False,
        choice=choice,
    )  # fmt: skip
