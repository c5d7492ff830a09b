"""Messages between tiles: who takes what of whom, in how many bits and flits."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from crossmesh.emulator.chip.tasks import TARGET
from crossmesh.emulator.config.chip import Chip
from crossmesh.tiles.runtime.plan import edges
from crossmesh.tiles.runtime.program import Operation, Take


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
