"""Tiles of which one cause of error or several are mended: what each costs is seen without it."""

from collections.abc import Callable, Collection, Mapping
from enum import StrEnum
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from crossmesh.tiles.analog.array import Factor
from crossmesh.tiles.analog.backends import EmulatedTiles
from crossmesh.tiles.analog.block import Block
from crossmesh.tiles.analog.cells import Crossbar
from crossmesh.tiles.analog.read import ReadConfig
from crossmesh.tiles.analog.retention import Aged
from crossmesh.tiles.analog.tile import Tile
from crossmesh.tiles.analog.tile_config import TileConfig

Array = NDArray[np.float32]
_FAR = np.float32(100)  # times the reach of a cell, which no cell holds


class Cause(StrEnum):
    """Why the output of a tile is not the product."""

    NOISE = "noise"  # of inputs, outputs, and weights from read to read
    CONVERTERS = "converters"  # steps and ranges of DAC and ADC
    WIRES = "wires"  # their resistance
    BOUNDS = "bounds"  # devices that cannot hold the weight that they should
    PROGRAMMING = "programming"  # devices that could, and hold another


class MendedCells(NamedTuple):
    """What reads of a mended tile see, as of a crossbar.

    Attributes:
        weights: ``(rows, cols)`` normalised.
        variance: ``(rows, cols)`` from read to read, or None.
        arrays: The devices' arrays, whose currents the wires carry.
    """

    weights: Array
    variance: Array | None
    arrays: Callable[[], list[tuple[Factor, Array]]]


class MendedTile(Tile):
    """A tile that is exact where its causes of error are mended.

    Args:
        config: Configuration of the tile.
        block: The part of a layer's matrix that it holds.
        scale: Weight of the network per unit of normalised conductance.
        seed: The run's seed.
        vectors: Vectors of an example that the layer's matrix is driven with.
        mended: The causes.
    """

    def __init__(
        self,
        config: TileConfig,
        block: Block,
        scale: float,
        seed: int,
        vectors: int,
        mended: Collection[Cause],
    ) -> None:
        read = mended_read(config.read, mended)
        config = config.model_copy(update={"read": read})
        super().__init__(config, block, scale, seed, vectors)
        self._cell, self._mended = config.cell, mended
        self._twin = partial(Tile, config, block, scale, seed, vectors)
        self._weights: Array | None = None

    def write(self, weights: Array) -> None:
        """Write the devices, and see which of them hold other weights than they should."""
        super().write(weights)
        held, self._weights = self.crossbar.weights, None
        if self._cell.holds_anything or not {Cause.BOUNDS, Cause.PROGRAMMING} & set(self._mended):
            return
        wanted = (weights / self._scale).astype(np.float32)
        is_beyond = (wanted > self._limit(1)) | (wanted < self._limit(-1))
        is_mended = np.where(
            is_beyond, Cause.BOUNDS in self._mended, Cause.PROGRAMMING in self._mended
        )
        self._weights = np.where(is_mended, wanted, held).astype(np.float32)
        self._changed()

    def _limit(self, sign: int) -> Array:
        """``(rows, cols)`` what the devices hold that are asked for too much."""
        crossbar = self._twin().crossbar
        far = np.full(self.block.shape, sign * _FAR * np.float32(self._cell.reach), np.float32)
        crossbar.write(far)
        return crossbar.weights

    @property
    def _held(self) -> Crossbar | Aged | MendedCells:  # type: ignore[override]
        crossbar = self.crossbar
        weights = crossbar.weights if self._weights is None else self._weights
        variance = None if Cause.NOISE in self._mended else crossbar.variance
        return MendedCells(weights, variance, crossbar.arrays)


class MendedTiles(EmulatedTiles):
    """Maker of tiles, some of which are mended.

    Args:
        mended: Causes by the number of the tile.
    """

    def __init__(self, mended: Mapping[int, Collection[Cause]]) -> None:
        self._mended = mended

    def make(
        self, config: TileConfig, block: Block, scale: float, seed: int, vectors: int = 1
    ) -> Tile:
        """A tile."""
        if mended := self._mended.get(block.tile):
            return MendedTile(config, block, scale, seed, vectors, mended)
        return super().make(config, block, scale, seed, vectors)


def mended_read(read: ReadConfig, mended: Collection[Cause]) -> ReadConfig:
    """A read path of which noise, converters or wires are exact."""
    changes: dict[str, object] = {}
    if Cause.NOISE in mended:
        changes |= {"input_noise": 0.0, "weight_noise": 0.0, "output_noise": 0.0}
    if Cause.CONVERTERS in mended:
        changes |= {"dac": None, "adc": None}
        if read.noise_management == "abs_max" or Cause.NOISE in mended:
            changes |= {"input_range": None}
    if Cause.WIRES in mended:
        changes |= {"wire_resistance": 0.0}
    return read.model_copy(update=changes)
