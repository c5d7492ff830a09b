"""Operators that combine numbers at the same place, in whatever order they lie."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from crossmesh.emulator.onnx_io.laying import laid_out
from crossmesh.emulator.onnx_io.operating import operate
from crossmesh.emulator.onnx_io.sketch import Sketch
from crossmesh.emulator.onnx_io.values import EXAMPLES, Axes, Constant, NumberKind, Refusal, View

Tensor = View | Constant


def combine(
    sketch: Sketch,
    operator: str,
    tensors: Sequence[Tensor],
    *,
    settings: dict[str, Any] | None = None,
    kind: NumberKind = "f",
    hint: str = "",
) -> View:
    """Add an operator on numbers at the same place, of tensors that are spread as in NumPy.

    The result lies as the first tensor that has all of its numbers, so that nothing is moved.

    Raises:
        Refusal: If tensors do not fit, or examples would meet others.
    """
    rank = max(len(tensor.shape) for tensor in tensors)
    views = [_of_rank(one, rank) for one in tensors]
    _check_batch(views)
    try:
        shape = np.broadcast_shapes(*(tensor.shape for tensor in tensors))
    except ValueError as error:
        raise Refusal(str(error)) from None
    parts = _parts(sketch, views, shape)  # sizes that make each axis, EXAMPLES among them
    names = [(axis, i) for axis, sizes in enumerate(parts) for i in range(len(sizes))]
    split = [_split(one, parts) for one in views]
    order = _lying(split, names, parts)
    inner = [name for name in order if parts[name[0]][name[1]] != EXAMPLES]
    operands = [_ordered(one, names, inner, parts) for one in split]
    sizes = [sketch.n, *(parts[axis][i] for axis, i in inner)]
    result = operate(
        sketch, operator, operands, sizes, settings=settings, at=0, kind=kind, hint=hint
    )
    places = {
        name: part for name, axis in zip(inner, result.axes[1:], strict=True) for part in axis
    }
    axes = tuple(
        tuple(
            EXAMPLES if size == EXAMPLES else places[axis, i]
            for i, size in enumerate(sizes_of)
            if size == EXAMPLES or (axis, i) in places
        )
        for axis, sizes_of in enumerate(parts)
    )
    return replace(result, axes=axes)


def _of_rank(tensor: Tensor, rank: int) -> Tensor:
    """With axes of size 1 in front."""
    missing = rank - len(tensor.shape)
    if isinstance(tensor, View):
        return tensor.expanded(range(missing)) if missing else tensor
    return replace(tensor, array=tensor.array.reshape((1,) * missing + tensor.shape))


def _check_batch(views: Sequence[Tensor]) -> None:
    if len({one.batch for one in views if isinstance(one, View)}) != 1:
        raise Refusal("examples along different axes")


def _parts(sketch: Sketch, tensors: list[Tensor], shape: Axes) -> list[list[int]]:
    """Sizes whose product is that of each axis, so that each view has all of them or size 1."""
    while True:
        parts = [_common(tensors, axis, size) for axis, size in enumerate(shape)]
        if all(one is not None for one in parts):
            return [one for one in parts if one is not None]
        moved = [laid_out(sketch, one) if isinstance(one, View) else one for one in tensors]
        if all(a is b for a, b in zip(moved, tensors, strict=True)):
            raise Refusal("examples that share an axis with other values, in different ways")
        tensors[:] = moved


def _common(tensors: Sequence[Tensor], axis: int, size: int) -> list[int] | None:
    """The sizes of an axis that all views that have it can be cut into; None: there are none."""
    if size == 1:
        return []
    full = [one for one in tensors if isinstance(one, View) and one.shape[axis] == size]
    if not full:
        return [size]
    cuts: set[int] = set()
    places: set[tuple[int, int] | None] = set()
    for one in full:
        own, place = _cuts(one, axis)
        cuts |= own
        places.add(place)
    if len(places) > 1:
        return None
    of_examples = places.pop()
    found, before = [], size
    for cut in sorted(cuts, reverse=True):
        if before % cut:
            return None
        found.append(EXAMPLES if of_examples == (before, cut) else before // cut)
        before = cut
    return found


def _cuts(view: View, axis: int) -> tuple[set[int], tuple[int, int] | None]:
    """Numbers within each part of an axis, and those within and with the examples, if any."""
    cuts, place = set(), None
    inner = view.shape[axis]
    for part in view.axes[axis]:
        outer, inner = inner, inner // view.size(part)
        cuts.add(inner)
        if part == EXAMPLES:
            place = (outer, inner)
    return cuts, place


def _split(tensor: Tensor, parts: Sequence[Sequence[int]]) -> Tensor:
    """A view with its axes cut into these parts, each an axis of its own or of size 1."""
    shape: list[int] = []
    for size, sizes in zip(tensor.shape, parts, strict=True):
        if isinstance(tensor, View):
            own = [tensor.n if part == EXAMPLES else part for part in sizes]
        else:
            own = list(sizes)
        shape += own if size != 1 else [1] * len(sizes)
    if isinstance(tensor, View):
        made = tensor.reshaped(shape)
        assert made is not None  # the parts were chosen so
        return made
    return tensor


def _lying(
    tensors: Sequence[Tensor], names: Sequence[tuple[int, int]], parts: Sequence[Sequence[int]]
) -> list[tuple[int, int]]:
    """The parts in the order in which the first view that has all of them lies."""
    wanted = [name for name in names if parts[name[0]][name[1]] not in {1, EXAMPLES}]
    for one in tensors:
        if isinstance(one, View):
            places = {
                name: axis[0]
                for name, axis in zip(names, one.axes, strict=True)
                if axis and axis[0] != EXAMPLES
            }
            if all(name in places for name in wanted):
                return sorted(wanted, key=places.__getitem__)
    return wanted


def _ordered(
    tensor: Tensor,
    names: Sequence[tuple[int, int]],
    inner: Sequence[tuple[int, int]],
    parts: Sequence[Sequence[int]],
) -> Tensor:
    """A tensor with the examples first and the parts in this order."""
    if isinstance(tensor, View):
        order = [names.index(name) for name in inner]
        if tensor.batch is None:
            return tensor.permuted(order).expanded([0])
        return tensor.permuted([tensor.batch, *order])
    return replace(tensor, array=_in_parts(tensor.array, names, inner, parts))


def _in_parts(
    array: Any,
    names: Sequence[tuple[int, int]],
    inner: Sequence[tuple[int, int]],
    parts: Sequence[Sequence[int]],
) -> Any:
    """The numbers of a constant, the examples first and then the parts in this order."""
    shape: list[int] = []
    for size, sizes in zip(array.shape, parts, strict=True):
        known = int(np.prod([part for part in sizes if part != EXAMPLES], dtype=int))
        shape += [1 if size == 1 else size // known if part == EXAMPLES else part for part in sizes]
    cut = array.reshape(shape)
    order = [names.index(name) for name in inner]
    at = [i for i, (axis, k) in enumerate(names) if parts[axis][k] == EXAMPLES]
    moved = cut.transpose(*at, *order)
    return moved if at else moved[None]
