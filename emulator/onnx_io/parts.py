"""ONNX operators that take parts of tensors, and rows of tables."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from crossmesh.emulator.onnx_io.laying import as_it_lies, lying_like, separated
from crossmesh.emulator.onnx_io.moving import MIXED, axis_of, inner_axis, reshaped
from crossmesh.emulator.onnx_io.operating import operate
from crossmesh.emulator.onnx_io.sketch import Sketch
from crossmesh.emulator.onnx_io.values import (
    Axes,
    Constant,
    Refusal,
    Use,
    Value,
    View,
    module_of,
)


def sliced(sketch: Sketch, view: View, axis: int, start: int, stop: int, step: int = 1) -> View:
    """Every ``step``-th place of an axis from ``start`` on, before ``stop``, as Python counts."""
    n = view.shape[axis]
    places = range(*slice(start, stop, step).indices(n))
    if not len(places):
        raise Refusal("a part without numbers")
    if list(places) == list(range(n)):
        return view
    if axis == view.batch:
        raise Refusal(MIXED)
    settings: dict[str, Any] = {
        "start": places[0],
        "stop": places[-1] + (1 if step > 0 else -1),
        "step": step,
    }
    if settings["stop"] < 0:
        return _along(sketch, "take", view, axis, len(places), {"places": tuple(places)})
    return _along(sketch, "slice", view, axis, len(places), settings)


def _along(
    sketch: Sketch, operator: str, view: View, axis: int, size: int, settings: dict[str, Any]
) -> View:
    """An operator along an axis, which has another size then; all others lie as before."""
    plain = separated(sketch, view)
    parts = plain.axes[axis]
    if not parts:  # of size 1: it lies nowhere
        result = [*view.shape[:axis], size, *view.shape[axis + 1 :]]
        own = {"axis": inner_axis(plain, axis), **settings}
        return operate(sketch, operator, [plain], result, settings=own, kind=view.kind)
    lying = as_it_lies(plain)
    at = lying.axes.index(parts)
    result = [*lying.shape[:at], size, *lying.shape[at + 1 :]]
    own = {"axis": parts[0], **settings}
    return lying_like(
        operate(sketch, operator, [lying], result, settings=own, kind=view.kind), plain
    )


def slice_(sketch: Sketch, use: Use) -> list[Value]:
    """A part along some axes."""
    view = use.view(0)
    starts, ends = use.numbers("starts", 1), use.numbers("ends", 2)
    if starts is None or ends is None:
        raise Refusal("bounds that are left out")
    axes = use.numbers("axes", 3) or list(range(len(starts)))
    steps = use.numbers("steps", 4) or [1] * len(starts)
    bounds = []
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        at = axis_of(axis, view.rank)
        n = view.shape[at]
        stop: Any = end
        if step < 0 and end < -n:
            stop = None
        bounds.append((at, start, stop, step))
    if none := _without_numbers(view, bounds):
        return [none]
    for bound in bounds:
        view = sliced(sketch, view, *bound)
    return [view]


def _without_numbers(
    view: View, bounds: Sequence[tuple[int, int, int | None, int]]
) -> Constant | None:
    """A part that has no numbers; None: it has some."""
    sizes = list(view.shape)
    for at, start, stop, step in bounds:
        sizes[at] = len(range(*slice(start, stop, step).indices(sizes[at])))
    return None if all(sizes) else Constant(np.zeros(sizes, np.float32))


def split(sketch: Sketch, use: Use) -> list[Value | None]:
    """Parts one after the other."""
    view = use.view(0)
    axis = axis_of(int(use.attributes.get("axis", 0)), view.rank)
    sizes = use.numbers("split", 1)
    n, parts = view.shape[axis], use.attributes.get("num_outputs", len(use.outputs))
    if sizes is None:
        each = -(-n // int(parts))
        sizes = [each] * (n // each) + ([n % each] if n % each else [])
    starts = np.cumsum([0, *sizes])
    return [
        _part(sketch, view, axis, int(starts[i]), int(starts[i] + size)) if used else None
        for i, (size, used) in enumerate(zip(sizes, use.outputs, strict=False))
    ]


def _part(sketch: Sketch, view: View, axis: int, start: int, stop: int) -> View | Constant:
    none = _without_numbers(view, [(axis, start, stop, 1)])
    return none or sliced(sketch, view, axis, start, stop)


def taken(sketch: Sketch, view: View, axis: int, places: Sequence[int], shape: Axes) -> View:
    """Places of an axis, in any order, as an array of ``shape`` in its place."""
    n = view.shape[axis]
    numbers = [int(place) + n * (place < 0) for place in places]
    if any(not 0 <= place < n for place in numbers):
        raise Refusal(f"places {min(places)} to {max(places)} of {n}")
    if numbers == list(range(n)):
        made = view
    else:
        inner_axis(view, axis)  # not that of the examples
        if numbers == list(range(numbers[0], numbers[0] + len(numbers))):
            made = sliced(sketch, view, axis, numbers[0], numbers[-1] + 1)
        else:
            settings = {"places": tuple(numbers)}
            made = _along(sketch, "take", view, axis, len(numbers), settings)
    return reshaped(sketch, made, [*view.shape[:axis], *shape, *view.shape[axis + 1 :]])


def gather(sketch: Sketch, use: Use) -> list[Value]:
    """Places of an axis, or rows of a table."""
    data, places = use.tensor(0), use.tensor(1)
    axis = axis_of(int(use.attributes.get("axis", 0)), len(data.shape))
    if isinstance(places, Constant):
        assert isinstance(data, View)
        return [taken(sketch, data, axis, places.array.ravel().tolist(), places.shape)]
    if isinstance(data, Constant):
        return [_looked_up(sketch, use, data, places, axis)]
    return [_chosen(sketch, data, places, axis)]


def _chosen(sketch: Sketch, data: View, places: View, axis: int) -> View:
    """Places of an axis that are data themselves; of several examples, each chooses from all."""
    if data.batch is not None or places.batch is not None:
        raise Refusal("rows that examples choose from each other")
    result = [*data.shape[:axis], *places.shape, *data.shape[axis + 1 :]]
    settings = {"axis": inner_axis(data, axis)}
    return operate(sketch, "lookup", [data, places], result, settings=settings, kind=data.kind)


def _looked_up(sketch: Sketch, use: Use, table: Constant, places: View, axis: int) -> View:
    """Rows of a table for tokens."""
    if axis or table.array.ndim != 2:
        raise Refusal("a table that is not read row by row")
    width = table.shape[1]
    hint = module_of(table.name) or use.hint
    is_input = places.made == "input" and sketch.tokens
    if is_input and places.sizes == sketch.steps["input"].axes[:1]:
        axes = (places.sizes[0] if places.sizes else 1, width)
        name = sketch.add(
            "embedding",
            [places.made],
            axes,
            hint=hint,
            settings={"outputs": width},
            arrays={"weight": table.array},
        )
        sizes = (*places.sizes, width)
        last: Axes = (len(sizes) - 1,)
        return replace(places, made=name, sizes=sizes, axes=(*places.axes, last), kind="f")
    plain = separated(sketch, places)
    return operate(
        sketch,
        "lookup", [table, plain], [*plain.shape, width], settings={"axis": 0}, hint=hint,
        is_shared=True,
    )  # fmt: skip


def gather_elements(sketch: Sketch, use: Use) -> list[Value]:
    """A number from an axis for each place."""
    data, places = use.tensor(0), use.tensor(1)
    first = data if isinstance(data, View) else use.view(1)
    axis = axis_of(int(use.attributes.get("axis", 0)), first.rank)
    settings = {"axis": inner_axis(first, axis)}
    return [
        operate(
            sketch,
            "gather_elements",
            [data, places],
            list(places.shape),
            settings=settings,
            kind=data.kind,
        )
    ]


def gather_nd(sketch: Sketch, use: Use) -> list[Value]:
    """Parts of a tensor by places along its first axes."""
    view, places = use.view(0), use.needed(1)
    alike = int(use.attributes.get("batch_dims", 0))
    batch = view.batch
    if batch is not None and batch < alike:
        if (places != places.take([0], batch)).any():
            raise Refusal("places that differ between examples")
        order = [*(axis for axis in range(view.rank) if axis != batch), batch]
        view, places, alike = view.permuted(order), places.take(0, batch), alike - 1
    k = alike + places.shape[-1]
    shape = places.shape[:-1]
    coordinates = [
        np.broadcast_to(np.arange(n).reshape([-1] + [1] * (len(shape) - i - 1)), shape)
        for i, n in enumerate(shape[:alike])
    ]
    coordinates += [places[..., i] for i in range(places.shape[-1])]
    sizes = view.shape[:k]
    if view.batch is not None and view.batch < k:
        raise Refusal(MIXED)
    numbers = [np.where(c < 0, c + n, c) for c, n in zip(coordinates, sizes, strict=True)]
    flat = np.ravel_multi_index(numbers, sizes)
    merged = reshaped(sketch, view, [math.prod(sizes), *view.shape[k:]])
    made = taken(sketch, merged, 0, flat.ravel().tolist(), shape)
    if batch is None or view.batch == batch:
        return [made]
    at = made.batch
    assert at is not None  # it was moved behind the others
    rest = [axis for axis in range(made.rank) if axis != at]
    return [made.permuted([*rest[:batch], at, *rest[batch:]])]
