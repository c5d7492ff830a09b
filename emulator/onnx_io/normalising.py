"""ONNX operators that normalise numbers along axes."""

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from crossmesh.emulator.onnx_io.combining import combine
from crossmesh.emulator.onnx_io.laying import separated, with_features
from crossmesh.emulator.onnx_io.moving import MIXED, axis_of, inner_axis, reshaped
from crossmesh.emulator.onnx_io.operating import operate
from crossmesh.emulator.onnx_io.pointwise import number
from crossmesh.emulator.onnx_io.sketch import Sketch
from crossmesh.emulator.onnx_io.values import (
    Constant,
    Refusal,
    Use,
    Value,
    View,
    module_of,
)


def normalised(
    sketch: Sketch, view: View, axes: Iterable[int], epsilon: float, *, centred: bool = True
) -> View:
    """Numbers without mean, over their deviation along some axes."""
    plain = separated(sketch, view)
    settings: dict[str, Any] = {
        "over": tuple(inner_axis(plain, axis) for axis in axes),
        "epsilon": number(epsilon),
    }
    if not centred:
        settings["centred"] = False
    return operate(sketch, "normalise", [plain], plain.shape, settings=settings)


def _scaled(sketch: Sketch, view: View, factor: Constant | None, offset: Constant | None) -> View:
    hint = module_of(factor.name) if factor is not None else ""
    if factor is not None and not _is_all(factor, 1):
        view = combine(sketch, "multiply", [view, factor], hint=hint)
    if offset is not None and not _is_all(offset, 0):
        view = combine(sketch, "add", [view, offset], hint=f"{hint}-bias" if hint else "")
    return view


def _is_all(constant: Constant, number: float) -> bool:
    """Whether it is no parameter, and does nothing."""
    return not constant.name and bool((constant.array == number).all())


def by_channel(constant: Constant, rank: int) -> Constant:
    """Numbers of channels, which are the axis 1 of a tensor."""
    return replace(constant, array=constant.array.reshape(-1, *[1] * (rank - 2)))


def _parameters(use: Use, *inputs: int) -> list[Constant | None]:
    found: list[Constant | None] = []
    for i in inputs:
        value = use.tensor(i) if use.has(i) else None
        if isinstance(value, View):
            raise Refusal(f"input {i} that depends on the network's input")
        found.append(value)
    return found


def batch_norm(sketch: Sketch, use: Use) -> list[Value | None]:
    """Normalisation of every channel; exported for training or not, it is the same layer."""
    view = use.view(0)
    parts = [use.needed(i) for i in range(1, 5)]
    use.attributes.get("spatial")
    if use.attributes.get("training_mode", 0):
        raise Refusal(
            "training_mode 1: export the network for evaluation, it is trained all the same"
        )
    if any(use.outputs[1:]):
        raise Refusal("new means as outputs")
    axis = 1 if view.rank > 1 else 0
    if view.batch == axis:
        raise Refusal(MIXED)
    if any(part.shape != view.shape[axis : axis + 1] for part in parts):
        raise Refusal(f"parts of shape {parts[0].shape} for a tensor of shape {view.shape}")
    view = with_features(sketch, view, [axis])
    settings = {"epsilon": number(round_off(use.attributes.get("epsilon", 1e-5)))}
    momentum = round_off(1 - use.attributes.get("momentum", 0.9), digits=6)
    if 0 < momentum <= 1:
        settings["momentum"] = momentum
    names = ("weight", "bias", "running_mean", "running_var")
    name = sketch.add(
        "batch_norm",
        [view.made],
        sketch.steps[view.made].axes,
        hint=module_of(use.name_of(1, 2, 3, 4)) or sketch.hint,
        settings=settings,
        arrays=dict(zip(names, parts, strict=True)),
    )
    return [replace(view, made=name), *[None] * (len(use.outputs) - 1)]


def round_off(value: float, digits: int = 7) -> float:
    """A float32 as people write it."""
    return float(f"{value:.{digits}g}")


def layer_norm(sketch: Sketch, use: Use) -> list[Value | None]:
    """Normalisation over the last axes, with factors and offsets."""
    view = use.view(0)
    axis = axis_of(int(use.attributes.get("axis", -1)), view.rank)
    epsilon = round_off(use.attributes.get("epsilon", 1e-5))
    use.attributes.get("stash_type")
    if any(use.outputs[1:]):
        raise Refusal("means and deviations as outputs")
    axes = range(axis, view.rank)
    if view.batch in axes:
        raise Refusal(MIXED)
    factor, offset = _parameters(use, 1, 2)
    n = math.prod(view.shape[axis:])
    fits = (
        factor is not None and factor.array.size == n and (offset is None or offset.array.size == n)
    )
    if use.operator == "RMSNormalization" or not fits:
        centred = use.operator != "RMSNormalization"
        made = normalised(sketch, view, axes, epsilon, centred=centred)
        return [_scaled(sketch, made, factor, offset)]
    assert factor is not None
    view = with_features(sketch, view, axes)
    bias = np.zeros(n, np.float32) if offset is None else offset.array.ravel()
    name = sketch.add(
        "layer_norm",
        [view.made],
        sketch.steps[view.made].axes,
        hint=module_of(use.name_of(1, 2)) or sketch.hint,
        settings={"epsilon": epsilon},
        arrays={"weight": factor.array.ravel(), "bias": bias},
    )
    return [replace(view, made=name)]


def instance_norm(sketch: Sketch, use: Use) -> list[Value]:
    """Normalisation of every channel of every example."""
    view = use.view(0)
    factor, offset = (by_channel(c, view.rank) if c else None for c in _parameters(use, 1, 2))
    epsilon = round_off(use.attributes.get("epsilon", 1e-5))
    made = normalised(sketch, view, range(2, view.rank), epsilon)
    return [_scaled(sketch, made, factor, offset)]


def group_norm(sketch: Sketch, use: Use) -> list[Value]:
    """Normalisation of groups of channels of every example."""
    view = use.view(0)
    groups = int(use.attributes["num_groups"])
    use.attributes.get("stash_type")
    factor, offset = _parameters(use, 1, 2)
    if use.opset < 21 and factor is not None and factor.array.size == groups:
        factor, offset = (
            None if c is None else replace(c, array=np.repeat(c.array, view.shape[1] // groups))
            for c in (factor, offset)
        )
    cut = reshaped(sketch, view, [view.shape[0], groups, view.shape[1] // groups, *view.shape[2:]])
    epsilon = round_off(use.attributes.get("epsilon", 1e-5))
    made = reshaped(sketch, normalised(sketch, cut, range(2, cut.rank), epsilon), view.shape)
    parts = (None if c is None else by_channel(c, view.rank) for c in (factor, offset))
    return [_scaled(sketch, made, *parts)]


def mean_variance(sketch: Sketch, use: Use) -> list[Value]:
    """Numbers without mean, over their deviation."""
    axes = [int(axis) for axis in use.attributes.get("axes", [0, 2, 3])]
    view = use.view(0)
    return [normalised(sketch, view, [axis_of(axis, view.rank) for axis in axes], 1e-18)]


def lp_norm(sketch: Sketch, use: Use) -> list[Value]:
    """Numbers over their norm along an axis."""
    view = separated(sketch, use.view(0))
    axis = axis_of(int(use.attributes.get("axis", -1)), view.rank)
    settings = {"axis": inner_axis(view, axis), "p": int(use.attributes.get("p", 2))}
    return [operate(sketch, "lp_normalise", [view], view.shape, settings=settings)]


def local_response(sketch: Sketch, use: Use) -> list[Value]:
    """Numbers over the size of those of the channels beside them."""
    view = separated(sketch, use.view(0))
    settings = {
        "axis": inner_axis(view, 1),
        "size": int(use.attributes["size"]),
        "alpha": number(use.attributes.get("alpha", 1e-4)),
        "beta": number(use.attributes.get("beta", 0.75)),
        "bias": number(use.attributes.get("bias", 1.0)),
    }
    return [operate(sketch, "local_response", [view], view.shape, settings=settings)]
