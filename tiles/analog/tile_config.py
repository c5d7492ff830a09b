"""What a tile is: its config, and what its parts need to know of it."""

import sys
import time
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from crossmesh.common.errors import ConfigError
from crossmesh.common.frozen import Frozen, Many
from crossmesh.common.random import Stream
from crossmesh.tiles.analog.block import Block
from crossmesh.tiles.analog.board_config import BoardArray
from crossmesh.tiles.analog.cells import Cell
from crossmesh.tiles.analog.crossbar import EXAMPLE_S
from crossmesh.tiles.analog.devices import ConstantStep
from crossmesh.tiles.analog.ir_drop import Wires, check_wires
from crossmesh.tiles.analog.on_board import TileBoard
from crossmesh.tiles.analog.pulser import Site
from crossmesh.tiles.analog.read import ReadConfig
from crossmesh.tiles.analog.update import UpdateConfig

_ONCE_S = 10.0
_SAID: dict[str, float] = {}  # when a line was said last


class TileConfig(Frozen):
    """Configuration of the tiles of a chip, or of one layer.

    Attributes:
        rows: Word lines of a tile: inputs that it takes at most.
        cols: Bit lines of a tile: outputs that it gives at most.
        cell: The unit cell at each crosspoint.
        read: The read path of the forward and backward cycles.
        update: Settings of the update cycle.
        weight_scale: Weight of the network per unit of normalised conductance, or ``auto``: each
            layer's largest initial weight takes half of what a typical cell reaches.
        line_scales: Of one layer: a factor of ``weight_scale`` for every bit line of its matrices,
            by which digital units multiply behind the ADCs; ``crossmesh calibrate`` finds them.
        bias: Where the bias of a layer lies. ``line``: on one more word line, driven at 1, so that
            noise management scales smaller inputs by 1 as well. ``digital``: in the digital unit,
            which adds it behind the ADCs, as is aihwkit's default.
        example_s: Emulated seconds from one example to the next, for what leaks and drifts while
            training. Source: assumed, 240 ns.
        array: Board on which devices of the tile lie; None: all are emulated.
    """

    rows: int = Field(256, ge=1, le=65536)
    cols: int = Field(256, ge=1, le=65536)
    cell: Cell = ConstantStep()
    read: ReadConfig = ReadConfig()
    update: UpdateConfig = UpdateConfig()
    weight_scale: Annotated[float, Field(gt=0)] | Literal["auto"] = 1.0
    line_scales: Many[Annotated[float, Field(gt=0, le=1e6)]] | None = None
    bias: Literal["line", "digital"] = "digital"
    example_s: float = Field(EXAMPLE_S, gt=0)
    array: BoardArray | None = None

    @model_validator(mode="after")
    def _a_board_can_hold_the_cells(self) -> Self:
        if self.array is not None:
            planes, cell = dict(self.cell.planes), self.cell.kind
            if not planes:
                raise ValueError(f"array must be left out with cells of kind {cell}")
            for name in self.array.planes or ():
                if name not in planes:
                    known = ", ".join(planes)
                    raise ValueError(f"array.planes of {cell} must be of {known}, got {name!r}")
            if self.array.reads == "products" and self.read.wire_resistance:
                raise ValueError("read.wire_resistance must be 0 where a board makes the products")
        return self

    @model_validator(mode="after")
    def _every_word_line_is_transferred(self) -> Self:
        transfer = self.cell.transfers
        if transfer and self.rows * transfer.examples_per_row > transfer.every:
            raise ValueError(
                "cell.transfer.every must be at least rows * examples_per_row "
                f"({self.rows * transfer.examples_per_row}), got {transfer.every}"
            )
        return self

    @model_validator(mode="after")
    def _wires_can_be_computed(self) -> Self:
        check_wires((self.rows, self.cols), self.read, self.cell.largest_conductance)
        return self


def site_of(
    config: TileConfig, block: Block, *, scale: float = 1.0, seed: int = 0, vectors: int = 1
) -> Site:
    """What a crossbar of a tile needs to know; arguments as those of ``Tile``."""
    return Site(
        shape=block.shape,
        stream=Stream(seed=seed, owner=block.tile),
        update=config.update,
        example_s=config.example_s / vectors,
        read=config.read,
        scale=scale,
        vectors=vectors,
        first=(block.row, block.col),
        whole=block.whole,
    )


def board_of(config: TileConfig, block: Block) -> TileBoard | None:
    """The board on which devices of a tile lie, or None.

    Raises:
        ConfigError: If its cells and their algorithm cannot lie there.
    """
    if config.array is None:
        return None
    if not config.cell.planes:
        raise ConfigError(
            "tile.array must be left out, or training.algorithm be sgd or mixed_precision: arrays "
            "of others cannot lie on a board"
        )
    return TileBoard(config.array, block, config.cell.planes, _say)


def _say(line: str) -> None:
    """Say a line once, where all tiles of a board say it."""
    now = time.monotonic()
    if now - _SAID.get(line, -_ONCE_S) >= _ONCE_S:
        _SAID[line] = now
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


def lines_of(config: TileConfig, block: Block) -> NDArray[np.float32] | None:
    """``(cols,)`` factors of the scale of a tile's bit lines, or None if they have the same."""
    if config.line_scales is None:
        return None
    return np.array(config.line_scales[slice(*block.col_range)], np.float32)


def wires_of(config: TileConfig, shape: tuple[int, int]) -> Wires | None:
    """The wires of a tile of ``shape``, or None if they have no resistance."""
    read = config.read
    if not read.wire_resistance:
        return None
    return Wires(read.wire_resistance, read.wire_model, shape, config.cell.largest_conductance)
