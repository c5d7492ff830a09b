"""What a chip does for the transfers of lines between the arrays of a tile."""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from crossmesh.emulator.chip.conversions import charges, conversion_s, drive_s
from crossmesh.emulator.config.chip import Chip
from crossmesh.tiles.analog.costs import WORD_BITS, TransferCosts
from crossmesh.tiles.analog.tile import TileConfig


class TileResource(StrEnum):
    """Resources of a tile."""

    ARRAY = "array"
    ADC = "adc"
    DIGITAL = "digital"
    PORT = "port"


@dataclass(frozen=True, kw_only=True)
class LineWork:
    """Transfers of an array's lines, in the mean over examples.

    Attributes:
        chip: The chip.
        parts: Resource and seconds per example of what follows each other.
        operations: Operations of the digital unit per example.
        events: Events per example, by component.
        slots: Slots of pulse trains per example.
        width: Lines that cross the one that is written.
    """

    chip: Chip
    parts: tuple[tuple[TileResource, float], ...]
    operations: int
    events: Counter[str]
    slots: float
    width: int

    def cycles(self, n: int) -> Iterator[tuple[TileResource, int]]:
        """Resource and cycles of each part for ``n`` examples."""
        for part, seconds in self.parts:
            if part is TileResource.DIGITAL:
                yield part, -(-self.operations * n // self.chip.phases.digital_lanes)
            else:
                yield part, self.chip.cycles(n * seconds)


def line_work(
    chip: Chip, tile: TileConfig, shape: tuple[int, int], costs: TransferCosts, vectors: int
) -> LineWork:
    """What the transfers from an array take: a line is read, changed in digital, and written.

    Args:
        chip: The chip.
        tile: The tile.
        shape: Word lines and bit lines of the tile that are used.
        costs: Of its transfers.
        vectors: Vectors of an example that the tile is updated with.
    """
    phases, width = chip.phases, shape[not costs.of_outputs]
    along = (tile.rows if costs.of_outputs else tile.cols) * charges(tile, chip)
    lines = vectors * costs.lines
    parts: list[tuple[TileResource, float]] = []
    events: Counter[str] = Counter()
    if costs.are_read:
        rounds = min(width, phases.lines_per_adc)
        parts.append((TileResource.ARRAY, lines * drive_s(tile, chip)))
        parts.append((TileResource.ADC, lines * rounds * conversion_s(tile, chip)))
        events["dac"] += math.ceil(lines)
        events["line_read"] += math.ceil(lines * along)
        events["cell_read"] += math.ceil(lines * width)
        for name in ("sample_hold", "adc", "shift_add"):
            events[name] += math.ceil(lines * width)
    operations = math.ceil(lines * width * costs.operations)
    if operations:
        parts.append((TileResource.DIGITAL, 0.0))
        events["digital"] += operations
        events["memory"] += math.ceil(lines * width * costs.words * WORD_BITS)
    if costs.slots:
        parts.append((TileResource.ARRAY, lines * costs.slots * phases.pulse_s))
    return LineWork(
        chip=chip,
        parts=tuple(parts),
        operations=operations,
        events=events,
        slots=lines * costs.slots,
        width=width,
    )
