"""What one host does for a micro-batch: its operations, and the messages between hosts.

Pure decisions, no arrays: the same program and placement give the same plan on every host, so both
ends of a message agree about it without a word.
"""

from dataclasses import dataclass

from interconnect.schedule import Phase, Schedule
from tiles.program import Kind, Operation, Program, Take, Value

Place = tuple[Phase, int]  # a phase and a stage: what a slot names besides its micro-batch

_KINDS = {"x": "activation", "y": "partial_sum", "z": "gradient", "d": "error", "e": "error"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """Values of one kind and node that one host sends another, side by side in one message.

    Attributes:
        number: Number of the edge in the program, the same on both sides.
        source: Sending host.
        target: Receiving host.
        place: Slot in which the values are made.
        parts: The columns sent of each value.
    """

    number: int
    source: int
    target: int
    place: Place
    parts: tuple[Take, ...]

    @property
    def kind(self) -> str:
        """What is sent, in the words of the chip."""
        return _KINDS[self.parts[0].value.role]


@dataclass(frozen=True, slots=True)
class Send:
    """Send an edge's message."""

    edge: Edge


@dataclass(frozen=True, slots=True)
class Receive:
    """Wait for an edge's message and store its parts."""

    edge: Edge


Action = Operation | Send | Receive


def in_order(program: Program, schedule: Schedule) -> list[Operation]:
    """The operations of one micro-batch in the order in which ``schedule`` performs them."""
    by_place: dict[Place, list[Operation]] = {}
    for operation in program.operations:
        by_place.setdefault((operation.phase, operation.stage), []).append(operation)
    places = [(slot.phase, slot.stage) for slot in schedule.slots(program.n_stages, 1)]
    return [operation for place in places for operation in by_place.get(place, [])]


def edges(operations: list[Operation], host_of: tuple[int, ...]) -> tuple[Edge, ...]:
    """Every message between hosts that a micro-batch needs.

    Args:
        operations: Those of one micro-batch, in order.
        host_of: Host of each tile.
    """
    maker = {op.gives: op for op in operations if op.gives is not None}
    needed: dict[tuple[int, int, Place, Kind, str], dict[Value, tuple[int, int]]] = {}
    for operation in operations:
        target = host_of[operation.tile]
        for take in operation.takes:
            made = maker[take.value]
            source = host_of[made.tile]
            if source != target:
                key = (source, target, (made.phase, made.stage), made.kind, made.node)
                values = needed.setdefault(key, {})
                start, stop = values.get(take.value, (take.start, take.stop))
                values[take.value] = (min(start, take.start), max(stop, take.stop))
    return tuple(
        Edge(
            number=number,
            source=source,
            target=target,
            place=place,
            parts=tuple(Take(value, *columns) for value, columns in values.items()),
        )
        for number, ((source, target, place, *_), values) in enumerate(needed.items())
    )


def actions(
    operations: list[Operation], host_of: tuple[int, ...], host: int
) -> list[tuple[Place, Action]]:
    """What ``host`` does for a micro-batch, in order, each with the slot it belongs to.

    A message is sent as soon as its last part is made and awaited just before its first use.
    """
    mine = [op for op in operations if host_of[op.tile] == host]
    every = edges(operations, host_of)
    incoming = {take.value: edge for edge in every if edge.target == host for take in edge.parts}
    waiting = {
        edge.number: (edge, {take.value for take in edge.parts})
        for edge in every
        if edge.source == host
    }
    plan: list[tuple[Place, Action]] = []
    received: set[int] = set()
    for operation in mine:
        place = (operation.phase, operation.stage)
        for take in operation.takes:
            edge = incoming.get(take.value)
            if edge is not None and edge.number not in received:
                received.add(edge.number)
                plan.append((place, Receive(edge)))
        plan.append((place, operation))
        for number, (edge, missing) in list(waiting.items()):
            if operation.gives is not None:
                missing.discard(operation.gives)
            if not missing:
                del waiting[number]
                plan.append((place, Send(edge)))
    return plan


def takes_of(action: Action) -> tuple[Take, ...]:
    """The columns of stored values that an action needs."""
    if isinstance(action, Receive):
        return ()
    return action.edge.parts if isinstance(action, Send) else action.takes


def uses(action: Action) -> tuple[Value, ...]:
    """The stored values that an action needs."""
    return tuple(take.value for take in takes_of(action))


def messages_in_flight(program: Program, schedule: Schedule, host_of: tuple[int, ...]) -> int:
    """Most messages that any channel must hold at once for hosts never to wait in a circle.

    If every host were exactly at one place of the program's order, so many messages would lie in
    the fullest channel, sent and not yet wanted. Channels that hold them, and more to let hosts run
    ahead, leave the host that is furthest behind always free to go on.
    """
    operations = in_order(program, schedule)
    plans = [_by_place(actions(operations, host_of, host)) for host in sorted(set(host_of))]
    traffic = _Traffic()
    n_micro_batches = 4 * program.n_stages + 2 * schedule.micro_batches_per_update
    for slot in schedule.slots(program.n_stages, n_micro_batches):
        pending = [list(plan.get((slot.phase, slot.stage), ())) for plan in plans]
        while any(pending):
            for plan in pending:
                while plan and traffic.passes(plan[0], slot.micro_batch):
                    plan.pop(0)
    return traffic.most


class _Traffic:
    """Messages in channels, each a queue: what is taken out brings out all that lies before it."""

    def __init__(self) -> None:
        self.most = 0
        self._queues: dict[tuple[int, int], list[tuple[int, int]]] = {}
        self._taken: set[tuple[int, int]] = set()

    def passes(self, action: Action, micro_batch: int) -> bool:
        """Whether an action can be done now; if so, its message is put in or taken out."""
        if isinstance(action, Operation):
            return True
        edge = action.edge
        queue = self._queues.setdefault((edge.source, edge.target), [])
        message = (edge.number, micro_batch)
        if isinstance(action, Send):
            queue.append(message)
            self.most = max(self.most, len(queue))
        elif message in queue:
            end = queue.index(message) + 1
            self._taken.update(queue[:end])
            del queue[:end]
        return isinstance(action, Send) or message in self._taken


def _by_place(plan: list[tuple[Place, Action]]) -> dict[Place, list[Action]]:
    by_place: dict[Place, list[Action]] = {}
    for place, action in plan:
        by_place.setdefault(place, []).append(action)
    return by_place
