"""ONNX convolutions, on tiles unless each channel has weights of its own."""

import math
from dataclasses import replace

import numpy as np

from crossmesh.emulator.onnx_io.combining import combine
from crossmesh.emulator.onnx_io.joining import concatenated
from crossmesh.emulator.onnx_io.matrices import linear
from crossmesh.emulator.onnx_io.moving import reshaped
from crossmesh.emulator.onnx_io.operating import operate
from crossmesh.emulator.onnx_io.padding import padded
from crossmesh.emulator.onnx_io.parts import sliced
from crossmesh.emulator.onnx_io.sketch import Sketch
from crossmesh.emulator.onnx_io.values import (
    Array,
    Axes,
    Constant,
    Refusal,
    Use,
    Value,
    View,
    module_of,
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


def conv(sketch: Sketch, use: Use) -> list[Value]:
    """A convolution with weights that are known, on tiles unless each channel has its own."""
    view = image_of(use)
    weight = use.tensor(1)
    if isinstance(weight, View):
        raise Refusal("weights that depend on the network's input")
    bias = _bias(use, weight.shape[0])
    groups, channels = int(use.attributes.get("group", 1)), view.shape[1]
    if len(weight.shape) != view.rank or channels != weight.shape[1] * groups:
        raise Refusal(f"{channels} channels for weights {weight.shape}")
    windows = windows_of(use, view.shape[2:], weight.shape[2:])
    if groups > 1 and weight.shape[1] == 1:
        return [_by_channel(sketch, view, windows, weight, bias, groups)]
    if view.rank > 4:
        return [_by_patches(sketch, view, windows, weight, bias, groups)]
    if not windows.is_even:
        view = padded(sketch, view, (0, 0, *windows.before), (0, 0, *windows.after))
        zeros = (0,) * len(windows.sizes)
        windows = replace(windows, sizes=view.shape[2:], before=zeros, after=zeros)
    return [_on_tiles(sketch, view, windows, weight, bias, groups)]


def _bias(use: Use, outputs: int) -> Constant | None:
    if not use.has(2):
        return None
    bias = use.tensor(2)
    if isinstance(bias, View):
        raise Refusal("a bias that depends on the network's input")
    # PyTorch's exporter computes zeros for a layer that has no bias.
    return bias if bias.array.any() or bias.name else None


def _on_tiles(
    sketch: Sketch, view: View, windows: Windows, weight: Constant, bias: Constant | None,
    groups: int,
) -> View:  # fmt: skip
    is_line = view.rank == 3
    ones: Axes = (1,) if is_line else ()
    zeros: Axes = (0,) if is_line else ()
    sizes, channels, outputs = view.shape[2:], view.shape[1], weight.shape[0]
    lying = channels_last(sketch, view, [*ones, *sizes, channels])
    array = weight.array.reshape(*weight.shape[:2], *ones, *weight.shape[2:])
    settings = {"outputs": outputs} | without_defaults(
        kernel=ones + windows.kernel,
        stride=ones + windows.stride,
        padding=zeros + windows.before,
        dilation=ones + windows.dilation,
        groups=groups,
    )
    arrays: dict[str, Array] = {"weight": array}
    if bias is None:
        settings["bias"] = False
    else:
        arrays["bias"] = bias.array
    shared = sketch.shared("conv", weight.name, arrays)
    if shared is not None:
        settings["share"] = shared
    name = sketch.add(
        "conv",
        [lying.made],
        (*ones, *windows.places, outputs),
        hint=(module_of(weight.name) if shared is None else "") or sketch.hint,
        settings=settings,
        arrays={} if shared else arrays,
    )
    if shared is None:
        sketch.remember("conv", weight.name, name)
    return made_of(sketch, name, outputs, windows.places)


def _by_channel(
    sketch: Sketch, view: View, windows: Windows, weight: Constant, bias: Constant | None,
    groups: int,
) -> View:  # fmt: skip
    """A convolution of each channel by itself, whose few weights are digital."""
    array = np.moveaxis(weight.array, (0, 1), (-1, -2))  # (*kernel, 1, outputs)
    lying = with_channels_last(channels_last(sketch, view))
    settings = {k: v for k, v in windows.settings().items() if k != "kernel"} | {"groups": groups}
    result = [sketch.n, *windows.places, weight.shape[0]]
    hint = module_of(weight.name) or sketch.hint
    turned = Constant(array, weight.name)
    made = operate(
        sketch,
        "convolve",
        [lying, turned],
        result,
        settings=settings,
        at=0,
        hint=hint,
        is_shared=True,
    )
    return with_channels_first(_with_bias(sketch, made, bias))


def _with_bias(sketch: Sketch, view: View, bias: Constant | None) -> View:
    """A bias for each of the features, which are the last axis."""
    if bias is None:
        return view
    hint = f"{module_of(bias.name)}-bias" if module_of(bias.name) else ""
    return combine(sketch, "add", [view, bias], hint=hint)


def _by_patches(
    sketch: Sketch, view: View, windows: Windows, weight: Constant, bias: Constant | None,
    groups: int,
) -> View:  # fmt: skip
    """A convolution as products of patches that a digital unit lays out."""
    parts = []
    each, outputs = view.shape[1] // groups, weight.shape[0] // groups
    for group in range(groups):
        some = sliced(sketch, view, 1, group * each, (group + 1) * each)
        lying = with_channels_last(channels_last(sketch, some))
        taps = math.prod(windows.kernel)
        result = [sketch.n, *windows.places, taps * each]
        settings = windows.settings()
        patches = operate(sketch, "patches", [lying], result, settings=settings, at=0)
        array = weight.array[group * outputs : (group + 1) * outputs]
        rows = np.moveaxis(array, 1, -1).reshape(outputs, -1)
        own = None if bias is None else bias.array[group * outputs : (group + 1) * outputs]
        parts.append(
            linear(
                sketch, patches, patches.rank - 1,
                Constant(rows, weight.name if groups == 1 else ""),
                None if own is None else Constant(own), module_of(weight.name),
            )
        )  # fmt: skip
    whole = concatenated(sketch, parts, parts[0].rank - 1)
    assert isinstance(whole, View)
    return with_channels_first(whole)


def conv_transpose(sketch: Sketch, use: Use) -> list[Value]:
    """A transposed convolution: products on tiles, whose patches a digital unit adds up."""
    view, weight = image_of(use), use.tensor(1)
    if isinstance(weight, View):
        raise Refusal("weights that depend on the network's input")
    groups = int(use.attributes.get("group", 1))
    bias = _bias(use, weight.shape[1] * groups)
    windows = _transposed(use, view.shape[2:], weight.shape[2:])
    each, outputs = view.shape[1] // groups, weight.shape[1]
    parts = []
    for group in range(groups):
        some = sliced(sketch, view, 1, group * each, (group + 1) * each)
        array = weight.array[group * each : (group + 1) * each]  # (inputs, outputs, *kernel)
        rows = np.moveaxis(array, (0, 1), (-1, -2)).reshape(-1, each)  # (taps x outputs, inputs)
        named = Constant(rows, weight.name if groups == 1 else "")
        lying = with_channels_last(channels_last(sketch, some))
        products = linear(sketch, lying, lying.rank - 1, named, None, module_of(weight.name))
        settings = windows.settings() | {"sizes": windows.sizes}
        result = [sketch.n, *windows.sizes, outputs]
        parts.append(operate(sketch, "fold", [products], result, settings=settings, at=0))
    whole = concatenated(sketch, parts, parts[0].rank - 1)
    assert isinstance(whole, View)
    return [with_channels_first(_with_bias(sketch, whole, bias))]


def columns_to_image(sketch: Sketch, use: Use) -> list[Value]:
    """Columns of windows, the taps of each channel together, added to the pixels of an image."""
    view = use.view(0)
    sizes, kernel = (tuple(int(n) for n in use.needed(i)) for i in (1, 2))
    windows = windows_of(use, sizes, kernel)
    n, rows, _ = view.shape
    taps = math.prod(kernel)
    cut = reshaped(sketch, view, [n, rows // taps, taps, *windows.places])
    places = range(3, 3 + len(sizes))
    lying = reshaped(sketch, cut.permuted([0, *places, 2, 1]), [n, *windows.places, rows])
    settings = windows.settings() | {"sizes": sizes}
    result = [n, *sizes, rows // taps]
    made = operate(sketch, "fold", [lying], result, settings=settings, at=0)
    return [with_channels_first(made)]


def _transposed(use: Use, inputs: Axes, kernel: Axes) -> Windows:
    """The windows of a convolution whose output has the size of this one's input."""
    n = len(inputs)
    stride = [int(s) for s in use.attributes.get("strides", [1] * n)]
    dilation = [int(d) for d in use.attributes.get("dilations", [1] * n)]
    extra = [int(e) for e in use.attributes.get("output_padding", [0] * n)]
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    full = [(i - 1) * s + k + e for i, s, k, e in zip(inputs, stride, spans, extra, strict=True)]
    auto, wanted = use.word("auto_pad", "NOTSET"), use.attributes.get("output_shape")
    pads = use.attributes.get("pads")
    use.attributes.get("kernel_shape")
    before, after = [0] * n, [0] * n
    if auto in {"SAME_UPPER", "SAME_LOWER"} and wanted is None:
        wanted = [i * s for i, s in zip(inputs, stride, strict=True)]
    if wanted is not None:
        for i, total in enumerate(f - int(w) for f, w in zip(full, wanted[-n:], strict=True)):
            less, more = max(total, 0) // 2, -(-max(total, 0) // 2)
            before[i], after[i] = (less, more) if auto == "SAME_UPPER" else (more, less)
            if total < 0:
                raise Refusal(f"output_shape {list(wanted)}")
    elif pads:
        before, after = [int(p) for p in pads[:n]], [int(p) for p in pads[n:]]
    sizes = tuple(f - b - a for f, b, a in zip(full, before, after, strict=True))
    if min(sizes) < 1 or min(before + after) < 0:
        raise Refusal(f"pads {before + after}")
    return Windows(
        sizes=sizes, kernel=tuple(kernel), stride=tuple(stride), dilation=tuple(dilation),
        before=tuple(before), after=tuple(after),
    )  # fmt: skip
