"""A digital memory: where the parameters of a function or a bias lie, as weights do on a tile."""

import numpy as np
from numpy.typing import NDArray

from crossmesh.tiles.analog.array import State, state_digest
from crossmesh.tiles.analog.retention import Aging
from crossmesh.tiles.analog.tile import Block
from crossmesh.tiles.digital.base import Array

_KEY = "numbers"  # in a checkpoint


class DigitalMemory:
    """The parameters of one function or bias in a digital unit; used as a ``Tile`` by its host.

    Args:
        block: Its number, the layer that it serves, and how many parameters it holds.

    Attributes:
        parameters: Changed in place, never replaced.
        scale: Weight per number.
        pulses: None are ever sent.
    """

    scale = 1.0
    pulses = 0

    def __init__(self, block: Block) -> None:
        self.block = block
        self.parameters: Array = np.zeros(block.shape, np.float32)

    @property
    def weights(self) -> NDArray[np.float32]:
        """A copy of the parameters."""
        return self.parameters.copy()

    def begin(self, evaluation: int | None, examples_per_update: float = 1) -> None:
        """Nothing: no read has noise."""

    def age(self, aging: Aging | None) -> None:
        """Nothing: parameters do not age."""

    def write(self, weights: NDArray[np.float32]) -> None:
        """Set the parameters."""
        self.parameters[:] = weights

    def state(self) -> State:
        """What a checkpoint holds."""
        return {_KEY: self.parameters}

    def load(self, state: State) -> None:
        """Take over what ``state`` gave."""
        self.parameters[:] = state[_KEY]

    def digest(self) -> bytes:
        """sha256 of the parameters, with name and shape."""
        return state_digest(self.state())
