"""Memory of activations, known before a run: most bytes of values that hosts store at once.

A value lies in its host's store from the operation or message that makes it to its last use, so
the schedule decides how many micro-batches are stored at once. Each micro-batch changes what is
stored by the same bytes at the same place of the program. So every place has a profile, its net
change and its highest rise, and a sum over the slots of the schedule finds the highest point.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossmesh.emulator.compiler.job import Job
from crossmesh.interconnect.schedule import Schedule
from crossmesh.tiles.runtime.plan import Action, Place, Receive, in_order, plans, uses
from crossmesh.tiles.runtime.program import Operation, Program, Span, Value

NOTED_BYTES = 64 << 20  # activations that take more are worth a line
_FLOAT_BYTES = 4
_UNITS = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


@dataclass(frozen=True, kw_only=True)
class Activations:
    """Most bytes of values that each host stores at once.

    Attributes:
        training: While the network is trained, by host.
        evaluation: While it is tested, by host.
    """

    training: tuple[int, ...]
    evaluation: tuple[int, ...]

    @property
    def most(self) -> tuple[int, ...]:
        """The larger of both, by host."""
        return tuple(map(max, self.training, self.evaluation))


def activations_of(job: Job, host_of: Sequence[int] | None = None) -> Activations:
    """Memory of a job's activations.

    Args:
        job: The job.
        host_of: Host of each tile; by default one host has all.
    """
    hosts = tuple(host_of or (0,) * len(job.program.blocks))
    return Activations(
        training=stored_bytes(job.program, job.epoch(0), hosts),
        evaluation=stored_bytes(job.program, job.evaluation(0), hosts),
    )


def stored_bytes(program: Program, span: Span, host_of: tuple[int, ...]) -> tuple[int, ...]:
    """Most bytes of values that each host stores at once in a span, the inputs of a step included.

    What waits in channels, and what a step needs for itself, is not counted.

    Args:
        program: The program.
        span: The micro-batches.
        host_of: Host of each tile.
    """
    profiles = _by_place(program, span.schedule, host_of)
    stored = most = np.zeros(max(host_of) + 1, np.int64)
    for _, phase, stage, m in span.schedule.slots(program.n_stages, _micro_batches(program, span)):
        if (phase, stage) in profiles:
            start, stop = span.examples(m)
            rise, change = profiles[phase, stage] * (stop - start)
            most = np.maximum(most, stored + rise)
            stored = stored + change
    return tuple(most.tolist())


def _by_place(
    program: Program, schedule: Schedule, host_of: tuple[int, ...]
) -> dict[Place, NDArray[np.int64]]:
    """``(2, hosts)`` highest rise and net change of the bytes per example, by place."""
    sizes = {op.gives: (op.positions, op.columns) for op in program.operations if op.gives}
    found: dict[Place, NDArray[np.int64]] = {}
    for host, plan in plans(in_order(program, schedule), host_of, set(host_of)).items():
        for place, profile in _profiles(plan, sizes).items():
            if place not in found:
                found[place] = np.zeros((2, max(host_of) + 1), np.int64)
            found[place][:, host] = profile
    return found


def _micro_batches(program: Program, span: Span) -> int:
    """Micro-batches after which nothing new is seen: a round, or those that fill the pipeline."""
    return min(span.n_micro_batches, span.schedule.round or 2 * program.n_stages + 2)


def _profiles(
    plan: Sequence[tuple[Place, Action]], sizes: dict[Value, tuple[int, int]]
) -> dict[Place, tuple[int, int]]:
    """The same of one host.

    Args:
        plan: What it does.
        sizes: Vectors per example of each value, and columns where it is made.
    """
    last = {value: i for i, (_, action) in enumerate(plan) for value in uses(action)}
    held: dict[Value, int] = {}
    profiles: dict[Place, tuple[int, int]] = {}
    for i, (place, action) in enumerate(plan):
        made = {value: n for value, n in _made(action, sizes).items() if value in last}
        held.update(made)
        rise, stored = profiles.get(place, (0, 0))
        stored += sum(made.values())
        rise = max(rise, stored)
        stored -= sum(held.pop(value) for value in set(uses(action)) if last[value] == i)
        profiles[place] = rise, stored
    return profiles


def _made(action: Action, sizes: dict[Value, tuple[int, int]]) -> dict[Value, int]:
    """Bytes per example of each value that an action stores."""
    if isinstance(action, Receive):
        parts = action.edge.parts
        columns = {take.value: take.stop - take.start for take in parts}
    elif isinstance(action, Operation) and action.gives is not None:
        columns = {action.gives: action.columns}
    else:
        columns = {}
    return {value: _FLOAT_BYTES * sizes[value][0] * n for value, n in columns.items()}


# In words


def notice(job: Job, activations: Activations) -> str:
    """A note on the memory of activations, or nothing if it is small."""
    trains = sum(activations.training) >= sum(activations.evaluation)
    most = sum(activations.training if trains else activations.evaluation)
    if most <= NOTED_BYTES:
        return ""
    span = job.epoch(0) if trains else job.evaluation(0)
    stages = job.program.n_stages
    at_once = min(span.n_examples, span.micro_batch * under_way(job.program, span))
    field = "training.batch" if trains else "training.evaluation_batch"
    return (
        f"activations take up to {bytes_text(most)} in {'training' if trains else 'tests'}: "
        f"{at_once} example{'s' * (at_once != 1)} at once in {stages} stage{'s' * (stages != 1)}; "
        f"a smaller {field} takes less"
    )


def under_way(program: Program, span: Span) -> int:
    """Most micro-batches that have entered the pipeline and not left it."""
    ends: dict[int, int] = {}
    slots = list(span.schedule.slots(program.n_stages, _micro_batches(program, span)))
    for i, slot in enumerate(slots):
        ends[slot.micro_batch] = i
    seen: set[int] = set()
    now = most = 0
    for i, slot in enumerate(slots):
        now += slot.micro_batch not in seen
        seen.add(slot.micro_batch)
        most = max(most, now)
        now -= ends[slot.micro_batch] == i
    return most


def bytes_text(n: int) -> str:
    """A number of bytes for people.

    >>> bytes_text(1_400_000_000), bytes_text(100)
    ('1.3 GiB', '100 B')
    """
    for size, unit in _UNITS:
        if n >= size:
            return f"{n / size:.1f} {unit}"
    return f"{n} B"
