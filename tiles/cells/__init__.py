"""Unit cells: how devices make one weight. A device alone is the simplest cell."""

from typing import Annotated

from pydantic import Field

from tiles.cells.alone import SharedReference
from tiles.cells.pair import Pair, Refresh
from tiles.cells.pairs import Pairs
from tiles.cells.pcm_3t1c import Pcm3T1C, PcmMemory, Transfer
from tiles.devices import PULSED_KINDS, Ideal

Cell = Annotated[
    Ideal | PULSED_KINDS | SharedReference | Pair | Pairs | Pcm3T1C, Field(discriminator="kind")
]

__all__ = [
    "Cell",
    "Pair",
    "Pairs",
    "Pcm3T1C",
    "PcmMemory",
    "Refresh",
    "SharedReference",
    "Transfer",
]
