"""A layer in digital units that multiplies by a constant."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from crossmesh.kinds import Function, NamedLayer


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale(Function):
    """``y = factor * x``.

    Attributes:
        factor: The factor.
    """

    factor: float

    def forward(self, inputs: Sequence[Any], out: Any, call: Any) -> None:
        """Multiply."""
        out[:] = inputs[0] * type(inputs[0][0, 0])(self.factor)

    def backward(self, d: Any, index: int, inputs: Sequence[Any], y: Any, call: Any) -> Any:
        """Multiply."""
        return d * type(d[0, 0])(self.factor)


class ScaleLayer(NamedLayer):
    """Multiplies its input.

    Attributes:
        factor: By what.
    """

    kind: Literal["example.scale"] = "example.scale"
    factor: float = 1.0

    def lower(self, build: Any, name: str, fed: Sequence[Any]) -> Any:
        """One function of the layer before."""
        return build.function(name, fed[0], Scale(factor=self.factor), fed[0].shape)
