"""Backends that make tiles, by the names that ``engine.backend`` takes.

A backend takes what ``Tile`` takes and gives what does as ``Tile`` does: an emulation on other
hardware, or a measured chip behind the same three cycles.
"""

from collections.abc import Callable

from crossmesh.common.registry import Registry
from crossmesh.tiles.analog.tile import Block, Tile, TileConfig

Backend = Callable[[TileConfig, Block, float, int, int], Tile]

BACKENDS: Registry[Backend] = Registry("crossmesh.backends", {"emulated": Tile})
