"""Area and leakage of a chip."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.summaries import summary_of
from crossmesh.emulator.chip.holding import HeldBits
from crossmesh.emulator.chip.prices import Prices
from crossmesh.emulator.config.chip import Chip
from crossmesh.interconnect.noc import Topology
from crossmesh.tiles.analog.tile_config import TileConfig

_MM2 = 1e-6  # of a square micrometre


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ChipArea:
    """Area of the chip; all places of its floor plan have the same, but for their memories.

    Attributes:
        chip: The chip.
        topology: The interconnect.
        tiles: The tiles; the one with the largest parts sets the size of every place.
        prices: What components take.
        held: What the memory of each tile holds.
        networks: Networks on it, each of which has ports of its own.
    """

    chip: Chip
    topology: Topology
    tiles: Sequence[TileConfig]
    prices: Prices
    held: HeldBits
    networks: int = 1

    def __repr__(self) -> str:
        """Square millimetres of the chip and of a place, and watts at rest."""
        shown = ("chip_mm2", "tile_mm2", "leakage_w")
        return summary_of("ChipArea", [(name, getattr(self, name)) for name in shown])

    @cached_property
    def tile(self) -> TileConfig:
        """The tile whose components take the most area, which every place has room for."""
        return max(dict.fromkeys(self.tiles), key=lambda tile: sum(self._parts_um2(tile).values()))

    def _parts_um2(self, tile: TileConfig) -> dict[str, float]:
        """Area of each component of a tile with its router, without its memory."""
        return {
            name: count * self.prices.part(name, tile).area_um2
            for name, count in self.part_counts(tile).items()
        }

    def part_counts(self, tile: TileConfig) -> dict[str, float]:
        """Number of each component in a tile with its router, without its memory."""
        rows, cols = tile.rows, tile.cols
        adcs = -(-max(rows, cols) // self.chip.phases.lines_per_adc)
        own = tile.cell.costs.parts
        return {
            **{name: float(n * rows * cols) for name, n in own.items()},
            "cell": rows * cols,
            "driver": (rows + cols) * tile.cell.costs.lines,
            "dac": rows + cols,
            "adc": adcs,
            "sample_hold": rows + cols,
            "shift_add": adcs,
            "digital": self.chip.phases.digital_lanes,
            "router": self.topology.router_area,
            "router_add": self._router_adders,
        }

    @property
    def _n_ports(self) -> int:
        return self.networks * (self.chip.io_ports or 0)

    @property
    def _router_adders(self) -> int:
        """Adders that make one flit of those of all neighbors but one, and of the tile's own."""
        words = -(-self.chip.flit_bits // self.chip.partial_sum_bits)
        return self.chip.in_network_sums * words * (self.topology.n_ports - 1)

    @cached_property
    def by_component_mm2(self) -> dict[str, float]:
        """Square millimetres by component; the sum of all is the chip."""
        n = self.topology.n_nodes
        found = {name: n * _MM2 * um2 for name, um2 in self._parts_um2(self.tile).items()}
        found["memory"] = _MM2 * sum(map(self.prices.memory_um2, self.held.total))
        found["port"] = _MM2 * self._n_ports * self.prices.part("port", self.tile).area_um2
        placed = sum(found.values())
        found["floor_plan"] = placed * (1 / self.chip.overheads.area_use - 1)
        wires = float(self._lengths_mm(sum(found.values()) / n).sum()) * self.chip.flit_bits
        found["link"] = _MM2 * wires * self.prices.link.area_um2
        return {name: area for name, area in found.items() if area}

    @property
    def chip_mm2(self) -> float:
        """The sum of all."""
        return sum(self.by_component_mm2.values())

    @property
    def tile_mm2(self) -> float:
        """Area of a place in the mean: a tile with its router, and what nothing fills."""
        return self.chip_mm2 / self.topology.n_nodes

    @cached_property
    def link_lengths_mm(self) -> NDArray[np.float64]:
        """``(links,)`` millimetres."""
        return self._lengths_mm(self.tile_mm2)

    def _lengths_mm(self, place_mm2: float) -> NDArray[np.float64]:
        width, _ = self.chip.grid(self.topology.n_nodes)
        return np.asarray(math.sqrt(place_mm2) * self.topology.link_lengths(width))

    @cached_property
    def leakage_by_component_w(self) -> dict[str, float]:
        """Watts of the whole chip at rest, by component."""
        n = self.topology.n_nodes
        found = {
            name: n * count * self.prices.part(name, self.tile).leakage_w
            for name, count in self.part_counts(self.tile).items()
        }
        found["memory"] = sum(map(self.prices.memory_leakage_w, self.held.total))
        found["port"] = self._n_ports * self.prices.part("port", self.tile).leakage_w
        found["link"] = (
            float(self.link_lengths_mm.sum()) * self.chip.flit_bits * self.prices.link.leakage_w
        )
        return {name: watts for name, watts in found.items() if watts}

    @property
    def leakage_w(self) -> float:
        """The sum of all."""
        return sum(self.leakage_by_component_w.values())
