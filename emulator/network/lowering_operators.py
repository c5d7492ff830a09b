"""Lowering of operators on tensors with any axes."""

import difflib
import math
from collections.abc import Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from crossmesh.emulator.config.operators import OperandView, OperatorLayer
from crossmesh.emulator.network.assembly import Assembly, frozen_as
from crossmesh.emulator.network.graph import Node, Shape, of_node
from crossmesh.emulator.network.layer_error import LayerError
from crossmesh.tiles.digital.base import Function
from crossmesh.tiles.digital.operators import OPERATORS, Axes, Operand, Operator, WithParameter
from crossmesh.tiles.digital.operators.movement import SliceOf
from crossmesh.tiles.runtime.program import Take


def operator(build: Assembly, layer: OperatorLayer, name: str, fed: Sequence[Node]) -> Node:
    """A node that computes the operator, with its parameter if it has one."""
    function = _made(layer, _operands(layer, [node.shape.axes for node in fed]))
    shape = Shape.of(_result(layer, function))
    if layer.parameter is None:
        part = _part(function, fed[0], shape)
        if part is not None:
            return build.join(name, [part], shape)
        return build.function(name, fed, function, shape)
    learned: Function = WithParameter(operator=function, place=layer.parameter, start=layer.start)
    return frozen_as(build, build.function(name, fed, learned, shape), layer.frozen)


def _part(function: Operator, fed: Node, shape: Shape) -> Take | None:
    """The features or positions that a slice takes, where they lie side by side.

    Such a slice is a join of one part, whose error is added up in its place and nowhere else.
    """
    if not isinstance(function, SliceOf) or function.places.step != 1:
        return None
    sizes, order = function.operands[0]
    outer, inner = math.prod(sizes[: function.axis]), math.prod(sizes[function.axis + 1 :])
    start, stop = function.places.start * inner, function.places.stop * inner
    if order is not None:
        return None
    if outer == fed.positions and shape.features == stop - start:
        return of_node(fed.name, start, stop)
    is_whole = start % fed.width == stop % fed.width == 0
    if outer == 1 and is_whole and shape.features == fed.width:
        return of_node(fed.name, 0, fed.width, positions=(start // fed.width, stop // fed.width))
    return None


def _operands(layer: OperatorLayer, fed: Sequence[Axes]) -> tuple[Operand, ...]:
    place, n = layer.parameter, len(fed) + (layer.parameter is not None)
    if place is not None and place >= n:
        raise LayerError("parameter", f"must be an operand ({n} of them), got {place}")
    if layer.operands and len(layer.operands) != n:
        raise LayerError("operands", f"must be one for each of {n}, got {len(layer.operands)}")
    views = layer.operands or (OperandView(),) * n
    lying: list[Axes | None] = list(fed)
    if place is not None:
        lying.insert(place, None)
    return tuple(
        _operand(i, view, axes) for i, (view, axes) in enumerate(zip(views, lying, strict=True))
    )


def _operand(i: int, view: OperandView, lying: Axes | None) -> Operand:
    sizes = lying if view.sizes is None else view.sizes
    if sizes is None:
        raise LayerError(f"operands.{i}.sizes", "must be given for a parameter, got none")
    if any(size < 1 for size in sizes):
        raise LayerError(f"operands.{i}.sizes", f"must be 1 or more, got {list(sizes)}")
    if lying is not None and math.prod(sizes) != math.prod(lying):
        rule = f"must have all numbers of an example ({math.prod(lying)})"
        raise LayerError(f"operands.{i}.sizes", f"{rule}, got {list(sizes)}")
    if view.order is not None and sorted(view.order) != list(range(len(sizes))):
        rule = f"must name each of {len(sizes)} axes once"
        raise LayerError(f"operands.{i}.order", f"{rule}, got {list(view.order)}")
    return Operand(tuple(sizes), None if view.order is None else tuple(view.order))


def _made(layer: OperatorLayer, operands: tuple[Operand, ...]) -> Operator:
    kind = OPERATORS.get(layer.operator)
    if kind is None:
        near = difflib.get_close_matches(layer.operator, OPERATORS) or OPERATORS
        raise LayerError("operator", f"must be one of {', '.join(near)}, got {layer.operator}")
    if kind.n_operands is not None and len(operands) != kind.n_operands:
        rule = f"must be {kind.n_operands} for {layer.operator}, with the parameter"
        raise LayerError("inputs", f"{rule}, got {len(operands)}")
    given: dict[str, Any] = {"operands": operands, **layer.settings}
    try:
        made: Operator = TypeAdapter(kind).validate_python(given)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise LayerError(f"settings.{where}", f"{first['msg']}, got {first['input']}") from None
    return made


def _result(layer: OperatorLayer, function: Operator) -> Axes:
    try:
        axes = function.axes
    except ValueError as error:
        raise LayerError("operator", f"{layer.operator}: {error}") from None
    if not axes:
        axes = (1,)
    if any(size < 1 for size in axes):
        raise LayerError("operator", f"must give numbers, got {list(axes)} of {layer.operator}")
    if layer.axes is None:
        return axes
    if math.prod(layer.axes) != math.prod(axes) or min(layer.axes) < 1:
        raise LayerError("axes", f"must have all numbers of {list(axes)}, got {list(layer.axes)}")
    return tuple(layer.axes)
