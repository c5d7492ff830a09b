"""Layers that compute operators of digital units, as ONNX operators."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.config.operators import OperandView, OperatorLayer
from crossmesh.emulator.onnx_io import (
    written_axes,
    written_movement,
    written_pointwise,
    written_windows,
)
from crossmesh.emulator.onnx_io.graph import Axes, Graph, Tensor
from crossmesh.tiles.digital.operators import OPERATORS, Operand, Operator

Written = Callable[[Graph, Any, Sequence[Tensor]], Tensor]
# Operators that take numbers with their features last.
LYING: dict[str, Written] = {
    **written_pointwise.COMBINATIONS,
    **written_movement.MOVEMENTS,
    **written_axes.ALONG_AXES,
    **written_windows.REARRANGED,
}
# Operators that take them either way.
EITHER_WAY: dict[str, Written] = {
    **written_pointwise.POINTWISE,
    **written_windows.WINDOWS,
}


def operator(graph: Graph, layer: OperatorLayer, fed: Sequence[Tensor]) -> Tensor:
    """The operator on its operands as it sees them."""
    operands = list(fed)
    if layer.parameter is not None:
        operands.insert(layer.parameter, _parameter(graph, layer, layer.parameter))
    views = layer.operands or (OperandView(),) * len(operands)
    seen = [_seen(graph, x, view) for x, view in zip(operands, views, strict=True)]
    function = _function(graph, layer, seen)
    if layer.operator in EITHER_WAY:
        made = EITHER_WAY[layer.operator](graph, function, seen)
    else:
        made = LYING[layer.operator](graph, function, [graph.lying(x) for x in seen])
    axes = layer.axes or made.axes or (1,)
    if made.axes != axes:
        made = graph.reshaped(graph.lying(made), tuple(axes))
    return replace(made, layer=graph.layer)


def _parameter(graph: Graph, layer: OperatorLayer, place: int) -> Tensor:
    """What the operator holds: a parameter by its name, or a constant if it never changes."""
    axes: Axes = tuple(layer.operands[place].sizes or ())
    if layer.frozen:
        value = graph.constant("held", graph.weight("weight"))
    else:
        value = graph.published("weight")
    return Tensor(value, axes, graph.layer, is_parameter=True)


def _seen(graph: Graph, x: Tensor, view: OperandView) -> Tensor:
    """An operand with the axes that the operator sees."""
    if x.is_tokens:
        raise LookupError(x.layout)
    if view.order is None and (view.sizes is None or tuple(view.sizes) == x.axes):
        return x
    lying = graph.lying(x)
    if view.sizes is not None:
        lying = graph.reshaped(lying, tuple(view.sizes))
    return lying if view.order is None else graph.transposed(lying, tuple(view.order))


def _function(graph: Graph, layer: OperatorLayer, seen: Sequence[Tensor]) -> Operator:
    """The operator on operands of these axes, which lie as it sees them."""
    operands = tuple(Operand(x.axes) for x in seen)
    try:
        made = OPERATORS[layer.operator](operands=operands, **layer.settings)
        assert min(made.axes, default=1) > 0
    except (ValueError, TypeError, AssertionError) as error:
        raise ConfigError(f"layer {graph.layer} must fit its inputs, got {error}") from None
    return made
