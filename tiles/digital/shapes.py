"""Functions that only change how a value is laid out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crossmesh.tiles.digital.base import Array, Call, Function


@dataclass(frozen=True, kw_only=True, slots=True)
class Flatten(Function):
    """An image or a sequence as one vector, channel by channel as in PyTorch.

    Attributes:
        positions: Positions of the input.
        features: Features of the input.
    """

    positions: int
    features: int

    @property
    def reshapes(self) -> bool:
        """Whether nothing is transposed."""
        return self.positions == 1 or self.features == 1

    def forward(self, inputs: Sequence[Array], out: Array, call: Call) -> None:
        """``(n * positions, features)`` to ``(n, features * positions)``."""
        x = inputs[0]
        if self.reshapes:
            out[:] = x.reshape(len(out), -1)
            return
        channels = out.reshape(len(out), self.features, self.positions)  # a view, of any out
        channels[:] = x.reshape(len(out), self.positions, self.features).transpose(0, 2, 1)

    def backward(
        self, d: Array, index: int, inputs: Sequence[Array], y: Array | None, call: Call
    ) -> Array:
        """The same error, laid out as the input."""
        if self.reshapes:
            return d.reshape(-1, self.features)
        channels = d.reshape(len(d), self.features, self.positions)
        return np.ascontiguousarray(channels.transpose(0, 2, 1)).reshape(-1, self.features)
