"""Unit cells: how devices make one weight. A device alone is the simplest cell."""

from typing import Annotated

from crossmesh.common.registry import Kinds, Registry, kind_of
from crossmesh.tiles.analog.cells.base import Crossbar, UnitCell
from crossmesh.tiles.analog.cells.ideal import Ideal
from crossmesh.tiles.analog.cells.pair import Pair
from crossmesh.tiles.analog.cells.pairs import Pairs
from crossmesh.tiles.analog.cells.pcm_3t1c import Pcm3T1C, PcmMemory, Transfer
from crossmesh.tiles.analog.cells.refresh import Refresh
from crossmesh.tiles.analog.cells.single import SharedReference
from crossmesh.tiles.analog.devices import DEVICES, Device

_OWN: tuple[type[UnitCell], ...] = (Ideal, SharedReference, Pair, Pairs, Pcm3T1C)


def _check(kind: type[UnitCell]) -> None:
    if not (isinstance(kind, type) and issubclass(kind, UnitCell)):
        raise TypeError("must be a subclass of crossmesh.tiles.analog.cells.UnitCell")


CELLS = Registry("crossmesh.cells", {kind_of(cls): cls for cls in _OWN}, _check)
Cell = Annotated[UnitCell | Device, Kinds(UnitCell | Device, CELLS, DEVICES)]

__all__ = [
    "CELLS",
    "Cell",
    "Crossbar",
    "Ideal",
    "Pair",
    "Pairs",
    "Pcm3T1C",
    "PcmMemory",
    "Refresh",
    "SharedReference",
    "Transfer",
    "UnitCell",
]
