"""What happens in the tiles of a chip for an example, counted by what it costs."""

import math
from collections import Counter

from crossmesh.emulator.chip.conversions import charges
from crossmesh.emulator.chip.line_work import LineWork
from crossmesh.emulator.chip.pulsing import Pulsing
from crossmesh.emulator.config.chip import Chip
from crossmesh.tiles.analog.costs import WORD_BITS
from crossmesh.tiles.analog.tile import TileConfig


class TileEvents:
    """Events of a tile per example.

    Args:
        chip: The chip.

    Attributes:
        counts: By component.
        pulsing: Pulses, which depend on what is learned.
    """

    def __init__(self, chip: Chip) -> None:
        self._chip = chip
        self.counts: Counter[str] = Counter()
        self.pulsing = Pulsing()

    def read(self, tile: TileConfig, shape: tuple[int, int], vectors: float, *, back: bool) -> None:
        """Products with the array.

        Args:
            tile: The tile.
            shape: Word lines and bit lines that are used.
            vectors: How many products, in the mean.
            back: Whether bit lines are driven.
        """
        costs, cells = tile.cell.costs, math.prod(shape)
        inputs, outputs = shape[::-1] if back else shape
        passed, reads = _along(tile)[back], vectors * costs.reads
        converted = round(outputs * reads)
        self.counts.update(
            dac=round(inputs * reads),
            cell_read=round(cells * reads),
            line_read=round(inputs * passed * reads * charges(tile, self._chip)),
            **dict.fromkeys(("sample_hold", "adc", "shift_add"), converted),
        )
        self.counts.update({name: round(n * cells * reads) for name, n in costs.read.items()})

    def pulse(self, tile: TileConfig, shape: tuple[int, int], slots: int) -> None:
        """Updates by pulse trains of so many slots together."""
        self._named(tile)
        self.pulsing.add(
            word=slots * shape[0],
            bit=slots * shape[1],
            cells=_along(tile),
            crossed=slots * math.prod(shape),
        )

    def write(self, tile: TileConfig, cells: float) -> None:
        """Writes of the devices of so many cells until they have a value."""
        devices = sum(each.number for each in tile.cell.costs.devices if each.is_written)
        self.counts["cell_write"] += round(cells * devices)

    def move(self, tile: TileConfig, work: LineWork, *, of_outputs: bool) -> None:
        """Transfers of lines between the arrays of the tile."""
        self._named(tile)
        self.counts.update(work.events)
        self.pulsing.add(
            word=work.slots,
            bit=work.slots * work.width,
            cells=_along(tile)[::-1] if of_outputs else _along(tile),
            crossed=work.slots * work.width,
        )

    def compute(self, operations: int, *, weights: int = 0) -> None:
        """Work of the digital unit, and weights that it reads from digital memory for it."""
        self.counts.update(digital=operations, memory=weights * WORD_BITS)

    def _named(self, tile: TileConfig) -> None:
        costs = tile.cell.costs
        self.pulsing.counts_cells = not costs.slots
        self.pulsing.named = Counter(costs.pulse)


def _along(tile: TileConfig) -> tuple[int, int]:
    """Cells along a word line, and along a bit line."""
    return tile.cols, tile.rows
