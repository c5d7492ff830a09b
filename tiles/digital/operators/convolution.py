"""Convolutions in one to three dimensions, channels last, and the patches that they multiply."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.compiled import kernel
from crossmesh.tiles.digital.base import Array
from crossmesh.tiles.digital.operators.base import Axes, Operator
from crossmesh.tiles.digital.operators.pooling import Windowed, pixels
from crossmesh.tiles.digital.operators.windows import Geometry, Taps, cut_out, put_back, taps

_BLOCK = 1 << 17  # numbers of patches that are multiplied at a time, so that they stay in the cache


@dataclass(frozen=True, kw_only=True)
class PatchesOf(Windowed):
    """The pixels of each window: ``(*windows, taps * channels)``, tap by tap."""

    name: ClassVar[str] = "patches"

    @property
    def axes(self) -> Axes:
        """A row for each window."""
        columns = math.prod(self.kernel) * self.operands[0].axes[-1]
        return (*self.geometry.windows, columns)

    @property
    def work(self) -> float:
        """None but the movement."""
        return 0.0

    def compute(self, tensors: Sequence[Array], out: Array) -> None:
        """Copy."""
        cut_out(pixels(tensors[0]), taps(self.geometry), pixels(out))

    def error(self, d: Array, index: int, tensors: Sequence[Array], y: Array | None) -> Array:
        """Added up at each pixel."""
        result = np.zeros((len(d), *self.operands[0].axes), np.float32)
        put_back(pixels(d), taps(self.geometry), pixels(result))
        return result


@dataclass(frozen=True, kw_only=True)
class Fold(Windowed):
    """Rows ``(*windows, taps * channels)`` added to the pixels of their windows.

    The transpose of ``patches``, whose settings are those of an image of ``sizes``.

    Attributes:
        sizes: Of the image.
    """

    name: ClassVar[str] = "fold"

    sizes: Axes

    def __post_init__(self) -> None:
        super().__post_init__()
        windows, rows = self.geometry.windows, self.operands[0].axes
        if windows != rows[:-1] or rows[-1] % math.prod(self.kernel):
            wanted = (*windows, f"{math.prod(self.kernel)} * channels")
            raise ValueError(f"fold: axes must be {wanted}, got {rows}")

    @property
    def _spatial(self) -> Axes:
        return self.sizes

    @property
    def axes(self) -> Axes:
        """Those of the image."""
        return (*self.sizes, self.operands[0].axes[-1] // math.prod(self.kernel))

    def compute(self, tensors: Sequence[Array], out: Array) -> None:
        """Add."""
        out[...] = 0
        put_back(pixels(tensors[0]), taps(self.geometry), pixels(out))

    def error(self, d: Array, index: int, tensors: Sequence[Array], y: Array | None) -> Array:
        """The pixels of each window."""
        result = np.empty((len(d), *self.operands[0].axes), np.float32)
        cut_out(pixels(d), taps(self.geometry), pixels(result))
        return result


@dataclass(frozen=True, kw_only=True)
class Convolve(Operator):
    """A convolution; operands are x ``(*spatial, channels)`` and a weight.

    The weight is ``(*kernel, channels / groups, outputs)``; outputs of a group stand together.

    Attributes:
        stride: Steps between windows along each spatial axis; none: 1.
        dilation: Distances between taps; none: 1.
        before: Padding before the first pixel,
        after: and after the last; none: 0.
        groups: So many parts of the channels are convolved by themselves.
    """

    name: ClassVar[str] = "convolve"
    n_operands: ClassVar[int | None] = 2
    needs_inputs: ClassVar[bool] = True

    stride: Axes = ()
    dilation: Axes = ()
    before: Axes = ()
    after: Axes = ()
    groups: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        x, weight = (operand.axes for operand in self.operands)
        if not 2 <= len(x) <= 4 or len(weight) != len(x) + 1:
            raise ValueError(
                "convolve must have x (*spatial, channels) and weight (*kernel, channels, outputs),"
                f" got {x} and {weight}"
            )
        if self.groups < 1 or weight[-2] * self.groups != x[-1] or weight[-1] % self.groups:
            raise ValueError(
                f"convolve.groups must divide channels and outputs of {x} and {weight}, "
                f"got {self.groups}"
            )
        self.geometry.check(self.name)

    @property
    def geometry(self) -> Geometry:
        """Where the windows are."""
        sizes, kernel = self.operands[0].axes[:-1], self.operands[1].axes[:-2]
        ones, zeros = (1,) * len(sizes), (0,) * len(sizes)
        steps = self.stride or ones, self.dilation or ones
        return Geometry(sizes, kernel, *steps, self.before or zeros, self.after or zeros)

    @property
    def axes(self) -> Axes:
        """Outputs for each window."""
        return (*self.geometry.windows, self.operands[1].axes[-1])

    @property
    def work(self) -> float:
        """A multiplication and addition for each weight and window."""
        taken = sum(math.prod(operand.axes) for operand in self.operands)
        return math.prod(self.geometry.windows) * math.prod(self.operands[1].axes) / taken

    @property
    def _is_depthwise(self) -> bool:
        return 1 < self.groups == self.operands[0].axes[-1]

    def _repeated(self, x: Array) -> Array:
        """``(examples, pixels, outputs)``: each channel as often as it has outputs."""
        times = self.operands[1].axes[-1] // self.groups
        return pixels(x) if times == 1 else np.repeat(pixels(x), times, axis=2)

    def _blocks(self) -> Iterator[tuple[slice, Taps, Array]]:
        """Some windows at a time, their taps, and room for their patches."""
        table = taps(self.geometry)
        columns = table.shape[1] * self.operands[1].axes[-2]
        n = max(64, _BLOCK // columns)
        room = np.empty((1, min(n, len(table)), columns), np.float32)
        for first in range(0, len(table), n):
            some = table[first : first + n]
            yield slice(first, first + n), some, room[:, : len(some)]

    def _channels(self, group: int) -> slice:
        width = self.operands[1].axes[-2]
        return slice(group * width, (group + 1) * width)

    def _outputs(self, group: int) -> slice:
        width = self.operands[1].axes[-1] // self.groups
        return slice(group * width, (group + 1) * width)

    def compute(self, tensors: Sequence[Array], out: Array) -> None:
        """Patches times the weight, or tap by tap where each channel is by itself."""
        x, weight = tensors
        weights = np.ascontiguousarray(weight).reshape(len(weight), -1, weight.shape[-1])
        result = pixels(out)
        if self._is_depthwise:
            _depthwise(self._repeated(x), weights, taps(self.geometry), result)
            return
        images = pixels(x)
        for e in range(len(out)):
            own, w = images[min(e, len(images) - 1)], weights[min(e, len(weights) - 1)]
            for group in range(self.groups):
                image = np.ascontiguousarray(own[None, :, self._channels(group)])
                part = self._outputs(group)
                for windows, some, room in self._blocks():
                    cut_out(image, some, room)
                    np.matmul(room[0], w[:, part], out=result[e, windows, part])

    def error(self, d: Array, index: int, tensors: Sequence[Array], y: Array | None) -> Array:
        """Back through the patches, or the patches' products with the error."""
        x, weight = tensors
        weights = np.ascontiguousarray(weight).reshape(len(weight), -1, weight.shape[-1])
        if index:
            return self._weight_error(pixels(d), x, len(weight)).reshape(weight.shape)
        result = np.zeros((len(d), *self.operands[0].axes), np.float32)
        if self._is_depthwise:
            repeated = np.zeros((len(d), math.prod(x.shape[1:-1]), weights.shape[2]), np.float32)
            _depthwise_error(pixels(d), weights, taps(self.geometry), repeated)
            if weights.shape[2] == self.groups:
                return repeated.reshape(result.shape)
            return repeated.reshape(*result.shape, -1).sum(axis=-1, dtype=np.float64)
        self._image_error(pixels(d), weights, pixels(result))
        return result

    def _image_error(self, d: Array, weights: Array, result: Array) -> None:
        width = self.operands[1].axes[-2]
        for e in range(len(d)):
            w = weights[min(e, len(weights) - 1)]
            for group in range(self.groups):
                part = self._outputs(group)
                image = np.zeros((1, result.shape[1], width), np.float32)
                for windows, some, room in self._blocks():
                    np.matmul(d[e, windows, part], w[:, part].T, out=room[0])
                    put_back(room, some, image)
                result[e, :, self._channels(group)] = image[0]

    def _weight_error(self, d: Array, x: Array, n: int) -> NDArray[np.float32]:
        """``(n, taps * channels, outputs)``; summed over the examples where ``n`` is 1."""
        rows = math.prod(self.operands[1].axes[:-1])
        result = np.zeros((n, rows, d.shape[2]), np.float64)
        if self._is_depthwise:
            _depthwise_weight_error(d, self._repeated(x), taps(self.geometry), result)
            return result.astype(np.float32)
        images = pixels(x)
        for e in range(len(d)):
            own = images[min(e, len(images) - 1)]
            for group in range(self.groups):
                image = np.ascontiguousarray(own[None, :, self._channels(group)])
                part = self._outputs(group)
                for windows, some, room in self._blocks():
                    cut_out(image, some, room)
                    result[min(e, n - 1), :, part] += room[0].T @ d[e, windows, part]
        return result.astype(np.float32)


@kernel
def _depthwise(
    x: Array,  # (1 or examples, pixels, channels)
    weights: Array,  # (1 or examples, taps, channels)
    taps: Taps,  # (windows, taps)
    out: Array,  # (examples, windows, channels), written
) -> None:
    for e in range(out.shape[0]):
        own, other = min(e, x.shape[0] - 1), min(e, weights.shape[0] - 1)
        for w in range(taps.shape[0]):
            out[e, w] = 0
            for t in range(taps.shape[1]):
                pixel = taps[w, t]
                if pixel >= 0:
                    for c in range(x.shape[2]):
                        out[e, w, c] += x[own, pixel, c] * weights[other, t, c]


@kernel
def _depthwise_error(
    d: Array,  # (examples, windows, channels)
    weights: Array,  # (1 or examples, taps, channels)
    taps: Taps,  # (windows, taps)
    result: Array,  # (examples, pixels, channels), zeros at first; written
) -> None:
    for e in range(d.shape[0]):
        other = min(e, weights.shape[0] - 1)
        for w in range(taps.shape[0]):
            for t in range(taps.shape[1]):
                pixel = taps[w, t]
                if pixel >= 0:
                    for c in range(d.shape[2]):
                        result[e, pixel, c] += d[e, w, c] * weights[other, t, c]


@kernel
def _depthwise_weight_error(
    d: Array,  # (examples, windows, channels)
    x: Array,  # (1 or examples, pixels, channels)
    taps: Taps,  # (windows, taps)
    result: NDArray[np.float64],  # (1 or examples, taps, channels), zeros at first; written
) -> None:
    few = np.zeros(d.shape[2], np.float32)
    for e in range(d.shape[0]):
        own, other = min(e, x.shape[0] - 1), min(e, result.shape[0] - 1)
        for t in range(taps.shape[1]):
            for first in range(0, taps.shape[0], 32):
                few[:] = 0
                for w in range(first, min(first + 32, taps.shape[0])):
                    pixel = taps[w, t]
                    if pixel >= 0:
                        for c in range(few.size):
                            few[c] += d[e, w, c] * x[own, pixel, c]
                for c in range(few.size):
                    result[other, t, c] += np.float64(few[c])


CONVOLUTIONS: tuple[type[Operator], ...] = (PatchesOf, Fold, Convolve)
