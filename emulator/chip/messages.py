"""Messages between tiles: who takes what of whom, in how many bits and flits."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from crossmesh.emulator.chip.tasks import TARGET
from crossmesh.emulator.config.chip import Chip
from crossmesh.tiles.runtime.plan import edges, kind_of
from crossmesh.tiles.runtime.program import Kind, Operation, Take, Value


class ChipMessage(NamedTuple):
    """Columns of values that tiles take of another.

    Attributes:
        source: The tile that has them.
        parts: The columns.
        targets: The tiles.
        kind: Activation, partial sum, gradient or error.
    """

    source: int
    parts: tuple[Take, ...]
    targets: list[int]
    kind: str


def messages(
    operations: Sequence[Operation], units: tuple[int, ...], *, multicast: bool
) -> Iterator[ChipMessage]:
    """One message for all tiles that take the same columns of the same values.

    Args:
        operations: Those of one micro-batch, in order.
        units: Tile of the chip of each number in an operation.
        multicast: Whether a message may go to several tiles.
    """
    groups: dict[tuple[object, ...], ChipMessage] = {}
    targets: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for edge in edges(list(operations), units):
        key: tuple[object, ...] = (edge.source, edge.place, edge.parts)
        if not multicast:
            key = (*key, edge.target)
        targets[key].append(edge.target)
        message = ChipMessage(edge.source, edge.parts, targets[key], edge.kind)
        groups.setdefault(key, message)
    yield from groups.values()


def largest_messages(
    operations: Sequence[Operation], units: tuple[int, ...], chip: Chip, micro_batch: int
) -> Sequence[int]:
    """Bits of what an operation takes and gives, of the operation of each tile that has the most.

    Of a whole micro-batch, and of a network's inputs as many as the chip buffers. What waits for a
    later phase is stored, and counted there.

    Args:
        operations: Those of one micro-batch, in order.
        units: Tile of the chip of each number in an operation.
        chip: The chip.
        micro_batch: Examples that move together.
    """
    makers = {op.gives: op for op in operations if op.gives is not None}
    most = [0] * (1 + max(units))

    def bits(value: Value, numbers: int) -> int:
        is_input = makers[value].kind is Kind.INPUT
        held = chip.phases.input_buffers if is_input else 1
        return held * micro_batch * numbers * bits_of(chip, kind_of(value))

    for operation in operations:
        given = operation.gives
        total = 0 if given is None else bits(given, operation.columns * operation.positions)
        for take in operation.takes:
            made = makers[take.value]
            if made.phase == operation.phase:
                first, last = take.positions or (0, made.positions)
                total += bits(take.value, (take.stop - take.start) * (last - first))
        unit = units[operation.tile]
        most[unit] = max(most[unit], total)
    return most


def bits_of(chip: Chip, kind: str) -> int:
    """Bits of a number in a message."""
    known = dict.fromkeys(("activation", TARGET), chip.activation_bits)
    return {**known, "error": chip.error_bits}.get(kind, chip.partial_sum_bits)


def flits_of(chip: Chip, bits: int) -> tuple[int, ...]:
    """Lengths of the packets of a message; each has a head of one flit.

    >>> flits_of(Chip(flit_bits=128, packet_flits=8), 10 * 128)
    (8, 4)
    """
    payload = max(1, -(-bits // chip.flit_bits))
    whole, rest = divmod(payload, chip.packet_flits - 1)
    return (chip.packet_flits,) * whole + ((rest + 1,) if rest else ())


def numbers_of(take: Take, height: Mapping[Value, int]) -> int:
    """Numbers per example that are taken.

    Args:
        take: Columns of a value.
        height: Vectors per example of each value.
    """
    first, last = take.positions or (0, height[take.value])
    return (take.stop - take.start) * (last - first)
