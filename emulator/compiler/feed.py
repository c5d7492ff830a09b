"""Examples in the order of an epoch, for the hosts that need them."""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from crossmesh.emulator.data import Examples, order
from crossmesh.emulator.data.augment import Augmentation, Draws


class ShuffledFeed:
    """Inputs and targets at positions of an epoch's order, a pure function of seed and epoch.

    Args:
        examples: All examples.
        seed: The run's seed, by which every epoch has an order of its own; None: that of the file.
        features: Columns of an input; an example has one vector of them, or several: the pixels of
            an image, whose channels lie one after the other in ``examples``, or steps.
        is_image: Whether it is an image.
        has_ones: Whether a last column of ones drives the bias line.
        augmentation: Changes the images of every epoch; None: they are as they are.
    """

    def __init__(
        self,
        examples: Examples,
        seed: int | None,
        *,
        features: int | None = None,
        is_image: bool = False,
        has_ones: bool = True,
        augmentation: Augmentation | None = None,
    ) -> None:
        self._examples = examples
        self._features = features or examples.kept.shape[1]
        self._is_image = is_image
        self._has_ones = has_ones
        self._seed = seed
        self._epoch = -1
        self._order: NDArray[np.int64] = np.arange(len(examples))
        self._augmentation = augmentation
        self._draws: Draws | None = None

    def inputs(self, epoch: int, start: int, stop: int) -> NDArray[np.float32]:
        """``(examples * vectors, features)``, with the ones if there are any."""
        rows = self._rows(self._indices(epoch, start, stop))
        n, features = len(rows), self._features
        if self._is_image:
            vectors = rows.reshape(n, features, -1).transpose(0, 2, 1)
        else:
            vectors = rows.reshape(n, -1, features)
        taken = np.ones((*vectors.shape[:2], features + self._has_ones), np.float32)
        taken[..., :features] = vectors
        return taken.reshape(-1, taken.shape[2])

    def targets(self, epoch: int, start: int, stop: int) -> NDArray[np.generic]:
        """Class numbers ``(examples,)``, or values ``(examples, outputs)``."""
        return self._examples.some_targets(self._indices(epoch, start, stop))

    def _rows(self, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        if self._augmentation is None or self._draws is None:
            return self._examples.some_inputs(indices)
        changed = partial(self._augmentation.applied, draws=self._draws[indices])
        return self._examples.some_inputs(indices, changed)

    def _indices(self, epoch: int, start: int, stop: int) -> NDArray[np.int64]:
        if epoch != self._epoch:
            self._epoch, n = epoch, len(self._examples)
            if self._seed is not None:
                self._order = order(self._seed, epoch, n)
            if self._augmentation is not None:
                self._draws = self._augmentation.draws(epoch, n)
        return self._order[start:stop]
