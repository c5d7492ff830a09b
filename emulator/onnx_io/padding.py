"""ONNX operators that put numbers around tensors, or repeat them."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from crossmesh.emulator.onnx_io.laying import separated
from crossmesh.emulator.onnx_io.moving import MIXED, axis_of, by_inner_axis
from crossmesh.emulator.onnx_io.operating import operate
from crossmesh.emulator.onnx_io.parts import sliced, taken
from crossmesh.emulator.onnx_io.sketch import Sketch
from crossmesh.emulator.onnx_io.values import (
    Refusal,
    Use,
    Value,
    View,
)

Style = Literal["reflect", "edge", "wrap"]
STYLES: dict[str, Style] = {"reflect": "reflect", "edge": "edge", "wrap": "wrap"}


def pad(sketch: Sketch, use: Use) -> list[Value]:
    """Numbers put around."""
    view = use.view(0)
    mode = use.word("mode", "constant")
    before, after = _sides(use, view.rank)
    for axis in range(view.rank):
        start, stop = max(-before[axis], 0), view.shape[axis] + min(after[axis], 0)
        view = sliced(sketch, view, axis, start, stop)
    before, after = [max(n, 0) for n in before], [max(n, 0) for n in after]
    if not any(before + after):
        return [view]
    if mode == "constant":
        given = use.constant(2)
        value = use.attributes.get("value", 0.0) if given is None or not given.size else given
        return [padded(sketch, view, before, after, float(np.ravel(value)[0]))]
    for axis in range(view.rank):
        if before[axis] or after[axis]:
            around = (before[axis], after[axis])
            places = np.pad(np.arange(view.shape[axis]), around, STYLES[mode])
            view = taken(sketch, view, axis, places.tolist(), places.shape)
    return [view]


def _sides(use: Use, rank: int) -> tuple[list[int], list[int]]:
    """How many numbers are put before and behind each axis."""
    pads = use.numbers("pads", 1)
    if pads is None:
        raise Refusal("pads that are left out")
    given = use.numbers("axes", 3) if len(use.inputs) > 3 else None
    axes = [axis_of(axis, rank) for axis in given] if given else list(range(rank))
    before, after = [0] * rank, [0] * rank
    for i, axis in enumerate(axes):
        before[axis], after[axis] = pads[i], pads[i + len(axes)]
    return before, after


def padded(
    sketch: Sketch, view: View, before: Sequence[int], after: Sequence[int], value: float = 0.0
) -> View:
    """A tensor with a number around it."""
    plain = separated(sketch, view)
    if plain.batch is not None and (before[plain.batch] or after[plain.batch]):
        raise Refusal(MIXED)
    result = [n + b + a for n, b, a in zip(plain.shape, before, after, strict=True)]
    settings: dict[str, Any] = {
        "before": by_inner_axis(plain, before, 0),
        "after": by_inner_axis(plain, after, 0),
    }
    if value:
        settings["value"] = max(min(value, 3e38), -3e38)
    return operate(sketch, "pad", [plain], result, settings=settings, kind=view.kind)


def expand(sketch: Sketch, use: Use) -> list[Value]:
    """Axes of size 1 made longer."""
    view = use.view(0)
    wanted = [int(n) for n in use.needed(1)]
    result = np.broadcast_shapes(view.shape, tuple(wanted))
    view = view.expanded(range(len(result) - view.rank))
    return [expanded_to(sketch, view, result)]


def expanded_to(sketch: Sketch, view: View, shape: Sequence[int]) -> View:
    """A tensor whose axes of size 1 are as long as wanted."""
    if tuple(shape) == view.shape:
        return view
    plain = separated(sketch, view)
    if plain.batch is not None and shape[plain.batch] != plain.shape[plain.batch]:
        raise Refusal(MIXED)
    inner = by_inner_axis(plain, shape, plain.within)
    return operate(sketch, "expand", [plain], shape, settings={"axes": inner}, kind=view.kind)


def tile(sketch: Sketch, use: Use) -> list[Value]:
    """A tensor repeated along its axes."""
    view = use.view(0)
    repeats = [int(n) for n in use.needed(1)]
    if len(repeats) != view.rank or min(repeats) < 1:
        raise Refusal(f"repeats {repeats} of {view.shape}")
    for axis, n in enumerate(repeats):
        if n > 1:
            places = list(range(view.shape[axis])) * n
            view = taken(sketch, view, axis, places, (len(places),))
    return [view]
