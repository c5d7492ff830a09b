"""Plan of one host for a micro-batch: its operations, and the messages between hosts.

Pure decisions, no arrays: the same program and placement give the same plan on every host, so both
ends of a message agree about it without a word.
"""

from collections import defaultdict, deque
from collections.abc import Collection
from dataclasses import dataclass

from crossmesh.interconnect.schedule import Phase, Schedule
from crossmesh.tiles.runtime.program import Kind, Operation, Program, Take, Value

Place = tuple[Phase, int]  # a phase and a stage: what a slot names besides its micro-batch

_KINDS = {"x": "activation", "y": "partial_sum", "z": "gradient", "d": "error", "e": "error"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """Values of one kind, node and height that one host sends another, side by side.

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
        """Kind of message: activation, partial sum, gradient or error."""
        return kind_of(self.parts[0].value)


def kind_of(value: Value) -> str:
    """Kind of message that a value travels in."""
    return _KINDS[value.role]


@dataclass(frozen=True, slots=True)
class SendMessage:
    """Send an edge's message."""

    edge: Edge


@dataclass(frozen=True, slots=True)
class Receive:
    """Wait for an edge's message and store its parts."""

    edge: Edge


Action = Operation | SendMessage | Receive


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
    needed: dict[tuple[int, int, Place, Kind, str, int], dict[Value, tuple[int, int]]] = {}
    for operation in operations:
        target = host_of[operation.tile]
        for take in operation.takes:
            made = maker[take.value]
            source = host_of[made.tile]
            if source != target:
                place = (made.phase, made.stage)
                key = (source, target, place, made.kind, made.node, made.positions)
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


def plans(
    operations: list[Operation], host_of: tuple[int, ...], hosts: Collection[int]
) -> dict[int, list[tuple[Place, Action]]]:
    """What each of ``hosts`` does for a micro-batch, in order, each with the slot it belongs to.

    A message is sent as soon as its last part is made and awaited just before its first use.
    """
    touching = [
        edge for edge in edges(operations, host_of) if edge.source in hosts or edge.target in hosts
    ]
    incoming, outgoing = _by_value(touching)
    missing = {edge.number: len(edge.parts) for edge in touching}  # parts that are not made yet
    every: dict[int, list[tuple[Place, Action]]] = {host: [] for host in hosts}
    received: set[int] = set()
    for operation in operations:
        host, place = host_of[operation.tile], (operation.phase, operation.stage)
        if host not in hosts:
            continue
        for take in operation.takes:
            wanted = incoming.get((host, take.value))
            if wanted is not None and wanted.number not in received:
                received.add(wanted.number)
                every[host].append((place, Receive(wanted)))
        every[host].append((place, operation))
        for edge in outgoing.get(operation.gives, ()):
            missing[edge.number] -= 1
            if not missing[edge.number]:
                every[host].append((place, SendMessage(edge)))
    return every


def _by_value(
    edges: list[Edge],
) -> tuple[dict[tuple[int, Value], Edge], dict[Value | None, list[Edge]]]:
    """The edge that brings a host a value, and the edges that need a value that is made."""
    incoming: dict[tuple[int, Value], Edge] = {}
    outgoing: dict[Value | None, list[Edge]] = {}
    for edge in edges:
        for take in edge.parts:
            incoming[edge.target, take.value] = edge
            outgoing.setdefault(take.value, []).append(edge)
    return incoming, outgoing


def takes_of(action: Action) -> tuple[Take, ...]:
    """The columns of stored values that an action needs."""
    if isinstance(action, Receive):
        return ()
    return action.edge.parts if isinstance(action, SendMessage) else action.takes


def uses(action: Action) -> tuple[Value, ...]:
    """The stored values that an action needs."""
    return tuple(take.value for take in takes_of(action))


def messages_in_flight(program: Program, schedule: Schedule, host_of: tuple[int, ...]) -> int:
    """Most messages that any channel must hold at once for hosts never to wait in a circle.

    If every host were exactly at one place of the program's order, so many messages would lie in
    the fullest channel, sent and not yet wanted. Channels that hold them, and more to let hosts run
    ahead, leave the host that is furthest behind always free to continue.

    A round ends with empty channels, so one is like the other. Without rounds, channels are as
    full as ever once every place has a micro-batch, which leaves after two ticks per stage.
    """
    at = _messages(plans(in_order(program, schedule), host_of, set(host_of)))
    traffic = _Traffic()
    for slot in schedule.slots(program.n_stages, schedule.round or 2 * program.n_stages):
        pending = [deque(messages) for messages in at.get((slot.phase, slot.stage), ())]
        while pending:
            for messages in pending:
                while messages and traffic.passes(messages[0], slot.micro_batch):
                    messages.popleft()
            pending = [messages for messages in pending if messages]
    return traffic.most


class _Traffic:
    """Messages in channels, each a queue: what is taken out brings out all that lies before it."""

    def __init__(self) -> None:
        self.most = 0
        self._queues: defaultdict[tuple[int, int], deque[tuple[int, int]]] = defaultdict(deque)
        self._taken: set[tuple[int, int]] = set()

    def passes(self, action: SendMessage | Receive, micro_batch: int) -> bool:
        """Whether an action can be done now; if so, its message is put in or taken out."""
        edge = action.edge
        queue, message = self._queues[edge.source, edge.target], (edge.number, micro_batch)
        if isinstance(action, SendMessage):
            queue.append(message)
            self.most = max(self.most, len(queue))
            return True
        if message in self._taken:
            self._taken.remove(message)
            return True
        if message not in queue:
            return False
        while (first := queue.popleft()) != message:
            self._taken.add(first)
        return True


def _messages(
    every: dict[int, list[tuple[Place, Action]]],
) -> dict[Place, list[list[SendMessage | Receive]]]:
    """What each host sends and receives at each place, host by host; operations never wait."""
    at: dict[Place, dict[int, list[SendMessage | Receive]]] = {}
    for host in sorted(every):
        for place, action in every[host]:
            if not isinstance(action, Operation):
                at.setdefault(place, {}).setdefault(host, []).append(action)
    return {place: list(by_host.values()) for place, by_host in at.items()}
