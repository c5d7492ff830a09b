"""Every device gets a partner that is pushed the other way."""

from typing import Any, Literal

from crossmesh.kinds import Algorithm
from crossmesh.tiles.analog.cells import Pair


class Partners(Algorithm):
    """Pulses on pairs of the tile's devices, whose asymmetries cancel."""

    kind: Literal["example.partners"] = "example.partners"

    def cell(self, cell: Any, batch: int = 1) -> Any:
        """A pair of such devices."""
        return Pair(device=cell)
