"""A matrix in digital memory that an optimiser changes."""

import numpy as np
from numpy.typing import NDArray

from crossmesh.tiles.analog.array import State, state_digest
from crossmesh.tiles.analog.block import Block
from crossmesh.tiles.analog.tile import Tile
from crossmesh.tiles.digital.learner import Learner
from crossmesh.tiles.digital.memory import EXACT
from crossmesh.tiles.digital.optimizers import Rule


class DigitalMatrix(Tile):
    """Numbers that multiply vectors exactly, and learn by an optimiser.

    Args:
        block: The matrix of a layer.
        seed: The run's seed.
        rule: What it learns by.
        vectors: Vectors of an example that it is driven with.

    Attributes:
        learner: The optimiser's state.
    """

    def __init__(self, block: Block, seed: int, rule: Rule, vectors: int = 1) -> None:
        super().__init__(EXACT, block, 1.0, seed, vectors)
        self.learner = Learner(rule, block.shape)

    def update(
        self, x: NDArray[np.float32], d: NDArray[np.float32], rate: float, first_example: int
    ) -> None:
        """Add the outer products to the error of the batch; ``step`` makes a step of it."""
        self.learner.add(x.T @ d)

    def step(self, rate: float) -> None:
        """Make a step of the errors of a batch, at a learning rate of the tiles."""
        self.learner.step(self.crossbar.weights, rate)

    def state(self) -> State:
        """Arrays of a checkpoint: the matrix, and what the optimiser keeps."""
        return {**super().state(), **self.learner.state()}

    def load(self, state: State) -> None:
        """Restore what ``state`` returned."""
        kept = self.learner.state()
        super().load({name: array for name, array in state.items() if name not in kept})
        self.learner.load(state)

    def digest(self) -> bytes:
        """sha256 of the matrix, and of what the optimiser keeps."""
        return state_digest({**self.crossbar.state(), **self.learner.state()})
