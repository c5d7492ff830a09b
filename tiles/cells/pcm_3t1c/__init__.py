"""The unit cell of 2018: two phase-change memories and a capacitor cell."""

from tiles.cells.pcm_3t1c.cell import Pcm3T1C, Transfer
from tiles.cells.pcm_3t1c.memory import PcmMemory

__all__ = ["Pcm3T1C", "PcmMemory", "Transfer"]
