"""How tensors become operands: views whose numbers lie as a layer needs them."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from crossmesh.emulator.onnx_io.sketch import Sketch
from crossmesh.emulator.onnx_io.values import (
    EXAMPLES,
    Axes,
    Refusal,
    View,
)


def separated(sketch: Sketch, view: View) -> View:
    """A view each of whose axes is one size or of size 1, but for the examples.

    Examples may share their axis with one more, within them: operators then take this as an axis.

    Raises:
        Refusal: If the examples are within another axis.
    """
    if view.batch is not None and view.axes[view.batch][0] != EXAMPLES:
        raise Refusal("examples within an axis of other values")
    if all(len(_inner(axis)) < 2 for axis in view.axes):
        return view
    merged = _merged(view)
    if merged is not None:
        return merged
    groups = sorted((_inner(axis) for axis in view.axes if _inner(axis)), key=max)
    sizes = [math.prod(view.sizes[part] for part in group) for group in groups]
    moved = arranged(sketch, view, [part for group in groups for part in group], sizes)
    merged = _merged(moved)
    assert merged is not None  # the parts of each axis were put side by side
    return merged


def as_it_lies(view: View) -> View:
    """A view with an axis for each size, in the order in which they lie, behind the examples."""
    outer = ((EXAMPLES,),) if view.batch is not None else ()
    return replace(view, axes=(*outer, *((part,) for part in range(len(view.sizes)))))


def lying_like(made: View, view: View) -> View:
    """A result in the order of ``as_it_lies`` of a view, with the axes of that view."""
    first = view.batch is not None
    places = {part: made.axes[first + part] for part in range(len(view.sizes))}
    places[EXAMPLES] = (EXAMPLES,)
    axes = tuple(tuple(one for part in axis for one in places[part]) for axis in view.axes)
    return replace(made, axes=axes)


def _inner(axis: Axes) -> Axes:
    """The parts of an axis that are not the examples."""
    return tuple(part for part in axis if part != EXAMPLES)


def laid_out(sketch: Sketch, view: View) -> View:
    """A view whose numbers lie in the order of the tensor."""
    parts = [part for part in view.order if part != EXAMPLES]
    moved = arranged(sketch, view, parts)
    merged = _merged(moved)
    return moved if merged is None else merged


def as_vectors(view: View) -> View:
    """All numbers of an example as one size, of a view that is laid out; or the view itself."""
    first = view.order[:1] == (EXAMPLES,)
    if EXAMPLES in view.order[first:]:
        return view
    size = math.prod(view.sizes)
    numbers: Axes = (0,) if size > 1 else ()
    axes = ((EXAMPLES,), numbers) if first else (numbers,)
    return replace(view, sizes=(size,) if size > 1 else (), axes=axes)


def arranged(
    sketch: Sketch, view: View, parts: Sequence[int], axes: Sequence[int] | None = None
) -> View:
    """A view whose sizes lie in this order, as axes of a layer's value where these are given."""
    sizes = tuple(view.sizes[part] for part in parts)
    lying = sketch.steps[view.made].axes
    is_there = list(parts) == sorted(parts)
    if is_there and (axes is None or tuple(axes) == lying):
        return view
    target = tuple(axes) if axes is not None else sizes or (1,)
    operand: dict[str, Any] = {}
    if view.sizes != lying:
        operand["sizes"] = view.sizes or (1,)
    if not is_there:
        operand["order"] = tuple(parts)
    made = sketch.add(
        "operator",
        [view.made],
        target,
        hint=f"arrange{len(sketch.steps) - 1}",
        settings={
            "operator": "arrange",
            "settings": {"axes": target},
            **({"operands": [operand]} if operand else {}),
        },
    )
    places = {part: i for i, part in enumerate(parts)} | {EXAMPLES: EXAMPLES}
    axes_of = tuple(tuple(places[part] for part in axis) for axis in view.axes)
    return replace(view, made=made, sizes=sizes, axes=axes_of)


def with_features(sketch: Sketch, view: View, axes: Sequence[int], *, flat: bool = False) -> View:
    """A view whose numbers along some axes lie side by side, as features of a layer's value.

    Args:
        sketch: The network so far.
        view: The view.
        axes: The axes, the outermost first.
        flat: Whether the value is to be vectors: a sequence of them, or one.

    Raises:
        Refusal: If the examples are along one of the axes.
    """
    parts = [part for axis in axes for part in view.axes[axis]]
    if EXAMPLES in parts:
        raise Refusal("an operation along the axis of the examples")
    rest = [part for part in range(len(view.sizes)) if part not in parts]
    n_features = math.prod(view.sizes[part] for part in parts)
    outer = [view.sizes[part] for part in rest]
    lying = sketch.steps[view.made].axes
    is_there = [*rest, *parts] == list(range(len(view.sizes))) and lying[-1] == n_features
    if is_there and (not flat or len(lying) < 3):
        return view
    if flat and outer:
        outer = [math.prod(outer)]
    return arranged(sketch, view, [*rest, *parts], [*outer, n_features])


def _merged(view: View) -> View | None:
    """Axes of several sizes that lie one within the other as one size each; None: they do not."""
    counts: dict[int, int] = {}  # parts of a merged axis, by its first
    for axis in map(_inner, view.axes):
        if len(axis) > 1 and EXAMPLES not in axis:
            if list(axis) != list(range(axis[0], axis[0] + len(axis))):
                return None
            counts[axis[0]] = len(axis)
    sizes: list[int] = []
    places: dict[int, int] = {}
    part = 0
    while part < len(view.sizes):
        n = counts.get(part, 1)
        places[part] = len(sizes)
        sizes.append(math.prod(view.sizes[part : part + n]))
        part += n
    axes = []
    for axis in view.axes:
        inner = _inner(axis)
        at_examples = (EXAMPLES,) if EXAMPLES in axis else ()
        axes.append((*at_examples, *((places[inner[0]],) if inner else ())))
    return replace(view, sizes=tuple(sizes), axes=tuple(axes))
