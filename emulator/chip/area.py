"""Area and leakage of a chip."""

import math
from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.summaries import summary_of
from crossmesh.emulator.chip.components import Component, ComponentTable
from crossmesh.emulator.config.chip import Chip
from crossmesh.interconnect.noc import Topology
from crossmesh.tiles.analog.tile import TileConfig


def component_bits(name: str, tile: TileConfig, chip: Chip) -> int:
    """Bits of a component: of a tile's converters, otherwise of an activation."""
    read = tile.read
    known = {"dac": read.dac, "adc": read.adc}.get(name)
    return known.bits if known else chip.activation_bits


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ChipArea:
    """Area of the chip; all places of its floor plan are alike.

    Attributes:
        chip: The chip.
        topology: The interconnect.
        tile: The largest tile.
        table: Components.
        optimizer_bits: Bits that a place has for what optimisers keep of digital parameters.
    """

    chip: Chip
    topology: Topology
    tile: TileConfig
    table: ComponentTable
    optimizer_bits: int = 0

    def __repr__(self) -> str:
        """Square millimetres of the chip and of a place, and watts at rest."""
        shown = ("chip_mm2", "tile_mm2", "leakage_w")
        return summary_of("ChipArea", [(name, getattr(self, name)) for name in shown])

    @cached_property
    def part_counts(self) -> dict[str, float]:
        """Number of each component in a tile with its router."""
        rows, cols = self.tile.rows, self.tile.cols
        adcs = -(-max(rows, cols) // self.chip.phases.lines_per_adc)
        parts = self.tile.cell.costs.parts
        counts = Counter[str]({name: n * rows * cols for name, n in parts.items()})
        counts.update(
            {
                "dac": rows + cols,
                "adc": adcs,
                "sample_hold": rows + cols,
                "shift_add": adcs,
                "digital": self.chip.phases.digital_lanes,
                "buffer": (rows + cols) * self.chip.partial_sum_bits + self.optimizer_bits,
            }
        )
        return {**counts, "router": self.topology.router_area}

    @property
    def tile_mm2(self) -> float:
        """Area of a tile with its router."""
        return sum(
            count * self.table.components[name].area_mm2(component_bits(name, self.tile, self.chip))
            for name, count in self.part_counts.items()
        )

    @property
    def chip_mm2(self) -> float:
        """Area of all places of the floor plan."""
        return self.topology.n_nodes * self.tile_mm2

    @cached_property
    def link_lengths_mm(self) -> NDArray[np.float64]:
        """``(links,)`` millimetres."""
        width, _ = self.chip.grid(self.topology.n_nodes)
        return np.asarray(math.sqrt(self.tile_mm2) * self.topology.link_lengths(width))

    @property
    def leakage_w(self) -> float:
        """Watts of the whole chip at rest."""

        def of(component: Component) -> float:
            return 1e-6 * component.leakage_uw

        parts = self.table.components
        tile = sum(count * of(parts[name]) for name, count in self.part_counts.items())
        wires = len(self.topology.links) * self.chip.flit_bits * of(parts["link"])
        return self.topology.n_nodes * tile + wires
