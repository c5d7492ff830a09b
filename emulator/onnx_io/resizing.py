"""ONNX operators that resize images."""

from collections.abc import Sequence

import numpy as np

from crossmesh.emulator.onnx_io.laying import separated
from crossmesh.emulator.onnx_io.moving import MIXED, axis_of, inner_axis
from crossmesh.emulator.onnx_io.operating import operate
from crossmesh.emulator.onnx_io.pointwise import number
from crossmesh.emulator.onnx_io.sketch import Sketch
from crossmesh.emulator.onnx_io.values import Refusal, Use, Value, View


def resize(sketch: Sketch, use: Use) -> list[Value]:
    """A tensor with longer or shorter axes, one after the other."""
    view = use.view(0)
    scales, sizes = _wanted(use, view)
    mode = use.word("mode", "nearest")
    coordinates = use.word("coordinate_transformation_mode", "half_pixel")
    if use.opset < 11:
        coordinates = "asymmetric"
    if mode not in {"nearest", "linear", "cubic"} or coordinates == "tf_crop_and_resize":
        raise Refusal(f"mode {mode} with coordinates {coordinates}")
    settings = {
        "mode": mode,
        "coordinates": coordinates,
        "rounding": use.word("nearest_mode", "floor" if use.opset < 11 else "round_prefer_floor"),
        "cubic_a": number(use.attributes.get("cubic_coeff_a", -0.75)),
        "exclude_outside": bool(use.attributes.get("exclude_outside", 0)),
        "antialias": bool(use.attributes.get("antialias", 0)),
    }
    use.attributes.get("extrapolation_value")  # of coordinates that are refused
    for axis, (scale, size) in enumerate(zip(scales, sizes, strict=True)):
        if size == view.shape[axis] and scale == 1:
            continue
        if axis == view.batch:
            raise Refusal(MIXED)
        plain = separated(sketch, view)
        result = [size if i == axis else n for i, n in enumerate(view.shape)]
        own = settings | {"axis": inner_axis(plain, axis), "size": size, "scale": scale}
        view = operate(sketch, "resample", [plain], result, settings=own)
    return [view]


def _wanted(use: Use, view: View) -> tuple[Sequence[float], Sequence[int]]:
    """Factors and sizes of all axes."""
    is_old = use.operator == "Upsample" or use.opset < 11
    axes = [axis_of(int(axis), view.rank) for axis in use.attributes.get("axes", range(view.rank))]
    given_scales = use.attributes.get("scales")
    if given_scales is None:
        given_scales = use.constant(1 if is_old else 2)
    given_sizes = None if is_old else use.constant(3)
    if not is_old and use.constant(1) is not None:
        use.word("coordinate_transformation_mode", "")  # the region is of coordinates refused
    scales, sizes = [1.0] * view.rank, list(view.shape)
    if given_sizes is not None and given_sizes.size:
        _fit(use, [int(n) for n in given_sizes], axes, view, scales, sizes)
        return scales, sizes
    if given_scales is None or np.size(given_scales) != len(axes):
        raise Refusal("neither sizes nor scales")
    for axis, scale in zip(axes, np.ravel(given_scales), strict=True):
        scales[axis] = float(scale)
        sizes[axis] = int(np.floor(view.shape[axis] * np.float32(scale)))
    return scales, sizes


def _fit(
    use: Use, wanted: Sequence[int], axes: Sequence[int], view: View,
    scales: list[float], sizes: list[int],
) -> None:  # fmt: skip
    """Sizes as wanted, or the nearest that keep the proportions."""
    policy = use.word("keep_aspect_ratio_policy", "stretch")
    factors = [n / view.shape[axis] for n, axis in zip(wanted, axes, strict=True)]
    if policy != "stretch":
        same = min(factors) if policy == "not_larger" else max(factors)
        factors = [same] * len(axes)
        wanted = [int(np.floor(view.shape[axis] * same + 0.5)) for axis in axes]
    for axis, factor, n in zip(axes, factors, wanted, strict=True):
        scales[axis], sizes[axis] = factor, n
