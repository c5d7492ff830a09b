"""When and how weights go from the capacitors to the phase-change memories."""

from dataclasses import replace

from pydantic import Field

from crossmesh.common.frozen import Frozen
from crossmesh.tiles.analog.costs import CellCosts, TransferCosts
from crossmesh.tiles.analog.devices.limits import Count, SiemensOrNone


class Transfer(Frozen):
    """When and how weights go from the capacitors to the phase-change memories.

    Attributes:
        every: Examples between two transfers; vectors, where an example drives a tile with several.
            Source: Ambrogio et al. 2018, Extended Data Fig. 2.
        examples_per_row: Examples that pass between the transfers of two word lines; 0: training
            waits until the whole array is transferred. Source: assumed.
        offset_siemens: Taken off the weight before it is written, so that most errors need the
            capacitor to go up, where it has more room. Source: the same, Extended Data Fig. 9.
        read_noise_siemens: Deviation of the measured weight. Source: assumed.
    """

    every: Count = 8000
    examples_per_row: int = Field(0, ge=0, le=10**9)
    offset_siemens: SiemensOrNone = 2e-6
    read_noise_siemens: SiemensOrNone = 0.1e-6

    def costs(self, rows: int, cells: CellCosts) -> TransferCosts:
        """A line is read, its memories are written and read, its capacitors correct the rest.

        The weight waits in digital memory; what is aimed at and what is missing are differences.

        Args:
            rows: Word lines of the tile.
            cells: What a cell costs.
        """
        memories = tuple(each for each in cells.devices if not each.is_pulsed)
        return TransferCosts(
            lines=rows / self.every,
            reads=(cells, replace(cells, devices=memories)),
            written=cells,
            operations=2,
            words=2,
        )
