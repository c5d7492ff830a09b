"""Kernels of ``pipeline_timing.py``: tasks of resources while packets travel.

Every task is done once per micro-batch. A resource does its tasks one at a time, in the order that
the schedule gives its stage, and waits for the one that is next until everything that it needs has
arrived. What a task makes is ready at its end: other tasks of the same tile may take it at once,
and messages are handed to the interconnect.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.compiled import part

Integers = NDArray[np.int64]
NEVER = np.int64(1) << 62
UNDONE = np.int64(-1) << 62  # of a kernel that stopped to be called again


class ResourcePlan(NamedTuple):
    """Tasks and their dependencies, as constant flat arrays.

    Attributes:
        cycles: ``(tasks,)`` how long each takes.
        resource: ``(tasks,)`` what does it.
        then_first: ``(tasks + 1,)`` where the list of tasks that need it begins in ``then``.
        then: Tasks that need another of the same tile.
        lag: Micro-batches by which each of them lies behind the one whose task it needs.
        sends_first: ``(tasks + 1,)`` where the messages that it sends begin in ``sends``.
        sends: Numbers of messages.
        taken_first: ``(deliveries + 1,)`` where the takers of a delivery begin in ``taken``.
        taken: Tasks that need a delivery.
        list_first: ``(resources * phases + 1,)`` where a resource's tasks of a phase begin.
        list: Tasks, in order, by resource and phase.
        stage: ``(resources,)`` stage of the pipeline.
        slot_first: ``(stages + 1,)`` where the slots of a stage begin.
        slot_phase: Phase of each slot, in the order of the schedule.
        slot_micro_batch: Micro-batch of each slot.
        n_phases: Phases.
        n_deliveries: Arrivals of messages per micro-batch.
    """

    cycles: Integers
    resource: Integers
    then_first: Integers
    then: Integers
    lag: Integers
    sends_first: Integers
    sends: Integers
    taken_first: Integers
    taken: Integers
    list_first: Integers
    list: Integers
    stage: Integers
    slot_first: Integers
    slot_phase: Integers
    slot_micro_batch: Integers
    n_phases: int
    n_deliveries: int


class Work(NamedTuple):
    """Progress of the tasks.

    Attributes:
        missing: ``(micro-batches, tasks)`` what each still waits for.
        started: ``(micro-batches, tasks)`` cycle in which it began, -1 before.
        slot: ``(resources,)`` slot that a resource is at.
        position: ``(resources,)`` its place in that slot's list.
        running: ``(resources,)`` micro-batch * tasks + task, -1 where idle.
        heap: Ends of running tasks, as cycle * resources + resource, smallest first.
        stack: Resources to look at.
        sizes: ``(2,)`` entries of heap and stack.
    """

    missing: NDArray[np.int32]
    started: Integers
    slot: Integers
    position: Integers
    running: Integers
    heap: Integers
    stack: Integers
    sizes: Integers


@part
def next_end(plan, work):
    """Cycle in which the next running task ends."""
    return work.heap[0] // plan.stage.shape[0] if work.sizes[0] > 0 else NEVER


@part
def look_at(work, resource):
    """Remember to see whether a resource can start what is next for it."""
    work.stack[work.sizes[1]] = resource
    work.sizes[1] += 1


@part
def delivered(plan, work, micro_batch, delivery):
    """A message has arrived at one of its destinations."""
    n_tasks = plan.cycles.shape[0]
    for i in range(plan.taken_first[delivery], plan.taken_first[delivery + 1]):
        _met(plan, work, micro_batch, plan.taken[i], n_tasks)


@part
def _met(plan, work, micro_batch, task, n_tasks):
    work.missing[micro_batch, task] -= 1
    if work.missing[micro_batch, task] == 0 and work.running[plan.resource[task]] < 0:
        look_at(work, plan.resource[task])


@part
def start_what_can(plan, work, now):
    """Let every resource that was looked at begin what is next for it."""
    while work.sizes[1] > 0:
        work.sizes[1] -= 1
        resource = work.stack[work.sizes[1]]
        if work.running[resource] < 0:
            _start(plan, work, resource, now)


@part
def _start(plan, work, resource, now):
    stage = plan.stage[resource]
    n_tasks = plan.cycles.shape[0]
    while work.slot[resource] < plan.slot_first[stage + 1]:
        slot = work.slot[resource]
        first = plan.list_first[resource * plan.n_phases + plan.slot_phase[slot]]
        end = plan.list_first[resource * plan.n_phases + plan.slot_phase[slot] + 1]
        if first + work.position[resource] == end:
            work.slot[resource] += 1
            work.position[resource] = 0
            continue
        task = plan.list[first + work.position[resource]]
        micro_batch = plan.slot_micro_batch[slot]
        if work.missing[micro_batch, task] == 0:
            work.position[resource] += 1
            work.running[resource] = micro_batch * n_tasks + task
            work.started[micro_batch, task] = now
            ends = (now + plan.cycles[task]) * plan.stage.shape[0] + resource
            _push(work.heap, work.sizes, ends)
        return


@part
def end_next(plan, work):
    """Take the task that ends next; those that need it may begin.

    Returns:
        Its micro-batch and number; what it sends is for the caller.
    """
    resource = _pop(work.heap, work.sizes) % plan.stage.shape[0]
    n_tasks = plan.cycles.shape[0]
    micro_batch, task = work.running[resource] // n_tasks, work.running[resource] % n_tasks
    work.running[resource] = -1
    look_at(work, resource)
    for i in range(plan.then_first[task], plan.then_first[task + 1]):
        waiting = micro_batch + plan.lag[i]
        if waiting < work.started.shape[0]:
            _met(plan, work, waiting, plan.then[i], n_tasks)
    return micro_batch, task


@part
def _push(heap, sizes, key):
    i = sizes[0]
    sizes[0] += 1
    while i > 0 and heap[(i - 1) // 2] > key:
        heap[i] = heap[(i - 1) // 2]
        i = (i - 1) // 2
    heap[i] = key


@part
def _pop(heap, sizes):
    top = heap[0]
    sizes[0] -= 1
    n = sizes[0]
    key = heap[n]
    i = 0
    while 2 * i + 1 < n:
        child = 2 * i + 1
        if child + 1 < n and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= key:
            break
        heap[i] = heap[child]
        i = child
    heap[i] = key
    return top


def no_plan(n_deliveries: int) -> tuple[ResourcePlan, Work]:
    """Nothing to do but to carry packets."""
    none = np.zeros(0, np.int64)
    zero = np.zeros(1, np.int64)
    plan = ResourcePlan(
        cycles=none, resource=none, then_first=zero, then=none, lag=none,
        sends_first=zero, sends=none,
        taken_first=np.zeros(n_deliveries + 1, np.int64), taken=none, list_first=zero, list=none,
        stage=none, slot_first=zero, slot_phase=none, slot_micro_batch=none, n_phases=0,
        n_deliveries=n_deliveries,
    )  # fmt: skip
    return plan, work_of(plan, np.zeros(0, np.int64), 1)


def work_of(plan: ResourcePlan, needs: Integers, n_micro_batches: int) -> Work:
    """Nothing done yet; ``needs`` counts what each task waits for."""
    n_tasks, n_resources = len(plan.cycles), len(plan.stage)
    missing = np.tile(needs.astype(np.int32), (n_micro_batches, 1))
    for edge in np.flatnonzero(plan.lag):  # nothing lies before the first micro-batches
        missing[: plan.lag[edge], plan.then[edge]] -= 1
    return Work(
        missing=missing,
        started=np.full((n_micro_batches, n_tasks), -1, np.int64),
        slot=plan.slot_first[plan.stage],
        position=np.zeros(n_resources, np.int64),
        running=np.full(n_resources, -1, np.int64),
        heap=np.zeros(n_resources + 1, np.int64),
        stack=np.resize(np.arange(n_resources), 2 * n_resources + 4),  # all, to begin with
        sizes=np.array([0, n_resources], np.int64),
    )
