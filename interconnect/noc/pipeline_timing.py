"""Timing of a pipeline: resources do tasks in the order of a schedule, and messages take time.

Nothing is timed twice: the slots of the schedule that the executor follows fix the order in which
every resource does its tasks, and the interconnect says when what they need has arrived. Since
each resource waits for what is next rather than by a timetable, the interval comes out of the run
and is the smallest that this order allows.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import accumulate

import numpy as np

from crossmesh.interconnect.noc.models import Messages, Model, Watch, carry, unwatched
from crossmesh.interconnect.noc.resources import ResourcePlan, work_of
from crossmesh.interconnect.noc.router import Router
from crossmesh.interconnect.noc.topology import Integers, Topology
from crossmesh.interconnect.schedule import Phase, Schedule

_CONFIRMED = 2  # times that a pattern must recur before it is believed
_DOUBLINGS = 8  # of the micro-batches that are timed, in search of the pattern
_MOST_FLIT_HOPS = 20_000_000  # in one run, beyond which the search ends,
_MOST_TASKS = 4_000_000  # and so it does beyond so many tasks


@dataclass(frozen=True, slots=True)
class Task:
    """A task that a resource does once per micro-batch.

    Attributes:
        resource: Number of the resource.
        phase: Phase of the schedule in which it is done.
        cycles: Duration in cycles.
        needs: Numbers of tasks whose result it takes without a message.
    """

    resource: int
    phase: Phase
    cycles: int
    needs: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Send:
    """A message at the end of a task, in as many packets as it takes.

    Attributes:
        task: The task.
        source: Node that it is sent from.
        flits: Length of each packet.
        takers: Tasks that wait for it, by the node that they are at.
    """

    task: int
    source: int
    flits: tuple[int, ...]
    takers: Mapping[int, tuple[int, ...]]


@dataclass(frozen=True, kw_only=True)
class Flow:
    """Tasks and messages of every micro-batch.

    Attributes:
        stages: Stage of each resource.
        tasks: Tasks; those of one resource and phase are done in this order.
        sends: Messages.
    """

    stages: Sequence[int]
    tasks: Sequence[Task]
    sends: Sequence[Send] = field(default=())

    @property
    def busy_cycles(self) -> Integers:
        """``(resources,)`` cycles of work per micro-batch."""
        busy = np.zeros(len(self.stages), np.int64)
        np.add.at(busy, [task.resource for task in self.tasks], [t.cycles for t in self.tasks])
        return busy


@dataclass(frozen=True, kw_only=True, eq=False)
class Timing:
    """When what was done.

    Attributes:
        started: ``(micro-batches, tasks)`` first cycle of each task.
        ended: ``(micro-batches, tasks)`` first cycle after it.
        arrivals: ``(micro-batches, deliveries)`` cycle in which each packet arrived.
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
    """

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

    Returns:
        Starts, ends and arrivals in cycles.

    Raises:
        ValueError, MemoryError: If flow, interconnect and memory do not fit.
        RuntimeError: If a task never becomes ready, or packets deadlock.
    """
    messages, taken = _messages(flow, n_micro_batches)
    plan, needs = _plan(flow, schedule, n_micro_batches, taken)
    work = work_of(plan, needs, n_micro_batches)
    carried = carry(topology, router, messages, plan, work, model, watch)
    if (work.started < 0).any():
        m, task = np.argwhere(work.started < 0)[0].tolist()
        raise RuntimeError(f"task {task} of micro-batch {m} never becomes ready")
    return Timing(
        started=work.started,
        ended=work.started + plan.cycles,
        arrivals=carried.arrivals.reshape(n_micro_batches, -1),
        link_flits=carried.link_flits // n_micro_batches,
        cycles=carried.cycles,
    )


def steady(
    topology: Topology, router: Router, flow: Flow, schedule: Schedule, model: Model = "flit",
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
        model: ``analytic``, ``packet`` or ``flit``.
        watch: Called now and then, in each run of the search.

    Returns:
        Times of the run, and the period in cycles and micro-batches.
    """
    n_stages = 1 + max(flow.stages)
    step = schedule.micro_batches_per_update
    in_flight = 1 if step > 1 or not schedule.overlaps else 2 * n_stages
    n = step * (3 * in_flight + _CONFIRMED + 4)
    for _ in range(_DOUBLINGS + 1):
        timing = time_flow(topology, router, flow, schedule, n, model, watch)
        found = _recurrence(timing, step, in_flight)
        if found:
            return Steady(timing=timing, **found, recurs=True)
        n *= 2
        if n * int(timing.link_flits.sum()) > _MOST_FLIT_HOPS or n * len(flow.tasks) > _MOST_TASKS:
            break
    return _mean(timing, step, in_flight)


def _recurrence(timing: Timing, step: int, in_flight: int) -> dict[str, int] | None:
    """The shortest period in which every start repeats, looked at before the pipeline drains."""
    drains = in_flight if in_flight > 1 else 0
    events = timing.started[: len(timing.started) - drains]
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


def _mean(timing: Timing, step: int, in_flight: int) -> Steady:
    last = len(timing.started) - 1 - (in_flight if in_flight > 1 else 0)
    first = (last // 2) // step * step
    last = first + (last - first) // step * step
    cycles = int((timing.started[last] - timing.started[first]).max())
    return Steady(
        timing=timing, micro_batches=last - first, cycles=cycles, settled=first, recurs=False
    )


def _messages(flow: Flow, copies: int) -> tuple[Messages, list[tuple[int, ...]]]:
    """Packets, and the tasks that wait for each of their deliveries."""
    packets = [(send, flits) for send in flow.sends for flits in send.flits]
    counts = [len(send.takers) for send, _ in packets]
    messages = Messages(
        source=np.array([send.source for send, _ in packets], np.int64),
        flits=np.array([flits for _, flits in packets], np.int64),
        first=np.array([0, *accumulate(counts)], np.int64),
        destination=np.array([node for send, _ in packets for node in send.takers], np.int64),
        copies=copies,
    )
    return messages, [tasks for send, _ in packets for tasks in send.takers.values()]


def _plan(
    flow: Flow, schedule: Schedule, n_micro_batches: int, taken: list[tuple[int, ...]]
) -> tuple[ResourcePlan, Integers]:
    """A flow and the slots of a schedule as flat arrays, and what each task waits for."""
    n_tasks, n_resources = len(flow.tasks), len(flow.stages)
    then: list[list[int]] = [[] for _ in range(n_tasks)]
    listed: list[list[int]] = [[] for _ in range(n_resources * len(Phase))]
    needs = np.zeros(n_tasks, np.int64)
    for number, task in enumerate(flow.tasks):
        listed[task.resource * len(Phase) + task.phase].append(number)
        for before in task.needs:
            then[before].append(number)
            needs[number] += 1
    for tasks in taken:
        np.add.at(needs, list(tasks), 1)
    sends: list[list[int]] = [[] for _ in range(n_tasks)]
    numbers: Iterator[int] = iter(range(sum(len(send.flits) for send in flow.sends)))
    for send in flow.sends:
        sends[send.task].extend(next(numbers) for _ in send.flits)
    slots: list[list[tuple[int, int]]] = [[] for _ in range(1 + max(flow.stages))]
    for slot in schedule.slots(len(slots), n_micro_batches):
        slots[slot.stage].append((slot.phase, slot.micro_batch))
    then_first, then_flat = _rows(then)
    sends_first, sends_flat = _rows(sends)
    taken_first, taken_flat = _rows(taken)
    list_first, list_flat = _rows(listed)
    slot_first, _ = _rows([[0] * len(stage) for stage in slots])
    pairs = np.array([pair for stage in slots for pair in stage], np.int64).reshape(-1, 2)
    plan = ResourcePlan(
        cycles=np.array([task.cycles for task in flow.tasks], np.int64),
        resource=np.array([task.resource for task in flow.tasks], np.int64),
        then_first=then_first, then=then_flat, sends_first=sends_first, sends=sends_flat,
        taken_first=taken_first, taken=taken_flat, list_first=list_first, list=list_flat,
        stage=np.array(flow.stages, np.int64), slot_first=slot_first,
        slot_phase=pairs[:, 0].copy(), slot_micro_batch=pairs[:, 1].copy(),
        n_phases=len(Phase), n_deliveries=len(taken),
    )  # fmt: skip
    return plan, needs


def _rows(rows: Sequence[Iterable[int]]) -> tuple[Integers, Integers]:
    """Lists of lists as the places where each begins, and all of them one after the other."""
    lists = [list(row) for row in rows]
    first = np.array([0, *accumulate(map(len, lists))], np.int64)
    return first, np.array([n for row in lists for n in row], np.int64)
