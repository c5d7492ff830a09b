"""A weight on a chain of arrays: the first takes the updates, each hands on to the next.

``w = sum_k factor_k * w_k``. Lines of an array are read in turn and written to the next one; all
arrays of a block, and what lies between them, are in one tile, so nothing is sent.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

from crossmesh.common.frozen import Many
from crossmesh.tiles.analog.algorithms.base import Algorithm
from crossmesh.tiles.analog.algorithms.chain_crossbar import (
    ChainCrossbar,
    FastRate,
    Link,
    array_names,
)
from crossmesh.tiles.analog.algorithms.lines import LineSettings
from crossmesh.tiles.analog.array import FLOAT_BYTES
from crossmesh.tiles.analog.cells import Cell, Crossbar, UnitCell
from crossmesh.tiles.analog.costs import CellCosts, TransferCosts
from crossmesh.tiles.analog.pulser import Site
from crossmesh.tiles.analog.update import UpdateConfig


class ChainAlgorithm(Algorithm):
    """Base class of algorithms that train a chain of cells.

    Attributes:
        words: Digital numbers per weight and link.
    """

    words: ClassVar[int] = 0

    def doubts(self, cells: Sequence[Cell]) -> Sequence[str]:
        """Why weights on such cells will hardly learn by it."""
        raise NotImplementedError

    def doubts_of_run(self, cells: Sequence[Cell], site: Site, vectors: int) -> Sequence[str]:
        """Why a run of so many vectors may be too short for weights on a tile of such cells."""
        return ()

    def line_settings(self, k: int) -> LineSettings:
        """How the lines of array ``k`` take turns."""
        raise NotImplementedError

    def costs_of_link(self, k: int, costs: Sequence[CellCosts], site: Site) -> TransferCosts:
        """What the transfers from array ``k`` cost on a tile.

        Args:
            k: Number of the array.
            costs: Those of the cells of each array.
            site: The tile.
        """
        raise NotImplementedError

    def fast(self, cells: Sequence[Cell]) -> FastRate:
        """The rate of the first array of a chain of cells."""
        raise NotImplementedError

    def write_update(self, update: UpdateConfig) -> UpdateConfig:
        """Trains of the arrays that are written, given those of the tile."""
        raise NotImplementedError

    def link(self, k: int, cell: Any, arrays: Sequence[Crossbar], site: Site) -> Link:
        """What lies between array ``k`` and the next."""
        raise NotImplementedError


class ChainCell(UnitCell):
    """A chain of cells at each crosspoint, trained by an algorithm with transfers.

    Attributes:
        algorithm: What moves weights along the chain.
        cells: The cells, from the one that takes the updates to the one that holds the weight.
        factors: What each counts in the weight.
    """

    kind: Literal["chain"] = "chain"
    algorithm: ChainAlgorithm
    cells: Many[Cell]
    factors: Many[float]

    @property
    def slow(self) -> Cell:
        """The cell that holds the weight."""
        return self.cells[-1]

    @property
    def n_arrays(self) -> int:
        """Arrays of all cells."""
        return sum(cell.n_arrays for cell in self.cells)

    @property
    def largest_conductance(self) -> float:
        """The largest of all cells."""
        return max(cell.largest_conductance for cell in self.cells)

    @property
    def reach(self) -> float:
        """That of the cell which is written with the initial weights."""
        return self.factors[-1] * self.slow.reach

    @property
    def granularity(self) -> float:
        """Change of the weight by one pulse of the cell that holds it."""
        return self.factors[-1] * self.slow.granularity

    @property
    def is_hidden(self) -> bool:
        """Whether reads see the last array only."""
        return not any(self.factors[:-1])

    @property
    def words(self) -> int:
        """Numbers in digital memory beside each chain."""
        return sum(cell.words for cell in self.cells) + self.algorithm.words * len(self.links)

    @property
    def links(self) -> range:
        """Numbers of the arrays that are read and handed on."""
        return range(len(self.cells) - 1)

    @property
    def cell_bytes(self) -> int:
        """Bytes of all cells, of the numbers beside them, and of the weight they make."""
        varies = any(any(device.read_noise) for device in self.devices)
        words = self.algorithm.words * len(self.links) + (not self.is_hidden) + varies
        return sum(cell.cell_bytes for cell in self.cells) + FLOAT_BYTES * words

    @property
    def costs(self) -> CellCosts:
        """Those of all cells; a read takes those that it sees, a pulse those of the first."""
        first, *others = (
            costs if factor else costs.unread()
            for costs, factor in zip(self._costs_of_arrays, self.factors, strict=True)
        )
        whole = first.beside(*(each.without_pulses() for each in others))
        return replace(whole, words=self.words)

    @property
    def _costs_of_arrays(self) -> Sequence[CellCosts]:
        names = array_names(len(self.cells))
        return [replace(each.costs, array=n) for each, n in zip(self.cells, names, strict=True)]

    @property
    def devices(self) -> Sequence[Any]:
        """Those of all cells."""
        return [device for cell in self.cells for device in cell.devices]

    @property
    def doubts(self) -> Sequence[str]:
        """Those of the algorithm."""
        return self.algorithm.doubts(self.cells)

    def doubts_of_run(self, site: Site, vectors: int) -> Sequence[str]:
        """Those of the algorithm."""
        return self.algorithm.doubts_of_run(self.cells, site, vectors)

    @property
    def routes(self) -> Sequence[str]:
        """From each array to the next."""
        names = array_names(len(self.cells))
        return [
            self.algorithm.line_settings(k).in_words(f"{names[k]} to {names[k + 1]}")
            for k in self.links
        ]

    def transfer_costs(self, site: Site) -> Sequence[TransferCosts]:
        """A line is read, and written to the next array; the first may have its own as well."""
        costs = self._costs_of_arrays
        own = [
            replace(each, written=each.written and replace(each.written, array=costs[0].array))
            for each in self.cells[0].transfer_costs(site)
        ]
        return [*own, *(self.algorithm.costs_of_link(k, costs, site) for k in self.links)]

    def crossbar(self, site: Site) -> ChainCrossbar:
        """A crossbar of such chains."""
        return ChainCrossbar(self, site)


def factors(visible: float, n: int) -> Sequence[float]:
    """What each of ``n`` arrays counts: ``visible`` to the power of its distance from the last."""
    return [visible ** (n - 1 - k) if k < n - 1 else 1.0 for k in range(n)]
