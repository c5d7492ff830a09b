"""A digital memory: where the parameters of a function or a bias lie, as weights do on a tile."""

import numpy as np
from numpy.typing import NDArray

from crossmesh.tiles.analog.array import State, state_digest
from crossmesh.tiles.analog.retention import Aging
from crossmesh.tiles.analog.tile import Block
from crossmesh.tiles.digital.base import Array

_NUMBERS = "numbers"  # in a checkpoint


class DigitalMemory:
    """The numbers of one function or bias in a digital unit; used as a ``Tile`` by its host.

    Args:
        block: Its number, the layer that it serves, and how many numbers it holds.

    Attributes:
        numbers: Changed in place, never replaced.
        scale: Weight per number.
        pulses: None are ever sent.
    """

    scale = 1.0
    pulses = 0

    def __init__(self, block: Block) -> None:
        self.block = block
        self.numbers: Array = np.zeros(block.shape, np.float32)

    @property
    def weights(self) -> NDArray[np.float32]:
        """A copy of the numbers."""
        return self.numbers.copy()

    def begin(self, evaluation: int | None, examples_per_update: float = 1) -> None:
        """Nothing: no read has noise."""

    def age(self, aging: Aging | None) -> None:
        """Nothing: numbers do not age."""

    def write(self, weights: NDArray[np.float32]) -> None:
        """Set the numbers."""
        self.numbers[:] = weights

    def state(self) -> State:
        """What a checkpoint holds."""
        return {_NUMBERS: self.numbers}

    def load(self, state: State) -> None:
        """Take over what ``state`` gave."""
        self.numbers[:] = state[_NUMBERS]

    def digest(self) -> bytes:
        """sha256 of the numbers, with name and shape."""
        return state_digest(self.state())
