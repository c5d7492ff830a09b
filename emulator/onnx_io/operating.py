"""Layers that compute an operator on tensors."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from crossmesh.emulator.onnx_io.laying import separated
from crossmesh.emulator.onnx_io.parameters import gathered, is_spread
from crossmesh.emulator.onnx_io.sketch import Sketch
from crossmesh.emulator.onnx_io.values import (
    EXAMPLES,
    Array,
    Axes,
    Constant,
    NumberKind,
    Refusal,
    View,
    module_of,
    view_of,
)
from crossmesh.tiles.digital.operators import OPERATORS
from crossmesh.tiles.digital.operators.elementwise import Combination


class PlaceOfExamples(NamedTuple):
    """Where tensors have their examples.

    Attributes:
        from_end: The axis, counted from the end.
        n: Examples.
        within: Numbers that share the axis with them, within each.
    """

    from_end: int
    n: int
    within: int


def operate(  # noqa: PLR0913  because shape, axis and kind of a result go together
    sketch: Sketch,
    operator: str,
    operands: Sequence[View | Constant],
    shape: Sequence[int],
    *,
    settings: Mapping[str, Any] | None = None,
    at: int | None = None,
    batch: int | None = None,
    kind: NumberKind = "f",
    hint: str = "",
    is_shared: bool = False,
) -> View:
    """Add an operator on tensors whose axes it takes one by one, without that of the examples.

    Args:
        sketch: The network so far.
        operator: Its name.
        operands: Tensors; one of them at least is a view, and all have the examples at the
            same axis, counted from the end where they are spread over each other.
        shape: Shape of the result, with the examples.
        settings: Its settings.
        at: The axis of the operands that holds the examples, also a single one.
        batch: That of the result; by default the same.
        kind: What the numbers of the result are.
        hint: What the layer may be called.
        is_shared: Whether constants are without an axis of the examples.

    Raises:
        Refusal: If examples would be mixed.
    """
    views = [separated(sketch, one) if isinstance(one, View) else one for one in operands]
    first = next(one for one in views if isinstance(one, View))
    at = first.batch if at is None else at
    batch = at if batch is None else batch
    if len({one.within for one in views if isinstance(one, View)}) > 1:
        raise Refusal("examples that share an axis with other values, in different ways")
    place = (
        None if at is None or is_shared else PlaceOfExamples(first.rank - at, first.n, first.within)
    )
    parameter = _parameter_of(views, place)
    fed: list[str] = []
    seen: list[dict[str, Any]] = []
    held: dict[str, Any] = {}
    arrays: dict[str, Array] = {}
    for i, one in enumerate(views):
        value = one
        if isinstance(value, Constant) and value is not parameter:
            value = _held_constant(sketch, first, value, place)
        if isinstance(value, Constant):
            arrays["weight"], is_trained = _parameter(sketch, operator, value, first, place)
            held = {"parameter": i, **({} if is_trained else {"frozen": True})}
            seen.append({"sizes": arrays["weight"].shape})
            hint = hint or (module_of(value.name) if is_trained else "")
        else:
            fed.append(value.made)
            seen.append(_operand(value, at, sketch.steps[value.made].axes))
    within = first.within if batch is not None else 1
    name = sketch.add(
        "operator",
        fed,
        _lying(shape, batch, within),
        hint=hint or sketch.called(operator),
        settings={
            "operator": operator,
            **({"settings": dict(settings)} if settings else {}),
            **({"operands": seen} if any(seen) else {}),
            **held,
        },
        arrays=arrays,
    )
    return view_of(name, sketch.n, shape, batch, kind, within)


def _parameter_of(
    operands: Sequence[View | Constant], place: PlaceOfExamples | None
) -> Constant | None:
    """The constant that an operator holds itself: that with the most numbers for an example."""
    constants = [one for one in operands if isinstance(one, Constant)]
    if len(constants) < 2:
        return constants[0] if constants else None
    return max(constants, key=lambda one: _without_examples(one, place).size)


def _parameter(
    sketch: Sketch, operator: str, constant: Constant, like: View, place: PlaceOfExamples | None
) -> tuple[Array, bool]:
    """The numbers that an operator holds itself, and whether training changes them."""
    array = _without_examples(constant, place)
    is_trained = sketch.is_trained(constant, like.made)
    if not is_trained or not is_spread(array):
        return array, is_trained
    if issubclass(OPERATORS[operator], Combination):
        return gathered(array), True
    return array, False


def _lying(shape: Sequence[int], batch: int | None, within: int) -> Sequence[int]:
    """Axes of a value as it lies, of the shape of a tensor."""
    axes = list(shape)
    if batch is not None:
        axes[batch : batch + 1] = [within] if within > 1 else []
    return axes or (1,)


def _held_constant(
    sketch: Sketch, like: View, constant: Constant, place: PlaceOfExamples | None
) -> View:
    """A constant as the value of a layer, the same for all examples."""
    array = _without_examples(constant, place)
    shape = list(constant.shape)
    at = None
    if place is not None:
        shape[:0] = [1] * (place.from_end - len(shape))
        at = len(shape) - place.from_end
        shape[at] = sketch.n
        if place.within > 1:
            array = np.broadcast_to(
                array, (*array.shape[:at], place.within, *array.shape[at + 1 :])
            )
            shape[at] = sketch.n * place.within
    name = sketch.held(constant)
    if name is None:
        is_trained = sketch.is_trained(constant, like.made) and not is_spread(array)
        name = sketch.add(
            "operator",
            [like.made],
            array.shape or (1,),
            hint=module_of(constant.name) or "constant",
            settings={
                "operator": "held",
                "parameter": 1,
                "operands": [{}, {"sizes": array.shape or (1,)}],
                **({} if is_trained else {"frozen": True}),
            },
            arrays={"weight": array.reshape(array.shape or (1,))},
        )
        sketch.hold(constant, name)
    within = place.within if place is not None else 1
    return view_of(name, sketch.n, shape, at, constant.kind, within)


def as_view(sketch: Sketch, constant_or_view: View | Constant, like: View) -> View:
    """A tensor as a view; a constant becomes the value of a layer beside another."""
    if isinstance(constant_or_view, View):
        return constant_or_view
    place = None
    if like.batch is not None:
        place = PlaceOfExamples(like.rank - like.batch, like.n, like.within)
    return _held_constant(sketch, like, constant_or_view, place)


def _operand(view: View, at: int | None, lying: Axes) -> dict[str, Any]:
    """How an operator sees a separated view, without an axis of the examples."""
    parts = [
        tuple(part for part in axis if part != EXAMPLES)
        for i, axis in enumerate(view.axes)
        if i != at or view.within > 1
    ]
    there = [part[0] for part in parts if part]
    seen: dict[str, Any] = {}
    if there == sorted(there):
        sizes = [view.sizes[part[0]] if part else 1 for part in parts]
    else:
        ones = itertools.count(len(there))
        seen["order"] = tuple(part[0] if part else next(ones) for part in parts)
        sizes = [*view.sizes, *[1] * (len(parts) - len(there))]
    if tuple(sizes) != lying:
        seen["sizes"] = tuple(sizes)
    return seen


def _without_examples(constant: Constant, place: PlaceOfExamples | None) -> Array:
    """A constant as every example meets it, without the examples.

    Raises:
        Refusal: If it differs between examples.
    """
    array = constant.array
    if place is None or array.ndim < place.from_end:
        return array
    at = array.ndim - place.from_end
    if array.shape[at] == 1:
        return array if place.within > 1 else _first(array, at)
    apart = array.reshape(*array.shape[:at], place.n, -1, *array.shape[at + 1 :])
    if (apart != apart.take([0], at)).any():
        raise Refusal("a constant that differs between examples")
    one = _first(apart, at)
    return one if place.within > 1 else _first(one, at)


def _first(array: Array, axis: int) -> Array:
    """The first entry along an axis, a view."""
    first: Array = np.moveaxis(array, axis, 0)[0]
    return first
