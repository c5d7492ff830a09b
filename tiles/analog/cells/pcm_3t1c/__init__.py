"""The 2PCM+3T1C cell: two phase-change memories and a capacitor cell."""

from crossmesh.tiles.analog.cells.pcm_3t1c.cell import Pcm3T1C
from crossmesh.tiles.analog.cells.pcm_3t1c.memory import PcmMemory
from crossmesh.tiles.analog.cells.pcm_3t1c.transfer import Transfer

__all__ = ["Pcm3T1C", "PcmMemory", "Transfer"]
