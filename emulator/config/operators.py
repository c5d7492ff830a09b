"""Layers of operators: functions of tensors with any axes, computed in digital units."""

from typing import Literal

from pydantic import Field

from crossmesh.common.frozen import Frozen, FrozenDict, Keyed, Many
from crossmesh.emulator.config.layer import AnyLayer
from crossmesh.tiles.digital import AnyOptimizer

Sizes = Many[int]
Setting = bool | int | float | str | Sizes


class OperandView(Frozen):
    """How an operator sees one of its operands.

    Attributes:
        sizes: The numbers of an example as an array, in the order in which they lie: of an image by
            height, width, channel. By default the axes of the layer that feeds it.
        order: Which of ``sizes`` each axis of the operand is; by default as they lie.
    """

    sizes: Sizes | None = None
    order: Sizes | None = None


class OperatorLayer(AnyLayer):
    """A function of the values of other layers, each example by itself.

    Attributes:
        operator: Name of the function.
        inputs: Names of the layers that feed it; by default the one before.
        settings: Settings of the function; axes count from 0, without that of the examples.
        operands: How it sees what it takes, the parameter among them; by default as it lies.
        axes: Sizes of the axes of its result, the last of which are features; by default as the
            function gives them.
        parameter: Which of the operands is a parameter that it holds.
        start: What every number of the parameter is, where no weights are given.
        frozen: Whether the parameter stays as it is.
        optimizer: What changes the parameter; by default as ``training.optimizer``.
    """

    kind: Literal["operator"] = "operator"
    operator: str
    inputs: Many[str] = ()
    settings: Keyed[str, Setting] = Field(default_factory=FrozenDict)
    operands: Many[OperandView] = ()
    axes: Sizes | None = None
    parameter: int | None = Field(None, ge=0)
    start: float = 0.0
    frozen: bool = False
    optimizer: AnyOptimizer | None = None

    @property
    def title(self) -> str:
        """The operator."""
        return self.operator

    @property
    def feeders(self) -> tuple[str | None, ...]:
        """Its inputs."""
        return self.inputs or (None,)
