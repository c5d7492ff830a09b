"""Numbers instead of devices, for reference."""

import numpy as np

from tiles.array import Array, Factor, State


class IdealCrossbar:
    """Weights that take any change exactly.

    Args:
        shape: Rows and columns.
    """

    variance: Array | None = None

    def __init__(self, shape: tuple[int, int]) -> None:
        self.weights = np.zeros(shape, np.float32)
        self.pulses = 0

    def write(self, weights: Array) -> None:
        """Set the weights."""
        self.weights[:] = weights

    def update(self, x: Array, d: Array, rate: float, first_example: int) -> None:
        """Add the outer products exactly."""
        self.weights += np.float32(rate) * (x.T @ d)

    def arrays(self) -> list[tuple[Factor, Array]]:
        """Weights above and below zero, as two arrays would hold them."""
        return [(1.0, np.maximum(self.weights, 0)), (-1.0, np.maximum(-self.weights, 0))]

    def state(self) -> State:
        """The weights."""
        return {"weights": self.weights}

    def load(self, state: State) -> None:
        """Take over saved weights."""
        self.weights[:] = state["weights"]
