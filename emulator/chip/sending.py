"""Messages between the tasks of a chip: of which task, to which, in which packets."""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from crossmesh.emulator.chip.events import TileEvents
from crossmesh.emulator.chip.messages import bits_of, flits_of, messages, numbers_of
from crossmesh.emulator.chip.ports import from_outside
from crossmesh.emulator.chip.tasks import TARGET, Step
from crossmesh.emulator.config.chip import Chip
from crossmesh.interconnect.noc.flow import Send
from crossmesh.tiles.runtime.program import Kind, Operation, Value


@dataclass(frozen=True, kw_only=True)
class Performed:
    """Operations as tasks of a chip.

    Attributes:
        operations: Operations of a micro-batch, in order.
        first: First task of each.
        steps: Description of each task.
        makers: Tasks at whose ends a value is there: one, or one of each port.
        targets: Tasks of the ports that bring targets.
    """

    operations: Sequence[Operation]
    first: Sequence[int]
    steps: Sequence[Step]
    makers: Mapping[Value, tuple[int, ...]]
    targets: Sequence[int]

    def takers(self, units: tuple[int, ...]) -> dict[tuple[int, Value], list[int]]:
        """The tasks of a tile that take a value."""
        takers: dict[tuple[int, Value], list[int]] = defaultdict(list)
        for operation, first in zip(self.operations, self.first, strict=True):
            for take in operation.takes:
                takers[units[operation.tile], take.value].append(first)
        return takers

    def of_loss(self, units: tuple[int, ...]) -> dict[int, list[int]]:
        """The tile that takes targets, and its task."""
        pairs = zip(self.operations, self.first, strict=True)
        return {units[op.tile]: [first] for op, first in pairs if op.kind is Kind.LOSS}


class Sending:
    """Makes messages of what tasks make and take.

    Args:
        chip: The chip.
        micro_batch: Examples that move together.
        place: Node of the interconnect that each tile lies at.
        events: Events of each tile, which the memory of messages is added to.
    """

    def __init__(
        self, chip: Chip, micro_batch: int, place: tuple[int, ...], events: Sequence[TileEvents]
    ) -> None:
        self._chip, self._n, self._place, self._events = chip, micro_batch, place, events

    def of(self, done: Performed, units: tuple[int, ...], n_targets: int) -> list[tuple[Send, str]]:
        """Messages and their kinds: one for all tiles that take the same columns of values.

        Args:
            done: Operations and their tasks.
            units: Tile of each number in an operation.
            n_targets: Targets of an example.
        """
        takers = done.takers(units)
        found: list[tuple[Send, str]] = []
        height = {op.gives: op.positions for op in done.operations if op.gives is not None}
        operations, places = from_outside(done.operations, units)
        for message in messages(operations, places, multicast=self._chip.multicast):
            makers = [done.makers[take.value] for take in message.parts]
            numbers = sum(numbers_of(take, height) for take in message.parts)
            tasks = {
                tile: sorted({t for take in message.parts for t in takers[tile, take.value]})
                for tile in message.targets
            }
            for each in zip(*makers, strict=True):  # of inputs, one for each port
                sender, share = max(each), numbers / len(makers[0])
                found += self._send(sender, done.steps[sender].tile, message.kind, share, tasks)
        for target in done.targets:
            share, tasks = n_targets / len(done.targets), done.of_loss(units)
            found += self._send(target, done.steps[target].tile, TARGET, share, tasks)
        return found

    def _send(
        self, task: int, sender: int, kind: str, numbers: float, takers: Mapping[int, list[int]]
    ) -> Iterator[tuple[Send, str]]:
        """A message of so many numbers per example to the other tiles that take them."""
        targets = [tile for tile in takers if tile != sender]
        bits = math.ceil(numbers * self._n * bits_of(self._chip, kind))
        if targets:
            for tile in (sender, *targets):  # written on one side and read on the other
                self._events[tile].add(memory=bits // self._n)
            takes = {self._place[tile]: tuple(takers[tile]) for tile in targets}
            yield Send(task, self._place[sender], flits_of(self._chip, bits), takes), kind
