"""Digital memory: parameters and matrices in a digital unit, with exact arithmetic."""

from enum import Enum

import numpy as np
from numpy.typing import NDArray

from crossmesh.tiles.analog.array import FLOAT_BYTES, State, state_digest
from crossmesh.tiles.analog.backends import EMULATION, Backend
from crossmesh.tiles.analog.block import Block
from crossmesh.tiles.analog.cells.ideal import Ideal
from crossmesh.tiles.analog.footprint import OBJECT_BYTES
from crossmesh.tiles.analog.read import ReadConfig
from crossmesh.tiles.analog.retention import Aging
from crossmesh.tiles.analog.tile_config import TileConfig
from crossmesh.tiles.digital.base import Array
from crossmesh.tiles.digital.learner import Learner
from crossmesh.tiles.digital.rule import Rule

_KEY = "numbers"  # in a checkpoint
EXACT = TileConfig(  # computes what a digital unit does
    cell=Ideal(),
    read=ReadConfig(
        noise_management="none", bound_management="none", dac=None, adc=None, output_noise=0.0
    ),
)


class Digital(Enum):
    """Contents of a digital memory: a matrix that multiplies vectors, or parameters."""

    MATRIX = "matrix"
    PARAMETERS = "parameters"


def held_bytes(
    holder: TileConfig | Digital,
    shape: tuple[int, int],
    backend: Backend = EMULATION,
) -> int:
    """Bytes that a tile, or what lies in a digital unit, keeps as long as it lives.

    Args:
        holder: Configuration of the tile, or the contents of a digital memory.
        shape: Rows and columns that it uses.
        backend: Maker of the tiles.
    """
    if holder is Digital.PARAMETERS:
        return shape[0] * shape[1] * FLOAT_BYTES + OBJECT_BYTES
    if holder is Digital.MATRIX:
        return EMULATION.tile_bytes(EXACT, shape)
    return backend.tile_bytes(holder, shape)


class DigitalMemory:
    """The parameters of one function or bias in a digital unit; used as a ``Tile`` by its host.

    Args:
        block: Its number, the layer that it serves, and how many parameters it holds.
        rule: What they learn by; None: the rate times the error, added at once.

    Attributes:
        parameters: Changed in place, never replaced.
        learner: The optimiser's state, if it has a rule.
        scale: Weight per number.
        pulses: None are ever sent.
    """

    scale = 1.0
    pulses = 0

    def __init__(self, block: Block, rule: Rule | None = None) -> None:
        self.block = block
        self.learner = None if rule is None else Learner(rule, block.shape)
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

    def step(self, rate: float) -> None:
        """Make a step of the errors of a batch, at a learning rate of the tiles."""
        assert self.learner is not None
        self.learner.step(self.parameters, rate)

    def state(self) -> State:
        """Arrays of a checkpoint: the parameters, and what an optimiser keeps."""
        kept = {} if self.learner is None else self.learner.state()
        return {_KEY: self.parameters, **kept}

    def load(self, state: State) -> None:
        """Take over what ``state`` gave."""
        self.parameters[:] = state[_KEY]
        if self.learner is not None:
            self.learner.load(state)

    def digest(self) -> bytes:
        """sha256 of the state, with names and shapes."""
        return state_digest(self.state())
