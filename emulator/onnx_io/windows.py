"""ONNX operators with windows that move over one to three axes: convolutions and pools."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from crossmesh.emulator.onnx_io.laying import arranged
from crossmesh.emulator.onnx_io.sketch import Sketch
from crossmesh.emulator.onnx_io.values import (
    Axes,
    Refusal,
    Use,
    View,
    view_of,
)

MOST_AXES = 3


@dataclass(frozen=True, kw_only=True)
class Windows:
    """Windows that move over the axes behind the channels.

    Attributes:
        sizes: Sizes of these axes.
        kernel: Sizes of a window,
        stride: of its steps,
        dilation: of the distance between its taps.
        before: Padding before the first place of each axis,
        after: and behind the last.
        ceil: Whether a last window may reach over the edge.
    """

    sizes: Axes
    kernel: Axes
    stride: Axes
    dilation: Axes
    before: Axes
    after: Axes
    ceil: bool = False

    @property
    def spans(self) -> Axes:
        """Places that a window reaches over."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilation, strict=True))

    @property
    def places(self) -> Axes:
        """Windows along each axis."""
        found = []
        for n, b, a, k, s in zip(
            self.sizes, self.before, self.after, self.spans, self.stride, strict=True
        ):
            steps = n + b + a - k
            count = (-(-steps // s) if self.ceil else steps // s) + 1
            if self.ceil and (count - 1) * s >= n + b:
                count -= 1
            if steps < 0 or count < 1:
                raise Refusal(f"windows of {self.kernel} over {self.sizes}")
            found.append(count)
        return tuple(found)

    @property
    def is_even(self) -> bool:
        """Whether padding is alike on both sides."""
        return self.before == self.after

    def settings(self) -> dict[str, Any]:
        """As the operators of digital units have them."""
        names = ("kernel", "stride", "dilation", "before", "after")
        return {name: getattr(self, name) for name in names}


def image_of(use: Use) -> View:
    """The input whose axes behind examples and channels windows move over."""
    view = use.view(0)
    if not 3 <= view.rank <= 2 + MOST_AXES:
        raise Refusal(f"{view.rank - 2} axes behind the channels")
    if not view.is_batch(0):
        raise Refusal("examples that do not have the first axis")
    return view


def windows_of(use: Use, sizes: Axes, kernel: Axes) -> Windows:
    """The windows that attributes describe."""
    n = len(sizes)
    attributes = use.attributes
    if tuple(attributes.get("kernel_shape", kernel)) != tuple(kernel):
        raise Refusal(f"kernel_shape {attributes['kernel_shape']} of weights {kernel}")
    stride = tuple(int(s) for s in attributes.get("strides", [1] * n))
    dilation = tuple(int(d) for d in attributes.get("dilations", [1] * n))
    auto, pads = use.word("auto_pad", "NOTSET"), attributes.get("pads")
    before, after = [0] * n, [0] * n
    if auto in {"SAME_UPPER", "SAME_LOWER"}:
        for i, size in enumerate(sizes):
            span = (kernel[i] - 1) * dilation[i] + 1
            total = max((-(-size // stride[i]) - 1) * stride[i] + span - size, 0)
            less, more = total // 2, -(-total // 2)
            before[i], after[i] = (less, more) if auto == "SAME_UPPER" else (more, less)
    elif auto == "NOTSET":
        before, after = (
            [int(p) for p in pads[:n]] if pads else before,
            [int(p) for p in pads[n:]] if pads else after,
        )
    elif auto != "VALID":
        raise Refusal(f"auto_pad {auto}")
    if min(before + after) < 0 or min(stride) < 1:
        raise Refusal(f"pads {before + after} and strides {stride}")
    return Windows(
        sizes=sizes, kernel=tuple(kernel), stride=stride, dilation=dilation,
        before=tuple(before), after=tuple(after), ceil=bool(attributes.get("ceil_mode", 0)),
    )  # fmt: skip


def channels_last(sketch: Sketch, view: View, axes: Sequence[int] | None = None) -> View:
    """A view whose channels lie side by side at each place."""
    spatial = range(2, view.rank)
    parts = [part for axis in [*spatial, 1] for part in view.axes[axis]]
    target = [view.shape[axis] for axis in [*spatial, 1]] if axes is None else axes
    return arranged(sketch, view, parts, target)


def made_of(sketch: Sketch, name: str, channels: int, places: Axes) -> View:
    """What lies channels last, as a tensor with channels first."""
    rank = len(places) + 2
    lying = view_of(name, sketch.n, [sketch.n, *places, channels])
    return lying.permuted([0, rank - 1, *range(1, rank - 1)])


def with_channels_last(view: View) -> View:
    """A tensor with channels first, its channels last."""
    return view.permuted([0, *range(2, view.rank), 1])


def with_channels_first(view: View) -> View:
    """A tensor with channels last, its channels first."""
    return view.permuted([0, view.rank - 1, *range(1, view.rank - 1)])


def without_defaults(**settings: Any) -> dict[str, Any]:
    """Settings of a convolution or pool, one number where both directions agree."""
    defaults = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}
    plain = {name: _one_or_two(value) for name, value in settings.items()}
    return {name: value for name, value in plain.items() if value != defaults.get(name)}


def _one_or_two(value: Any) -> Any:
    return value[0] if isinstance(value, tuple) and len(set(value)) == 1 else value
