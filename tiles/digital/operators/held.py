"""Numbers that a digital unit holds, as a value of their own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from crossmesh.tiles.digital.base import Array
from crossmesh.tiles.digital.operators.base import Axes, Operator


@dataclass(frozen=True, kw_only=True)
class Held(Operator):
    """The second operand, for as many examples as the first has; nothing else of that counts."""

    name: ClassVar[str] = "held"
    n_operands: ClassVar[int | None] = 2
    needs_inputs: ClassVar[bool] = True

    @property
    def work(self) -> float:
        """Nothing is computed."""
        return 0.0

    @property
    def axes(self) -> Axes:
        """Those of the second operand."""
        return self.operands[1].axes

    def compute(self, tensors: Sequence[Array], out: Array) -> None:
        """The numbers, for each example."""
        out[...] = tensors[1]

    def error(self, d: Array, index: int, tensors: Sequence[Array], y: Array | None) -> Array:
        """The error of the numbers; none of the first operand."""
        return d if index == 1 else np.zeros_like(tensors[0])
