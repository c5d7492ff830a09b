"""What numbers in digital memory learn by: an optimiser, limits of gradients, what takes part."""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from pydantic import Field, model_validator

from crossmesh.common.frozen import Frozen
from crossmesh.tiles.analog.algorithms.hardware_aware import HardwareAware
from crossmesh.tiles.digital.base import Array
from crossmesh.tiles.optimizers import Optimizer

_ROOM = 1e-6  # added to a norm by which gradients are divided, as PyTorch does


class Clip(Frozen):
    """Limits of the gradient of each array of parameters by itself.

    A norm over all layers would have to be known everywhere before any layer learns, which a
    pipeline of tiles without a common memory does not offer.

    Attributes:
        norm: Largest 2-norm of an array's gradient, which is scaled down to it.
        value: Largest magnitude of each of its elements.
    """

    norm: float | None = Field(None, gt=0)
    value: float | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _has_one_limit(self) -> Self:
        if (self.norm is None) == (self.value is None):
            raise ValueError("norm or value must be given, and only one of them")
        return self

    @property
    def operations(self) -> int:
        """Operations per element: two comparisons; or squared, added and scaled."""
        return 3 if self.value is None else 2

    def limit(self, gradient: Array) -> None:
        """Change a gradient in place."""
        if self.value is not None:
            np.clip(gradient, -self.value, self.value, out=gradient)
        elif self.norm is not None:
            norm = math.sqrt(np.square(gradient, dtype=np.float64).sum())
            gradient *= np.float32(min(1.0, self.norm / (norm + _ROOM)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """What an array of parameters in digital memory learns by.

    Attributes:
        optimizer: The optimiser.
        clip: Limits of its gradients.
        factor: Its learning rate relative to that of the tiles.
        learned_rows: The first so many rows learn.
        decayed_rows: The first so many rows decay.
        aware: How a tile of such numbers is trained for the memories to come.
    """

    optimizer: Optimizer
    clip: Clip | None = None
    factor: float = 1.0
    learned_rows: int
    decayed_rows: int
    aware: HardwareAware | None = None

    @property
    def operations(self) -> int:
        """Operations of a step per parameter."""
        return self.optimizer.operations + (self.clip.operations if self.clip else 0)

    @property
    def words(self) -> int:
        """Numbers kept beside each parameter: the gradient of the batch, and the moments."""
        return 1 + len(self.optimizer.moments)
