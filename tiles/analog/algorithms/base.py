"""The base class of training algorithms: what an update does to the arrays of a tile."""

from typing import TYPE_CHECKING, Any

from crossmesh.common.frozen import Frozen
from crossmesh.tiles.analog.cells import Cell


class Algorithm(Frozen):
    """How the weights on a tile are trained.

    An algorithm turns the unit cell of a tile into the one that it needs: more arrays of it, and
    numbers beside them. All else (reads, checkpoints, memory, the chip) asks that cell.
    """

    if TYPE_CHECKING:
        kind: Any  # of every class, which narrows it

    def cell(self, cell: Cell, batch: int = 1) -> Cell:
        """The unit cell that takes the updates in place of ``cell``.

        Args:
            cell: What holds a weight at each crosspoint.
            batch: Examples between two updates of the network.

        Raises:
            ValueError: If such a cell cannot be trained by it: which rule it breaks, and why.
        """
        raise NotImplementedError
