"""Sums in the network: routers add the partial sums that meet on their way to a tile.

The ways of packets to one tile make a tree, since routing is deterministic. Where several of them
meet at a tile's router, its adders make one of them, and what goes on is as long as each was.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from crossmesh.emulator.chip.conversions import converter_bits
from crossmesh.emulator.chip.events import TileEvents
from crossmesh.emulator.chip.messages import flits_of
from crossmesh.emulator.config.chip import Chip
from crossmesh.interconnect.noc import Topology
from crossmesh.interconnect.noc.flow import Send
from crossmesh.tiles.analog.tile_config import TileConfig
from crossmesh.tiles.runtime.plan import kind_of
from crossmesh.tiles.runtime.program import Kind, Operation, Program, Take, Value

_PARTS = 8  # of a message, each added as it comes: fewer cost latency, more cost simulation
# Makes tasks of the adders at a tile, for an operation; what each needs of the same tile is given.
Adders = Callable[[Operation, int, list[tuple[int, ...]]], list[int]]


class Junction(NamedTuple):
    """A router that adds.

    Attributes:
        node: Its node.
        inputs: What it adds, in order: numbers of partial sums, or sums of other junctions.
    """

    node: int
    inputs: tuple["Junction | int", ...]


def tree_of(
    ways: Sequence[Sequence[int]], home: int, adders: Mapping[int, int]
) -> list[Junction | int]:
    """What arrives at a node of the partial sums on their ways to it.

    A router adds what lies at its own tile first, then what comes from its neighbors in the order
    of their numbers.

    Args:
        ways: Nodes from each partial sum to the node, both among them.
        home: The node.
        adders: Nodes whose routers add.

    Returns:
        One sum where the node's router adds; otherwise all that arrives there.

    >>> tree_of([[3, 2, 1, 0], [5, 2, 1, 0], [4, 0]], 0, {2: 0, 0: 1})
    [Junction(node=0, inputs=(Junction(node=2, inputs=(0, 1)), 2))]
    """
    streams: dict[int, list[Junction | int]] = defaultdict(list)
    onward, left = {}, {}
    for number, way in enumerate(ways):
        streams[way[0]].append(number)
        for i, node in enumerate(way[:-1]):
            onward[node], left[node] = way[i + 1], len(way) - 1 - i
    for node in sorted(onward, key=lambda each: (-left[each], each)):
        streams[onward[node]] += _joined(node, streams[node], adders)
    return _joined(home, streams[home], adders)


def _joined(
    node: int, streams: list[Junction | int], adders: Mapping[int, int]
) -> list[Junction | int]:
    return [Junction(node, tuple(streams))] if len(streams) > 1 and node in adders else streams


@dataclass(frozen=True)
class _Stream:
    """Tasks at whose ends the parts of a message are there, and the node that it leaves from."""

    tasks: list[int]
    node: int


class Awaited(NamedTuple):
    """What an operation waits for.

    Attributes:
        tasks: Adders at its own tile.
        streams: What others send it, in which packets.
        saved: Additions per example that it is spared.
    """

    tasks: list[int]
    streams: list[tuple[_Stream, list[tuple[int, ...]], str]]
    saved: int


class _Sum(NamedTuple):
    """A sum of a group: its operation, numbers per example, packets, and partial sums."""

    operation: Operation
    numbers: int
    packets: list[tuple[int, ...]]
    made: list[_Stream]
    kind: str


def groups(chip: Chip, operation: Operation, units: Sequence[int]) -> list[list[Take]]:
    """Partial sums of several tiles that an operation adds number by number, and so routers can.

    Args:
        chip: The chip.
        operation: The operation.
        units: Tile of each number in it.
    """
    if not chip.in_network_sums or operation.kind not in {Kind.SUM, Kind.GATHER}:
        return []
    found: dict[tuple[object, ...], list[Take]] = defaultdict(list)
    for take in operation.takes:
        if take.value.role in {"y", "z"}:
            width = take.stop - take.start
            found[take.at, width, take.at_position, take.positions].append(take)
    home = units[operation.tile]
    return [
        group
        for group in found.values()
        if len({unit_of(take.value, units) for take in group} - {home}) > 1
    ]


def rest(operation: Operation, added: Sequence[Sequence[Take]]) -> tuple[Take, ...]:
    """What an operation takes beside groups of partial sums."""
    of_groups = {take for group in added for take in group}
    return tuple(take for take in operation.takes if take not in of_groups)


def unit_of(value: Value, units: Sequence[int]) -> int:
    """The tile that makes a partial sum."""
    assert isinstance(value.owner, int)
    return units[value.owner]


class NetworkSums:
    """Sums of a program that routers make, if ``chip.in_network_sums``.

    Args:
        program: The program.
        chip: The chip.
        topology: The interconnect.
        micro_batch: Examples that move together.
        place: Node of the interconnect that each tile lies at.
        events: Events of each tile, which additions and the memory of messages are added to.

    Attributes:
        sends: Messages to adders and sums, with their kinds.
    """

    def __init__(
        self,
        program: Program,
        chip: Chip,
        topology: Topology,
        micro_batch: int,
        place: tuple[int, ...],
        events: Sequence[TileEvents],
    ) -> None:
        self._program, self._chip, self._topology, self._n = program, chip, topology, micro_batch
        self._place, self._events = place, events
        self._tile_at = {node: tile for tile, node in enumerate(place)}
        self.sends: list[tuple[Send, str]] = []

    def rest(self, operation: Operation) -> tuple[Take, ...]:
        """What an operation still takes by messages of its own."""
        return rest(operation, groups(self._chip, operation, self._program.units))

    def add(
        self,
        operation: Operation,
        numbers: Callable[[Take], int],
        makers: Mapping[Value, tuple[int, ...]],
        adders: Adders,
    ) -> Awaited:
        """The adders of an operation, with the messages between them.

        Args:
            operation: The operation.
            numbers: Numbers per example of what is taken.
            makers: Tasks at whose ends values are there.
            adders: Makes tasks.
        """
        awaited = Awaited([], [], 0)
        home = self._place[self._program.units[operation.tile]]
        for group in groups(self._chip, operation, self._program.units):
            self._check(group)
            tiles = [unit_of(take.value, self._program.units) for take in group]
            count = numbers(group[0])
            packets = self._packets(count)
            made = [
                _Stream([max(makers[take.value])] * len(packets), self._place[tile])
                for take, tile in zip(group, tiles, strict=True)
            ]
            whole = _Sum(operation, count, packets, made, kind_of(group[0].value))
            ways = [self._way(each.node, home) for each in made]
            for end in tree_of(ways, home, self._tile_at):
                stream = self._stream(end, whole, adders)
                if stream.node == home:
                    awaited.tasks.extend(stream.tasks)
                else:
                    awaited.streams.append((stream, packets, whole.kind))
            awaited = awaited._replace(saved=awaited.saved + (len(group) - 1) * count)
            for tile in {*tiles, self._tile_at[home]}:  # written on one side, read on the other
                self._events[tile].add(memory=count * self._chip.partial_sum_bits)
        return awaited

    def _stream(self, source: Junction | int, whole: _Sum, adders: Adders) -> _Stream:
        """The tasks of a junction and of all before it."""
        if isinstance(source, int):
            return whole.made[source]
        inputs = [self._stream(each, whole, adders) for each in source.inputs]
        near = [each for each in inputs if each.node == source.node]
        needs = [tuple(each.tasks[i] for each in near) for i in range(len(whole.packets))]
        tile = self._tile_at[source.node]
        tasks = adders(whole.operation, tile, needs)
        for each in inputs:
            if each.node != source.node:
                self._send(each, whole.packets, source.node, tasks, whole.kind)
        self._events[tile].add(router_add=(len(inputs) - 1) * whole.numbers)
        return _Stream(tasks, source.node)

    def arrive(self, awaited: Awaited, operation: Operation, task: int) -> None:
        """Send what no router at the operation's tile has added to its task."""
        home = self._place[self._program.units[operation.tile]]
        for stream, packets, kind in awaited.streams:
            self._send(stream, packets, home, [task] * len(packets), kind)

    def _send(
        self, stream: _Stream, packets: list[tuple[int, ...]], node: int, takers: list[int],
        kind: str,
    ) -> None:  # fmt: skip
        for task, flits, taker in zip(stream.tasks, packets, takers, strict=True):
            self.sends.append((Send(task, stream.node, flits, {node: (taker,)}), kind))

    def _packets(self, numbers: int) -> list[tuple[int, ...]]:
        """Packets of a message, in parts that are added as they come."""
        flits = flits_of(self._chip, numbers * self._n * self._chip.partial_sum_bits)
        size = math.ceil(len(flits) / _PARTS)
        return [flits[i : i + size] for i in range(0, len(flits), size)]

    def _way(self, source: int, home: int) -> list[int]:
        links = self._topology.route(source, home)
        return [source, *self._topology.links[links, 1].tolist()] if links else [source]

    def _check(self, group: list[Take]) -> None:
        """Refuse sums that the words of the network cannot hold, and so would not be exact."""
        for take in group:
            assert isinstance(take.value.owner, int)
            holder = self._program.holders[take.value.owner]
            if isinstance(holder, TileConfig):
                adc = converter_bits("adc", holder, self._chip)
                least = adc + math.ceil(math.log2(len(group)))
                if self._chip.partial_sum_bits < least:
                    raise ValueError(
                        f"chip.partial_sum_bits must be at least {least} for in-network sums of "
                        f"{len(group)} tiles with ADCs of {adc} bits, got "
                        f"{self._chip.partial_sum_bits}"
                    )
