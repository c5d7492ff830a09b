"""Tasks and messages of a pipeline, and the flat arrays that kernels take them as."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, count, islice
from typing import NamedTuple

import numpy as np

from crossmesh.interconnect.noc.models import Messages, hops_of, shared_routes
from crossmesh.interconnect.noc.resources import ResourcePlan
from crossmesh.interconnect.noc.routes import Routes
from crossmesh.interconnect.noc.topology import Integers, Topology
from crossmesh.interconnect.noc.turns import Turns
from crossmesh.interconnect.schedule import Phase, Schedule


@dataclass(frozen=True, slots=True)
class Task:
    """A task that a resource does once per micro-batch.

    Attributes:
        resource: Number of the resource.
        phase: Phase of the schedule in which it is done.
        cycles: Duration in cycles.
        needs: Numbers of tasks whose result it takes without a message.
        behind: Numbers of tasks that must have ended for a micro-batch that lies so many before.
        stage: Stage of the schedule in which it is done; None: that of its resource.
    """

    resource: int
    phase: Phase
    cycles: int
    needs: tuple[int, ...] = ()
    behind: tuple[tuple[int, int], ...] = ()
    stage: int | None = None


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
    def n_stages(self) -> int:
        """Stages of the pipeline: those that tasks are of."""
        of_tasks = (self.stages[t.resource] if t.stage is None else t.stage for t in self.tasks)
        return 1 + max(of_tasks)

    @property
    def busy_cycles(self) -> Integers:
        """``(resources,)`` cycles of work per micro-batch."""
        busy = np.zeros(len(self.stages), np.int64)
        np.add.at(busy, [task.resource for task in self.tasks], [t.cycles for t in self.tasks])
        return busy


class FlowRoutes(NamedTuple):
    """Routes of the messages of a flow.

    Attributes:
        routes: The routes.
        root: ``(sends,)`` root of each message's.
        hops: Hops of flits per micro-batch, those to tiles among them.
    """

    routes: Routes
    root: Integers
    hops: int


def ways_of(topology: Topology, flow: Flow) -> FlowRoutes:
    """Routes of the messages of a flow, and the hops that they take."""
    messages = messages_of(flow, 1, whole=True)
    routes, root = shared_routes(topology, messages)
    return FlowRoutes(routes, root, hops_of(messages, routes, root))


def messages_of(
    flow: Flow, n_micro_batches: int, *, whole: bool, ways: FlowRoutes | None = None
) -> Messages:
    """What a flow sends: packets, or each message as a whole, as the analytic model takes it."""
    entries = [
        (send, flits)
        for send in flow.sends
        for flits in ([send.flits] if whole else [(n,) for n in send.flits])
    ]
    counts = [len(send.takers) for send, _ in entries]
    n_entries = [1 if whole else len(send.flits) for send in flow.sends]
    return Messages(
        source=np.array([send.source for send, _ in entries], np.int64),
        flits=np.array([sum(flits) for _, flits in entries], np.int64),
        longest=np.array([max(flits) for _, flits in entries], np.int64),
        first=np.array([0, *accumulate(counts)], np.int64),
        destination=np.array([node for send, _ in entries for node in send.takers], np.int64),
        ways=None if ways is None else (ways.routes, np.repeat(ways.root, n_entries)),
        copies=n_micro_batches,
    )


def plan_of(
    flow: Flow, schedule: Schedule, n_micro_batches: int, *, whole: bool
) -> tuple[ResourcePlan, Integers]:
    """A flow and the slots of a schedule as flat arrays, and what each task waits for."""
    n_entries = [1 if whole else len(send.flits) for send in flow.sends]
    taken = [
        tasks
        for send, n in zip(flow.sends, n_entries, strict=True)
        for tasks in list(send.takers.values()) * n
    ]
    n_tasks = len(flow.tasks)
    then: list[list[int]] = [[] for _ in range(n_tasks)]
    lags: list[list[int]] = [[] for _ in range(n_tasks)]
    turns = Turns(flow.stages, [(task.resource, task.phase, task.stage) for task in flow.tasks])
    needs = np.zeros(n_tasks, np.int64)
    for number, task in enumerate(flow.tasks):
        for before, lag in (*((each, 0) for each in task.needs), *task.behind):
            then[before].append(number)
            lags[before].append(lag)
            needs[number] += 1
    for tasks in taken:
        np.add.at(needs, list(tasks), 1)
    sends: list[list[int]] = [[] for _ in range(n_tasks)]
    numbers = count()
    for send, n in zip(flow.sends, n_entries, strict=True):
        sends[send.task].extend(islice(numbers, n))
    slots = turns.slots(schedule, n_micro_batches)
    then_first, then_flat = _rows(then)
    sends_first, sends_flat = _rows(sends)
    taken_first, taken_flat = _rows(taken)
    list_first, list_flat = _rows(turns.tasks)
    slot_first, _ = _rows([[0] * len(each) for each in slots])
    pairs = np.array([pair for each in slots for pair in each], np.int64).reshape(-1, 2)
    plan = ResourcePlan(
        cycles=np.array([task.cycles for task in flow.tasks], np.int64),
        resource=np.array([task.resource for task in flow.tasks], np.int64),
        then_first=then_first, then=then_flat, lag=_rows(lags)[1],
        sends_first=sends_first, sends=sends_flat, taken_first=taken_first, taken=taken_flat,
        list_first=list_first, list=list_flat, stage=np.array(turns.rota, np.int64),
        slot_first=slot_first, slot_phase=pairs[:, 0].copy(), slot_micro_batch=pairs[:, 1].copy(),
        n_phases=turns.n_kinds, n_deliveries=len(taken),
    )  # fmt: skip
    return plan, needs


def _rows(rows: Sequence[Sequence[int]]) -> tuple[Integers, Integers]:
    """Lists of lists as the places where each begins, and all of them one after the other."""
    first = np.array([0, *accumulate(map(len, rows))], np.int64)
    return first, np.array([n for row in rows for n in row], np.int64)
