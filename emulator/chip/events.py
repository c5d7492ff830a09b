"""What happens in the tiles of a chip for an example, counted by what it costs."""

import math
from collections.abc import Mapping

from crossmesh.emulator.chip.conversions import charges, integrations
from crossmesh.emulator.chip.line_work import LineWork
from crossmesh.emulator.chip.pulsing import Event, EventCounts, Pulsing, Rewriting
from crossmesh.emulator.chip.use import TileUse
from crossmesh.emulator.config.chip import Chip
from crossmesh.tiles.analog.costs import CellCosts
from crossmesh.tiles.analog.tile_config import TileConfig


class TileEvents:
    """Events of a tile per example.

    Args:
        chip: The chip.

    Attributes:
        counts: What happens whatever is learned.
        pulsing: Pulses of each array, which depend on what is learned.
        rewriting: Transfers that write devices until they have a value.
    """

    def __init__(self, chip: Chip) -> None:
        self._chip = chip
        self.counts = EventCounts(float)
        self.pulsing: dict[CellCosts, Pulsing] = {}
        self.rewriting: list[Rewriting] = []

    def add(self, **counts: float) -> None:
        """Events that meet no cells, by component."""
        _add(self.counts, {Event(name): n for name, n in counts.items()})

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
        converted = round(outputs * reads * integrations(tile, self._chip))
        along = round(inputs * passed * reads * charges(tile, self._chip))
        self.add(
            dac=round(inputs * reads),
            **dict.fromkeys(("sample_hold", "adc", "shift_add"), converted),
        )
        self.add(**{name: round(n * cells * reads) for name, n in costs.read.items()})
        of_cells = {Event("cell_read", costs): cells * reads, Event("line_read", costs): along}
        _add(self.counts, of_cells)

    def pulse(self, tile: TileConfig, shape: tuple[int, int], slots: int) -> None:
        """Updates by pulse trains of so many slots together."""
        counted = tile.update.trains == "counted"
        pulsing = self._pulsing(tile.cell.costs, writes_lines=False, counts_devices=counted)
        of_word, of_bit = _along(tile)
        pulsing.lines += slots * sum(shape)
        pulsing.passed += slots * (shape[0] * of_word + shape[1] * of_bit)
        pulsing.crossed += slots * math.prod(shape)

    def move(self, tile: TileConfig, work: LineWork) -> None:
        """Transfers of lines between the arrays of the tile."""
        costs = work.costs
        if costs.written is None:
            _add(self.counts, work.events)
        else:
            devices = work.lines * work.width * costs.written.written_devices
            self.rewriting.append(
                Rewriting(cells=costs.written, devices=devices, reads=work.events)
            )
        if costs.pulsed is not None:
            pulsing = self._pulsing(costs.pulsed, writes_lines=True, counts_devices=True)
            pulsing.along, across = _along(tile)[:: -1 if costs.of_outputs else 1]
            slots = work.lines * costs.slots
            pulsing.slots += slots
            pulsing.lines += slots * work.width
            pulsing.passed += slots * work.width * across
            pulsing.crossed += slots * work.width

    def of(self, use: TileUse | None) -> EventCounts:
        """All events: pulses and writes as a run has counted them, or as they are estimated."""
        found = EventCounts(float, self.counts)
        for pulsing in self.pulsing.values():
            share = self._chip.phases.pulsed_share
            if use is not None:
                share = pulsing.share(use.pulses_of(pulsing.cells.array))
            _add(found, pulsing.events(share))
        for rewriting in self.rewriting:
            _add(found, rewriting.events(1.0 if use is None else self._share(rewriting, use)))
        if use is not None:
            self._count_writes(found, use)
        return found

    def _share(self, rewriting: Rewriting, use: TileUse) -> float:
        """How many of the transfers into an array have taken place, by what they have written."""
        array = rewriting.cells.array
        all_ = sum(each.devices for each in self.rewriting if each.cells.array == array)
        return min(1.0, use.writes_of(array) / all_) if all_ else 0.0

    def _count_writes(self, found: EventCounts, use: TileUse) -> None:
        """Writes as counted, of the devices of each array."""
        every = (*self.pulsing, *(each.cells for each in self.rewriting))
        written = {cells.array: cells for cells in every if cells.written_devices}
        for event in [event for event in found if event.name == "cell_write"]:
            del found[event]
        for array, cells in written.items():
            found[Event("cell_write", cells)] = use.writes_of(array)

    def _pulsing(self, cells: CellCosts, **counted: bool) -> Pulsing:
        return self.pulsing.setdefault(cells, Pulsing(cells=cells, **counted))


def _add(counts: EventCounts, more: Mapping[Event, float]) -> None:
    for event, n in more.items():
        counts[event] += n


def _along(tile: TileConfig) -> tuple[int, int]:
    """Cells along a word line, and along a bit line."""
    return tile.cols, tile.rows
