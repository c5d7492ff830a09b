"""What unit cells cost on a chip, in components of its table."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from crossmesh.common.frozen import FrozenDict

WORD_BITS = 32  # of digital memory beside a tile; source: assumed, a float32


def _one(component: str) -> Mapping[str, int]:
    return field(default_factory=lambda: FrozenDict({component: 1}))


@dataclass(frozen=True, kw_only=True, slots=True)
class CellCosts:
    """What a unit cell costs on a chip; by default a crosspoint of the shipped tables.

    Names are those of components in the table of the chip (``chip.table``), which may have more
    than the shipped ones.

    Attributes:
        read: Events by component of one cell in one read.
        pulse: Events by component of one word line or bit line in one pulse.
        parts: Components of one cell, whose area and leakage count.
        reads: Reads of the array, one after the other, that make one product.
        slots: Times that a slot of a pulse train lasts as long as ``chip.phases.pulse_s``; 0:
            updates send no trains, only transfers do.
    """

    read: Mapping[str, int] = _one("crossbar_read")
    pulse: Mapping[str, int] = _one("crossbar_pulse")
    parts: Mapping[str, int] = _one("crossbar_read")
    reads: int = 1
    slots: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class TransferCosts:
    """What the transfers of a tile cost, as a mean over the vectors that it is updated with.

    Attributes:
        lines: Lines that have their turn per vector.
        are_read: Whether a line is read first: it is driven, its cells are converted.
        of_outputs: Whether lines are bit lines.
        slots: Slots of the pulse train that writes a line; 0: it is not written.
        operations: Operations of the digital unit per weight of a line.
        words: Words of digital memory that are read or written per weight of a line.
    """

    lines: float
    are_read: bool
    of_outputs: bool
    slots: int
    operations: int
    words: int
