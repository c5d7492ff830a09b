"""The time of a span by the program's own order, if every action took its predicted time.

Hosts take their actions in order and wait for the messages that these need; that is all that the
executor does too, but for queues, which here are never full.
"""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from crossmesh.interconnect.schedule import Schedule
from crossmesh.tiles.runtime.plan import Action, Place, Receive, SendMessage, in_order, plans
from crossmesh.tiles.runtime.program import Program

_FILLS = 4  # pipelines' lengths after which every host has found its pace


class Pace(NamedTuple):
    """Times of spans of a program.

    Attributes:
        interval_s: Seconds per micro-batch, once the pipeline is full.
        fill_s: Seconds on top, to fill and drain it.
    """

    interval_s: float
    fill_s: float

    def seconds(self, n_micro_batches: float) -> float:
        """Seconds of a span."""
        return self.fill_s + n_micro_batches * self.interval_s


class _Step(NamedTuple):
    host: int
    seconds: float
    sends: int | None
    awaits: int | None


def pace(
    program: Program,
    schedule: Schedule,
    host_of: tuple[int, ...],
    seconds_of: Callable[[Action], float],
    cpus: int | None = None,
) -> Pace:
    """Predict the pace of a program's hosts.

    Args:
        program: The program.
        schedule: Order of the slots.
        host_of: Host of each tile.
        seconds_of: Time of an action for one micro-batch.
        cpus: Processors that all hosts share; by default each host has its own.
    """
    steps = _steps(program, schedule, host_of, seconds_of)
    per_round = schedule.round or 1
    few = per_round * -(-_FILLS * program.n_stages // per_round)
    first, second = (_replayed(steps, program, schedule, n) for n in (few, 2 * few))
    interval = (second - first) / few
    fill = first - few * interval
    if cpus is not None:
        busy = sum(step.seconds for steps_here in steps.values() for step in steps_here)
        interval = max(interval, busy / cpus)
    return Pace(interval, max(0.0, fill))


def _steps(
    program: Program,
    schedule: Schedule,
    host_of: tuple[int, ...],
    seconds_of: Callable[[Action], float],
) -> dict[Place, list[_Step]]:
    """The actions of each place in an order that respects every message."""
    every = plans(in_order(program, schedule), host_of, set(host_of))
    lines: dict[Place, dict[int, deque[Action]]] = {}
    for host, actions in every.items():
        for place, action in actions:
            lines.setdefault(place, {}).setdefault(host, deque()).append(action)
    return {place: _merged(place, by_host, seconds_of) for place, by_host in lines.items()}


def _merged(
    place: Place, lines: dict[int, deque[Action]], seconds_of: Callable[[Action], float]
) -> list[_Step]:
    steps: list[_Step] = []
    sent: set[int] = set()

    def is_ready(action: Action) -> bool:
        if not isinstance(action, Receive):
            return True
        return action.edge.place != place or action.edge.number in sent

    while any(lines.values()):
        before = len(steps)
        for host, line in lines.items():
            while line and is_ready(line[0]):
                step = _step(host, line[0], seconds_of(line.popleft()))
                sent.update([step.sends] if step.sends is not None else [])
                steps.append(step)
        assert len(steps) > before, "hosts must not wait for each other in a cycle"
    return steps


def _step(host: int, action: Action, seconds: float) -> _Step:
    sends = action.edge.number if isinstance(action, SendMessage) else None
    awaits = action.edge.number if isinstance(action, Receive) else None
    return _Step(host, seconds, sends, awaits)


def _replayed(
    steps: dict[Place, list[_Step]], program: Program, schedule: Schedule, n_micro_batches: int
) -> float:
    """Seconds until the last host has ended."""
    hosts = {step.host for steps_here in steps.values() for step in steps_here}
    clocks = dict.fromkeys(hosts, 0.0)
    arrivals: dict[tuple[int, int], float] = {}
    for slot in schedule.slots(program.n_stages, n_micro_batches):
        m = slot.micro_batch
        for host, seconds, sends, awaits in steps.get((slot.phase, slot.stage), ()):
            now = clocks[host]
            if awaits is not None:
                now = max(now, arrivals.pop((awaits, m)))
            clocks[host] = now = now + seconds
            if sends is not None:
                arrivals[sends, m] = now
    return max(clocks.values())
