"""Examples in the order of an epoch, for the hosts that need them."""

import numpy as np
from numpy.typing import NDArray

from emulator.data import Examples, order


class ShuffledFeed:
    """Inputs and targets at positions of an epoch's order, a pure function of seed and epoch.

    Args:
        examples: All examples.
        seed: The run's seed.
        shuffle: Whether every epoch has an order of its own; otherwise that of the file.
    """

    def __init__(self, examples: Examples, seed: int, *, shuffle: bool) -> None:
        n, width = examples.inputs.shape
        self._inputs = np.ones((n, width + 1), np.float32)
        self._inputs[:, :width] = examples.inputs
        self._targets = examples.targets
        self._seed = seed
        self._shuffle = shuffle
        self._epoch = -1
        self._order: NDArray[np.int64] = np.arange(n)

    def inputs(self, epoch: int, start: int, stop: int) -> NDArray[np.float32]:
        """``(examples, inputs + 1)``; the last column is 1 and drives the bias line."""
        return self._inputs[self._indices(epoch, start, stop)]

    def targets(self, epoch: int, start: int, stop: int) -> NDArray[np.generic]:
        """Class numbers ``(examples,)``, or values ``(examples, outputs)``."""
        return self._targets[self._indices(epoch, start, stop)]

    def _indices(self, epoch: int, start: int, stop: int) -> NDArray[np.int64]:
        if self._shuffle and epoch != self._epoch:
            self._order = order(self._seed, epoch, len(self._targets))
            self._epoch = epoch
        return self._order[start:stop]
