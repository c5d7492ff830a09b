"""Operators on images: convolution and pooling."""

from typing import Any

import numpy as np

from crossmesh.emulator.onnx_io.building import image, one_or_two
from crossmesh.emulator.onnx_io.values import Array, Refusal, Source, Use, Value, View

Pair = tuple[int, int]


def conv(use: Use) -> list[Value]:
    """A convolution with weights that are known."""
    weight = use.needed(1)
    source, around = _image(use)
    kernel = (weight.shape[2], weight.shape[3])
    strides, dilations = _two(use, "strides"), _two(use, "dilations")
    own = _padding(use, source, kernel, strides, dilations)
    padding = (own[0] + around[0], own[1] + around[1])
    groups = int(use.attributes.get("group", 1))
    if source.shape[0] != weight.shape[1] * groups:
        raise Refusal(f"{source.shape[0]} channels for weights {weight.shape}")
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    made = source.after(
        "conv",
        shape=(weight.shape[0], *_sizes(source, spans, strides, padding)),
        settings=_without_defaults(
            kernel=kernel, stride=strides, padding=padding, dilation=dilations, groups=groups
        ),
        arrays=_with_bias(use, weight),
        hint=use.name_of(1, 2, parameter_first=True),
    )
    return [View(made)]


def _with_bias(use: Use, weight: Array) -> dict[str, Array]:
    arrays = {"weight": weight.astype(np.float32)}
    bias = use.constant(2)
    # PyTorch's exporter computes zeros for a layer that has no bias.
    if bias is not None and (bias.any() or use.has_name(2)):
        arrays["bias"] = bias.astype(np.float32)
    return arrays


def _without_defaults(**settings: Any) -> dict[str, Any]:
    """Settings of a convolution, one number where both directions agree."""
    defaults = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}
    plain = {name: one_or_two(value) for name, value in settings.items()}
    return {name: value for name, value in plain.items() if value != defaults.get(name)}


def _image(use: Use) -> tuple[Source, Pair]:
    view = use.view(0)
    if len(view.shape) != 4:
        raise Refusal(f"{len(view.shape) - 2} axes instead of height and width")
    return image(view)


def _two(use: Use, name: str) -> Pair:
    first, second = use.attributes.get(name, [1, 1])
    return int(first), int(second)


def _padding(use: Use, source: Source, kernel: Pair, strides: Pair, dilations: Pair) -> Pair:
    """Zeros on each side, the same on opposite ones."""
    auto = use.attributes.get("auto_pad", b"NOTSET").decode()
    pads = [int(pad) for pad in use.attributes.get("pads", [0, 0, 0, 0])]
    if auto == "VALID":
        pads = [0, 0, 0, 0]
    elif auto in {"SAME_UPPER", "SAME_LOWER"}:
        totals = [
            max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0)
            for n, s, k, d in zip(source.shape[1:], strides, kernel, dilations, strict=True)
        ]
        pads = [total // 2 for total in totals] + [-(-total // 2) for total in totals]
    elif auto != "NOTSET":
        raise Refusal(f"auto_pad {auto}")
    if pads[:2] != pads[2:] or min(pads) < 0:
        raise Refusal(f"pads {pads} that differ on opposite sides")
    return pads[0], pads[1]


def _sizes(source: Source, spans: Any, strides: Pair, padding: Pair) -> Pair:
    height, width = (
        (n + 2 * p - k) // s + 1
        for n, p, k, s in zip(source.shape[1:], padding, spans, strides, strict=True)
    )
    if min(height, width) < 1:
        raise Refusal(f"a kernel larger than its input {source.shape}")
    return height, width


def max_pool(use: Use) -> list[Value]:
    """The largest value of each window."""
    source, around = _image(use)
    if around != (0, 0):
        raise Refusal("padding with zeros before it")
    if any(use.outputs[1:]):
        raise Refusal("the places of the largest values")
    return [_pool(use, source, "max_pool", (0, 0))]


def average_pool(use: Use) -> list[Value]:
    """The mean of each window, in which padding counts."""
    source, around = _image(use)
    own = use.attributes.get("pads", [0, 0, 0, 0])
    if any(own) and not use.attributes.get("count_include_pad", 0):
        raise Refusal("means that leave padding out")
    return [_pool(use, source, "average_pool", around)]


def _pool(use: Use, source: Source, kind: str, around: Pair) -> View:
    kernel, strides = _two(use, "kernel_shape"), _two(use, "strides")
    if _two(use, "dilations") != (1, 1):
        raise Refusal("dilations")
    own = _padding(use, source, kernel, strides, (1, 1))
    padding = (own[0] + around[0], own[1] + around[1])
    if any(2 * p > k for p, k in zip(padding, kernel, strict=True)):
        raise Refusal(f"padding {padding} of more than half the window {kernel}")
    sizes = _sizes(source, kernel, strides, padding)
    if use.attributes.get("ceil_mode", 0):
        exact = [
            (n + 2 * p - k) % s
            for n, p, k, s in zip(source.shape[1:], padding, kernel, strides, strict=True)
        ]
        if any(exact):
            raise Refusal("windows over the edge (ceil_mode)")
    settings: dict[str, Any] = {"kernel": one_or_two(kernel)}
    if strides != kernel:
        settings["stride"] = one_or_two(strides)
    if padding != (0, 0):
        settings["padding"] = one_or_two(padding)
    return View(source.after(kind, shape=(source.shape[0], *sizes), settings=settings))


def global_max_pool(use: Use) -> list[Value]:
    """The largest value of each channel."""
    source, around = _image(use)
    if around != (0, 0):
        raise Refusal("padding with zeros before it")
    settings = {"kernel": one_or_two((source.shape[1], source.shape[2]))}
    return [View(source.after("max_pool", shape=(source.shape[0], 1, 1), settings=settings))]
