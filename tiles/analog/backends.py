"""Backends that make tiles, by the names that ``engine.backend`` takes.

A backend is an object that makes ``AnalogTile``: an emulation on other hardware, or a measured
chip behind the same three cycles. ``engine.backend`` names it. It crosses to actors as Ray pickles
it, so it holds no connections; what it makes may.
"""

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.registry import Registry
from crossmesh.tiles.analog import footprint
from crossmesh.tiles.analog.array import State
from crossmesh.tiles.analog.block import Block
from crossmesh.tiles.analog.retention import Aging
from crossmesh.tiles.analog.tile import Tile
from crossmesh.tiles.analog.tile_config import TileConfig
from crossmesh.tiles.analog.warming import warm_up

Array = NDArray[np.float32]
EMULATED = "emulated"


class AnalogTile(Protocol):
    """What a host asks of a tile: ``tile.Tile`` is one, and so is all that does the same.

    Attributes:
        block: Which part of which layer it holds.
        scale: Weight of the network per unit of normalised conductance.
    """

    @property
    def block(self) -> Block: ...  # noqa: D102  because the class says it

    @property
    def scale(self) -> float: ...  # noqa: D102  because the class says it

    @property
    def weights(self) -> Array:
        """The network's weights ``(rows, cols)`` as the devices hold them."""
        ...

    @property
    def pulses(self) -> int:
        """Pulses sent to all lines since the weights were written."""
        ...

    def begin(self, evaluation: int | None, examples_per_update: float = 1) -> None:
        """Prepare for a span: of training, or of a numbered evaluation.

        Args:
            evaluation: Number of the evaluation; None: training.
            examples_per_update: How many the tile reads between two updates; infinitely many, if
                it is never updated.
        """
        ...

    def forward(self, x: Array, first_example: int) -> Array:
        """Forward cycle: ``(examples, rows)`` to new partial sums ``(examples, cols)``.

        Args:
            x: Values on the word lines; to be left as they are.
            first_example: Number of the first vector, which keys whatever is random, so that
                neither the size of a micro-batch nor the number of actors changes a bit.
        """
        ...

    def backward(self, d: Array, first_example: int) -> Array:
        """Backward cycle: errors ``(examples, cols)`` to new partial sums ``(examples, rows)``.

        Args:
            d: Minus the gradient of the loss by the outputs; to be left as it is.
            first_example: Number of the first vector, as in ``forward``.
        """
        ...

    def update(self, x: Array, d: Array, rate: float, first_example: int) -> None:
        """Update cycle: move the weights along ``rate * x.T @ d``, one example after the other.

        An emulated tile sends pulses, whose mean change this is as far as its devices allow.

        Args:
            x: Values on the word lines, ``(examples, rows)``.
            d: Errors on the bit lines, ``(examples, cols)``, as in ``backward``.
            rate: Learning rate, in weights of the network per ``x * d``.
            first_example: Number of the first vector, as in ``forward``.
        """
        ...

    def write(self, weights: Array) -> None:
        """Set the network's weights ``(rows, cols)`` as far as the devices reach."""
        ...

    def state(self) -> State:
        """Arrays that a checkpoint holds; their names, shapes and types never change."""
        ...

    def load(self, state: State) -> None:
        """Take over what ``state`` gave."""
        ...

    def age(self, aging: Aging | None) -> None:
        """Read from programmed memories that have aged; None: from the devices as they are."""
        ...

    def digest(self) -> bytes:
        """sha256 of the device state, see ``array.state_digest``."""
        ...


@runtime_checkable
class Backend(Protocol):
    """A maker of tiles."""

    def make(
        self, config: TileConfig, block: Block, scale: float, seed: int, vectors: int = 1
    ) -> AnalogTile:
        """A tile.

        Args:
            config: What tiles are.
            block: Which part of which layer this one holds.
            scale: Weight of the network per unit of normalised conductance.
            seed: The run's seed, from which every random number follows.
            vectors: Vectors of an example that the layer's matrix is driven with; their time is a
                part of ``config.example_s`` each.
        """
        ...

    def warm_up(self, config: TileConfig) -> None:
        """Do once per machine what is slow the first time, before any tile is made."""
        ...

    def tile_bytes(self, config: TileConfig, shape: tuple[int, int]) -> int:
        """Bytes of its host's memory that a tile keeps: the number by which tiles are placed.

        Args:
            config: What the tile is.
            shape: Word lines and bit lines that it uses.
        """
        ...


class EmulatedTiles:
    """Tiles that compiled kernels emulate in their host's process."""

    def make(
        self, config: TileConfig, block: Block, scale: float, seed: int, vectors: int = 1
    ) -> Tile:
        """An emulated tile."""
        return Tile(config, block, scale, seed, vectors)

    def warm_up(self, config: TileConfig) -> None:
        """Compile every kernel of such tiles, or find it on disk."""
        warm_up(config)

    def tile_bytes(self, config: TileConfig, shape: tuple[int, int]) -> int:
        """All that is kept per crosspoint, see ``footprint``."""
        return footprint.tile_bytes(config, shape)


def _check(backend: Backend) -> None:
    if isinstance(backend, type) or not isinstance(backend, Backend):
        raise TypeError(
            "must be an object with make, warm_up and tile_bytes, see "
            "crossmesh.tiles.analog.backends.Backend"
        )


EMULATION = EmulatedTiles()
BACKENDS: Registry[Backend] = Registry("crossmesh.backends", {EMULATED: EMULATION}, _check)
