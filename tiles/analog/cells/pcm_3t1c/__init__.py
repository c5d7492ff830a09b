"""The 2PCM+3T1C cell: two phase-change memories and a capacitor cell."""

from crossmesh.tiles.analog.cells.pcm_3t1c.cell import Pcm3T1C, Transfer
from crossmesh.tiles.analog.cells.pcm_3t1c.memory import PcmMemory

__all__ = ["Pcm3T1C", "PcmMemory", "Transfer"]
