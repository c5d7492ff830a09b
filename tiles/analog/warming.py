"""Compiling a tile's kernels before there is work for them."""

import math

import numpy as np

from crossmesh.tiles.analog.block import Block
from crossmesh.tiles.analog.tile import Tile
from crossmesh.tiles.analog.tile_config import TileConfig


def warm_up(config: TileConfig, seed: int = 0) -> None:
    """Run every cycle once on a small tile, so that its kernels are compiled and cached.

    Nothing is done on a board. Wires are solved exactly whatever their model, since a state may
    ask for it, and in both ways. The first time takes seconds; processes that start later find
    the kernels on disk.
    """
    config = config.model_copy(update={"array": None})
    wired = bool(config.read.wire_resistance)
    if wired:
        read = config.read.model_copy(update={"wire_model": "exact"})
        config = config.model_copy(update={"read": read})
    tile = Tile(config, Block(tile=0, layer="", row=0, col=0, shape=(3, 3)), 1.0, seed)
    x = np.full((1, 3), 0.5, np.float32)
    for examples in (1, math.inf)[: 1 + wired]:
        tile.begin(None, examples)
        tile.forward(x, 0)
        tile.backward(x, 0)
        tile.update(x, x, 0.01, 0)
