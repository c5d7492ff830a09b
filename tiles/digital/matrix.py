"""A matrix in digital memory that an optimiser changes."""

import numpy as np
from numpy.typing import NDArray

from crossmesh.tiles.analog.array import State, state_digest
from crossmesh.tiles.analog.block import Block
from crossmesh.tiles.analog.tile import Tile
from crossmesh.tiles.analog.tile_config import TileConfig
from crossmesh.tiles.digital.learner import Learner
from crossmesh.tiles.digital.rule import Rule


class DigitalMatrix(Tile):
    """Numbers that multiply vectors, and learn by an optimiser.

    Args:
        config: What it computes: exactly, or as a tile of numbers.
        block: The matrix of a layer, or a part of it.
        scale: Weight of the network per unit of the numbers.
        seed: The run's seed.
        rule: What it learns by.
        vectors: Vectors of an example that it is driven with.

    Attributes:
        learner: The optimiser's state.
    """

    def __init__(
        self,
        config: TileConfig,
        block: Block,
        scale: float,
        seed: int,
        rule: Rule,
        vectors: int = 1,
    ) -> None:
        super().__init__(config, block, scale, seed, vectors)
        self.learner = Learner(rule, block.shape)

    def update(
        self, x: NDArray[np.float32], d: NDArray[np.float32], rate: float, first_example: int
    ) -> None:
        """Add the outer products to the error of the batch; ``step`` makes a step of it."""
        self.learner.add(x.T @ d)

    def step(self, rate: float) -> None:
        """Make a step of the errors of a batch, at a learning rate of the tiles."""
        weights = self.weights
        self.learner.step(weights, rate)
        self.crossbar.write(weights / self._scale)

    @property
    def _kept(self) -> State:
        return self.learner.state()

    def state(self) -> State:
        """Arrays of a checkpoint: the matrix, and what the optimiser keeps."""
        return {**super().state(), **self._kept}

    def load(self, state: State) -> None:
        """Restore what ``state`` returned."""
        kept = self._kept
        super().load({name: array for name, array in state.items() if name not in kept})
        self.learner.load(state)

    def digest(self) -> bytes:
        """sha256 of the matrix, and of what the optimiser keeps."""
        return state_digest({**self.crossbar.state(), **self._kept})
