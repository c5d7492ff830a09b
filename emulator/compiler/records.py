"""A program as a flat list, as ``crossmesh program`` prints it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from crossmesh.interconnect.schedule import Phase, Schedule
from crossmesh.tiles.analog.tile_config import TileConfig
from crossmesh.tiles.runtime.plan import in_order
from crossmesh.tiles.runtime.program import UPDATES, Kind, Operation, Program, Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """An operation for a certain micro-batch, as ``crossmesh program`` prints it.

    Attributes:
        tick: Tick of the schedule.
        operation: The operation, and its tile.
        micro_batch: For which micro-batch.
        version: Updates that the tile's weights have seen before.
        messages: (tile, columns) that what it makes is sent to; the own tile is left out.
        route: What moves where, of a transfer.
    """

    tick: int
    operation: Operation
    micro_batch: int
    version: int
    messages: tuple[tuple[int, int], ...]
    route: str = ""


def records(program: Program, schedule: Schedule, n_micro_batches: int) -> Iterator[Record]:
    """The program as a flat list: every operation of every micro-batch, in order."""
    operations = in_order(program, schedule)
    messages = _messages(operations)
    by_place: dict[tuple[Phase, int], list[Operation]] = {}
    for operation in operations:
        by_place.setdefault((operation.phase, operation.stage), []).append(operation)
    updates = dict.fromkeys(range(len(program.blocks)), 0)
    updated: dict[int, int] = {}  # micro-batch of the newest; a tile may take several pulses for it
    for slot in schedule.slots(program.n_stages, n_micro_batches):
        for operation in by_place.get((slot.phase, slot.stage), ()):
            version = updates[operation.tile] // schedule.micro_batches_per_update
            if operation.kind in UPDATES and updated.get(operation.tile) != slot.micro_batch:
                updates[operation.tile] += 1
                updated[operation.tile] = slot.micro_batch
            sent = messages.get(operation.gives, ()) if operation.gives else ()
            yield Record(
                tick=slot.tick,
                operation=operation,
                micro_batch=slot.micro_batch,
                version=version,
                messages=sent,
            )
            for route in _routes(program, operation):
                yield Record(
                    tick=slot.tick,
                    operation=replace(operation, kind=Kind.TRANSFER),
                    micro_batch=slot.micro_batch,
                    version=version + 1,
                    messages=(),
                    route=route,
                )


def _routes(program: Program, operation: Operation) -> Sequence[str]:
    """What moves between the arrays of a tile within an update."""
    holder = program.holders[operation.tile]
    if operation.kind is Kind.PULSE and isinstance(holder, TileConfig):
        return holder.cell.routes
    return ()


def _messages(operations: list[Operation]) -> dict[Value, tuple[tuple[int, int], ...]]:
    """For each value, the other tiles that take it, and how many columns each takes."""
    makers = {op.gives: op.tile for op in operations if op.gives is not None}
    sent: dict[Value, dict[int, int]] = {}
    for operation in operations:
        for take in operation.takes:
            if makers[take.value] != operation.tile:
                columns = sent.setdefault(take.value, {})
                wanted = max(columns.get(operation.tile, 0), take.stop - take.start)
                columns[operation.tile] = wanted
    return {value: tuple(columns.items()) for value, columns in sent.items()}
