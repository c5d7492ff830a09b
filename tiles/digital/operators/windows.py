"""Windows that move over one to three spatial axes: which pixels lie in each, and their kernels."""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.compiled import kernel
from crossmesh.tiles.digital.base import Array
from crossmesh.tiles.digital.operators.base import Axes

Taps = NDArray[np.int32]


class Geometry(NamedTuple):
    """Windows over an image.

    Attributes:
        sizes: Of the image along each spatial axis.
        kernel: Taps of a window.
        stride: Steps between windows.
        dilation: Distances between taps.
        before: Padding before the first pixel,
        after: and after the last.
        ceil: Whether there may be a last window that is not full.
    """

    sizes: Axes
    kernel: Axes
    stride: Axes
    dilation: Axes
    before: Axes
    after: Axes
    ceil: bool = False

    @property
    def windows(self) -> Axes:
        """How many windows there are along each axis."""
        return tuple(self._along(axis) for axis in range(len(self.sizes)))

    def _along(self, axis: int) -> int:
        size, stride, before = self.sizes[axis], self.stride[axis], self.before[axis]
        extent = self.dilation[axis] * (self.kernel[axis] - 1) + 1
        room = size + before + self.after[axis] - extent
        if not self.ceil:
            return room // stride + 1
        n = -(-room // stride) + 1
        return n - 1 if (n - 1) * stride >= size + before else n

    def check(self, name: str) -> None:
        """Refuse what are no windows.

        Raises:
            ValueError: Naming the operator and its setting.
        """
        lowest = {"kernel": 1, "stride": 1, "dilation": 1, "before": 0, "after": 0}
        n = len(self.sizes)
        for setting, least in lowest.items():
            value = getattr(self, setting)
            if len(value) != n or any(number < least for number in value):
                raise ValueError(f"{name}.{setting} must be {n} of at least {least}, got {value}")
        if min(self.windows) < 1:
            raise ValueError(
                f"{name}.kernel must fit into the image {self.sizes}, got {self.kernel}"
            )


def _places(geometry: Geometry, axis: int) -> NDArray[np.int64]:
    """``(windows, taps)``: places along an axis, also outside of the image."""
    first = np.arange(geometry.windows[axis]) * geometry.stride[axis] - geometry.before[axis]
    return first[:, None] + np.arange(geometry.kernel[axis]) * geometry.dilation[axis]


@lru_cache(maxsize=64)
def taps(geometry: Geometry) -> Taps:
    """``(windows, taps)``: which pixel of an image each is, row by row; below zero: none."""
    n = len(geometry.sizes)
    pixel = np.zeros((1,) * (2 * n), np.int64)
    inside = np.ones((1,) * (2 * n), bool)
    for axis, size in enumerate(geometry.sizes):
        places = _places(geometry, axis)
        shape = [1] * (2 * n)
        shape[axis], shape[n + axis] = places.shape
        places = places.reshape(shape)
        pixel = pixel * size + places
        inside = inside & (places >= 0) & (places < size)
    windows = math.prod(geometry.windows)
    return np.where(inside, pixel, -1).astype(np.int32).reshape(windows, -1)


@lru_cache(maxsize=64)
def counts(geometry: Geometry, with_padding: bool) -> Array:
    """``(windows, 1)``: how many taps lie in the image, or in it and its padding; at least 1."""
    total = np.ones((1,) * len(geometry.sizes), np.float32)
    for axis, size in enumerate(geometry.sizes):
        places = _places(geometry, axis)
        before = geometry.before[axis] if with_padding else 0
        after = geometry.after[axis] if with_padding else 0
        n = ((places >= -before) & (places < size + after)).sum(axis=1)
        shape = [1] * len(geometry.sizes)
        shape[axis] = len(n)
        total = total * n.reshape(shape)
    return np.maximum(total, 1).astype(np.float32).reshape(-1, 1)


@kernel
def largest(
    x: Array,  # (examples, pixels, channels)
    taps: Taps,  # (windows, taps)
    out: Array,  # (examples, windows, channels), written
) -> None:
    """The largest number of each window, or one that is none."""
    for e in range(x.shape[0]):
        for w in range(taps.shape[0]):
            out[e, w] = -np.inf
            for t in range(taps.shape[1]):
                pixel = taps[w, t]
                if pixel >= 0:
                    for c in range(x.shape[2]):
                        v = x[e, pixel, c]
                        wins = (v > out[e, w, c]) | np.isnan(v)
                        out[e, w, c] = v if wins else out[e, w, c]


@kernel
def largest_error(
    d: Array,  # (examples, windows, channels)
    x: Array,  # (examples, pixels, channels)
    taps: Taps,  # (windows, taps)
    result: Array,  # (examples, pixels, channels), zeros at first; written
) -> None:
    """Send the error of each window to its largest number, the first of equal ones."""
    best = np.empty(x.shape[2], np.float32)
    where = np.empty(x.shape[2], np.int32)
    for e in range(x.shape[0]):
        for w in range(taps.shape[0]):
            best[:] = -np.inf
            where[:] = -1
            for t in range(taps.shape[1]):
                pixel = taps[w, t]
                if pixel >= 0:
                    for c in range(best.size):
                        v = x[e, pixel, c]
                        wins = (v > best[c]) | np.isnan(v) | (where[c] < 0)
                        best[c] = v if wins else best[c]
                        where[c] = pixel if wins else where[c]
            for c in range(best.size):
                if where[c] >= 0:
                    result[e, where[c], c] += d[e, w, c]


@kernel
def add_up(
    x: Array,  # (examples, pixels, channels)
    taps: Taps,  # (windows, taps)
    out: Array,  # (examples, windows, channels), written
) -> None:
    """The sum of each window."""
    for e in range(x.shape[0]):
        for w in range(taps.shape[0]):
            out[e, w] = 0
            for t in range(taps.shape[1]):
                pixel = taps[w, t]
                if pixel >= 0:
                    for c in range(x.shape[2]):
                        out[e, w, c] += x[e, pixel, c]


@kernel
def share_out(
    d: Array,  # (examples, windows, channels)
    taps: Taps,  # (windows, taps)
    result: Array,  # (examples, pixels, channels), zeros at first; written
) -> None:
    """Add the number of each window to all its pixels."""
    for e in range(d.shape[0]):
        for w in range(taps.shape[0]):
            for t in range(taps.shape[1]):
                pixel = taps[w, t]
                if pixel >= 0:
                    for c in range(d.shape[2]):
                        result[e, pixel, c] += d[e, w, c]


@kernel
def cut_out(
    x: Array,  # (examples, pixels, channels)
    taps: Taps,  # (windows, taps)
    out: Array,  # (examples, windows, taps * channels), written
) -> None:
    """The pixels of each window, tap by tap; zeros where there is none."""
    n = x.shape[2]
    for e in range(x.shape[0]):
        for w in range(taps.shape[0]):
            for t in range(taps.shape[1]):
                pixel = taps[w, t]
                if pixel >= 0:
                    for c in range(n):
                        out[e, w, t * n + c] = x[e, pixel, c]
                else:
                    for c in range(n):
                        out[e, w, t * n + c] = 0


@kernel
def put_back(
    rows: Array,  # (examples, windows, taps * channels)
    taps: Taps,  # (windows, taps)
    result: Array,  # (examples, pixels, channels), zeros at first; written
) -> None:
    """Add what was cut out to the pixels from which it came."""
    n = result.shape[2]
    for e in range(rows.shape[0]):
        for w in range(taps.shape[0]):
            for t in range(taps.shape[1]):
                pixel = taps[w, t]
                if pixel >= 0:
                    for c in range(n):
                        result[e, pixel, c] += rows[e, w, t * n + c]
