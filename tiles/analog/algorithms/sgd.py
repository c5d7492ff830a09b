"""Plain gradient descent: every outer product is pulsed on the array that holds the weights."""

from typing import Literal

from crossmesh.tiles.analog.algorithms.base import Algorithm
from crossmesh.tiles.analog.cells import Cell


class Sgd(Algorithm):
    """Pulses of every example's outer product, on the cell of the tile as it is.

    Source: Gokmen & Vlasov 2016, doi 10.3389/fnins.2016.00333.
    """

    kind: Literal["sgd"] = "sgd"

    def cell(self, cell: Cell, batch: int = 1) -> Cell:
        """The cell itself."""
        return cell
