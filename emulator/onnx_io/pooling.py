"""ONNX pools."""

from dataclasses import replace

from crossmesh.emulator.onnx_io.operating import operate
from crossmesh.emulator.onnx_io.reducing import reduced
from crossmesh.emulator.onnx_io.sketch import Sketch
from crossmesh.emulator.onnx_io.values import (
    Refusal,
    Use,
    Value,
)
from crossmesh.emulator.onnx_io.windows import (
    Windows,
    channels_last,
    image_of,
    made_of,
    windows_of,
    with_channels_first,
    with_channels_last,
    without_defaults,
)


def pool(sketch: Sketch, use: Use) -> list[Value]:
    """The largest or mean number, or the norm, of each window and channel."""
    view = image_of(use)
    if any(use.outputs[1:]):
        raise Refusal("the places of the largest numbers")
    kernel = tuple(int(k) for k in use.attributes["kernel_shape"])
    windows = windows_of(use, view.shape[2:], kernel)
    use.attributes.get("storage_order")  # of the places alone
    counts = bool(use.attributes.get("count_include_pad", 0))
    is_max = use.operator == "MaxPool"
    is_plain = windows.is_even and not _reaches_over(windows) and set(windows.dilation) == {1}
    fits = all(2 * b <= k for b, k in zip(windows.before, windows.kernel, strict=True))
    is_ours = use.operator != "LpPool" and (is_max or counts or not any(windows.before))
    if view.rank == 4 and is_plain and fits and is_ours:
        lying = channels_last(sketch, view)
        settings = without_defaults(kernel=kernel, stride=windows.stride, padding=windows.before)
        if windows.stride == kernel:
            settings.pop("stride", None)
        elif "stride" not in settings:
            settings["stride"] = 1
        kind = "max_pool" if is_max else "average_pool"
        axes = (*windows.places, view.shape[1])
        name = sketch.add(kind, [lying.made], axes, settings=settings)
        return [made_of(sketch, name, view.shape[1], windows.places)]
    lying = with_channels_last(channels_last(sketch, view))
    settings = windows.settings() | {"ceil": windows.ceil}
    operator = "max_pooling" if is_max else "average_pooling"
    if use.operator == "AveragePool":
        settings["count_padding"] = counts
    if use.operator == "LpPool":
        operator, settings["p"] = "lp_pooling", int(use.attributes.get("p", 2))
    result = [sketch.n, *windows.places, view.shape[1]]
    return [
        with_channels_first(operate(sketch, operator, [lying], result, settings=settings, at=0))
    ]


def _reaches_over(windows: Windows) -> bool:
    """Whether a last window is over the edge."""
    return windows.ceil and windows.places != replace(windows, ceil=False).places


def global_pool(sketch: Sketch, use: Use) -> list[Value]:
    """The mean or largest number, or the norm, of each channel."""
    view = use.view(0)
    operator = {"GlobalAveragePool": "mean", "GlobalMaxPool": "max", "GlobalLpPool": "l2"}[
        use.operator
    ]
    if use.operator == "GlobalLpPool" and (p := int(use.attributes.get("p", 2))) != 2:
        if p != 1:
            raise Refusal(f"p {p}")
        operator = "l1"
    return [reduced(sketch, view, operator, range(2, view.rank), keep=True)]
