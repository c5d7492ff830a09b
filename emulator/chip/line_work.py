"""What a chip does for the transfers of lines between the arrays of a tile."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from crossmesh.emulator.chip.conversions import (
    charges,
    conversion_s,
    drive_s,
    integrations,
)
from crossmesh.emulator.chip.pulsing import Event, EventCounts
from crossmesh.emulator.config.chip import Chip
from crossmesh.tiles.analog.costs import WORD_BITS, TransferCosts
from crossmesh.tiles.analog.tile_config import TileConfig


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
        costs: What they cost.
        parts: Resource and seconds per example of what follows each other.
        operations: Operations of the digital unit per example.
        events: Events per example, without pulses and writes.
        lines: Lines per example.
        width: Cells of a line.
    """

    chip: Chip
    costs: TransferCosts
    parts: tuple[tuple[TileResource, float], ...]
    operations: int
    events: EventCounts
    lines: float
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
    lines = vectors * costs.lines
    if costs.only_pulsed:
        lines *= 1 - (1 - phases.pulsed_share) ** tile.update.length
    parts: list[tuple[TileResource, float]] = []
    reads = lines * sum(each.reads for each in costs.reads)
    if costs.written is not None:
        parts.append((TileResource.ARRAY, lines * phases.transfer_row_s))  # with its reads
    elif reads:
        rounds = integrations(tile, chip) * min(width, phases.lines_per_adc)
        parts.append((TileResource.ARRAY, reads * drive_s(tile, chip)))
        parts.append((TileResource.ADC, reads * rounds * conversion_s(tile, chip)))
    operations = lines * width * costs.operations
    if operations:
        parts.append((TileResource.DIGITAL, 0.0))
    if costs.slots:
        parts.append((TileResource.ARRAY, lines * costs.slots * phases.pulse_s))
    events = _reads(chip, tile, costs, lines, width)
    events[Event("digital")] += operations
    events[Event("memory")] += lines * width * costs.words * WORD_BITS
    return LineWork(
        chip=chip,
        costs=costs,
        parts=tuple(parts),
        operations=math.ceil(operations),
        events=events,
        lines=lines,
        width=width,
    )


def _reads(
    chip: Chip, tile: TileConfig, costs: TransferCosts, lines: float, width: int
) -> EventCounts:
    """Events of the reads of so many lines, each driven alone."""
    along = (tile.rows if costs.of_outputs else tile.cols) * charges(tile, chip)
    events = EventCounts(float)
    for cells in costs.reads:
        reads = lines * cells.reads
        events[Event("dac")] += reads
        events[Event("line_read", cells)] += reads * along
        events[Event("cell_read", cells)] += reads * width
        for name in ("sample_hold", "adc", "shift_add"):
            events[Event(name)] += reads * width * integrations(tile, chip)
        for name, n in cells.read.items():
            events[Event(name)] += n * reads * width
    return events
