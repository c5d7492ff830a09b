"""A function that does not depend on its input."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from crossmesh.tiles.digital.base import Array, Call, Function


@dataclass(frozen=True, kw_only=True, slots=True)
class Zeros(Function):
    """A vector of zeros for every example of a sequence: the state before the first step.

    Attributes:
        steps: Steps of the sequence.
    """

    passes_errors: ClassVar[bool] = False
    steps: int

    def forward(self, inputs: Sequence[Array], out: Array, call: Call) -> None:
        """Zeros."""
        out[:] = 0

    def backward(
        self, d: Array, index: int, inputs: Sequence[Array], y: Array | None, call: Call
    ) -> Array:
        """Never called."""
        raise NotImplementedError("an error never passes zeros")
