"""Pooling: the largest or the mean value within a window that moves over an image.

An image of ``(height * width, features)``, row by row, channels last. Source of max pooling in
convolutional networks: Scherer, Müller and Behnke 2010 (ICANN, doi 10.1007/978-3-642-15825-4_10);
of global pooling: Lin, Chen and Yan 2014, arXiv 1312.4400, section 3.2.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.compiled import inlined, kernel
from crossmesh.tiles.digital.base import Array, Call, Function
from crossmesh.tiles.digital.rows import fill

# Of kernels: height, width, output height, output width, kernel, stride and padding (2 each).
_Geometry = tuple[int, int, int, int, int, int, int, int, int, int]


@inlined
def _window(row: int, geometry: _Geometry) -> Any:
    """Where a window's taps begin: its first pixel, counted over all images; its clipped bounds."""
    height, width, out_height, out_width, kh, kw, sh, sw, ph, pw = geometry
    example, position = row // (out_height * out_width), row % (out_height * out_width)
    top, left = position // out_width * sh - ph, position % out_width * sw - pw
    first = example * height * width
    return first, max(top, 0), min(top + kh, height), max(left, 0), min(left + kw, width)


@kernel
def _largest(
    x: Array,  # (examples * pixels, features)
    geometry: _Geometry,
    out: Array,  # (examples * windows, features), written
) -> None:
    for row in range(out.shape[0]):
        first, top, bottom, left, right = _window(row, geometry)
        out[row] = -np.inf
        for i in range(top, bottom):
            for j in range(left, right):
                source = first + i * geometry[1] + j
                for c in range(out.shape[1]):
                    v = x[source, c]
                    wins = (v > out[row, c]) | np.isnan(v)
                    out[row, c] = v if wins else out[row, c]


@inlined
def _note_largest(x: Array, source: int, best: Array, where: NDArray[np.int32]) -> None:
    """Take note where a tap is larger than all before it."""
    for c in range(best.size):
        v = x[source, c]
        wins = (v > best[c]) | np.isnan(v)
        best[c] = v if wins else best[c]
        where[c] = np.int32(source) if wins else where[c]


@kernel
def _largest_error(
    d: Array,  # (examples * windows, features)
    x: Array,  # (examples * pixels, features)
    geometry: _Geometry,
    result: Array,  # (examples * pixels, features), zeros at first; written
) -> None:
    best = np.empty(x.shape[1], np.float32)
    where = np.empty(x.shape[1], np.int32)
    for row in range(d.shape[0]):
        first, top, bottom, left, right = _window(row, geometry)
        best[:] = -np.inf
        where[:] = first + top * geometry[1] + left
        for i in range(top, bottom):
            for j in range(left, right):
                _note_largest(x, first + i * geometry[1] + j, best, where)
        for c in range(best.size):
            result[where[c], c] += d[row, c]


@kernel
def _mean(
    x: Array,  # (examples * pixels, features)
    geometry: _Geometry,
    out: Array,  # (examples * windows, features), written
) -> None:
    size = np.float32(geometry[4] * geometry[5])
    for row in range(out.shape[0]):
        first, top, bottom, left, right = _window(row, geometry)
        out[row] = 0
        for i in range(top, bottom):
            for j in range(left, right):
                source = first + i * geometry[1] + j
                for c in range(out.shape[1]):
                    out[row, c] += x[source, c]
        for c in range(out.shape[1]):
            out[row, c] /= size


@kernel
def _mean_error(
    d: Array,  # (examples * windows, features)
    geometry: _Geometry,
    result: Array,  # (examples * pixels, features), zeros at first; written
) -> None:
    size = np.float32(geometry[4] * geometry[5])
    share = np.empty(d.shape[1], np.float32)
    for row in range(d.shape[0]):
        first, top, bottom, left, right = _window(row, geometry)
        for c in range(share.size):
            share[c] = d[row, c] / size
        for i in range(top, bottom):
            for j in range(left, right):
                source = first + i * geometry[1] + j
                for c in range(share.size):
                    result[source, c] += share[c]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Pool(Function):
    """A window that moves over an image.

    Attributes:
        height: Height of the input image.
        width: Width of the input image.
        kernel: Height and width of the window,
        stride: of its steps,
        padding: of what lies on each side, at most half of the window.
    """

    height: int
    width: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int] = (0, 0)

    @property
    def out_height(self) -> int:
        """Windows one above the other; none, if 0 or less."""
        return (self.height + 2 * self.padding[0] - self.kernel[0]) // self.stride[0] + 1

    @property
    def out_width(self) -> int:
        """Windows side by side; none, if 0 or less."""
        return (self.width + 2 * self.padding[1] - self.kernel[1]) // self.stride[1] + 1

    @property
    def positions(self) -> int:
        """Positions of the output."""
        return self.out_height * self.out_width

    @property
    def _geometry(self) -> _Geometry:
        sizes = (self.height, self.width, self.out_height, self.out_width)
        return (*sizes, *self.kernel, *self.stride, *self.padding)

    def _no_error(self, d: Array) -> Array:
        """Zeros for every pixel."""
        examples = len(d) // self.positions
        return np.zeros((examples * self.height * self.width, d.shape[1]), np.float32)


@dataclass(frozen=True, kw_only=True, slots=True)
class MaxPool(_Pool):
    """The largest value in each window; padding is never it.

    Of equal ones, the first in the order of rows takes the error, as in PyTorch.
    """

    needs_inputs: ClassVar[bool] = True

    def forward(self, inputs: Sequence[Array], out: Array, call: Call) -> None:
        """Compare tap by tap."""
        fill(out, lambda whole: _largest(inputs[0], self._geometry, whole))

    def backward(
        self, d: Array, index: int, inputs: Sequence[Array], y: Array | None, call: Call
    ) -> Array:
        """Send each window's error to its largest value."""
        result = self._no_error(d)
        _largest_error(np.ascontiguousarray(d), inputs[0], self._geometry, result)
        return result


@dataclass(frozen=True, kw_only=True, slots=True)
class AveragePool(_Pool):
    """The mean of each window; padding counts as zeros."""

    def forward(self, inputs: Sequence[Array], out: Array, call: Call) -> None:
        """Add tap by tap."""
        fill(out, lambda whole: _mean(inputs[0], self._geometry, whole))

    def backward(
        self, d: Array, index: int, inputs: Sequence[Array], y: Array | None, call: Call
    ) -> Array:
        """Share out each window's error."""
        result = self._no_error(d)
        _mean_error(np.ascontiguousarray(d), self._geometry, result)
        return result


@dataclass(frozen=True, kw_only=True, slots=True)
class GlobalPool(Function):
    """The mean over all positions.

    Attributes:
        positions: Positions of the input.
    """

    positions: int

    def forward(self, inputs: Sequence[Array], out: Array, call: Call) -> None:
        """Add position by position."""
        fill(out, lambda whole: _mean(inputs[0], self._geometry, whole))

    def backward(
        self, d: Array, index: int, inputs: Sequence[Array], y: Array | None, call: Call
    ) -> Array:
        """Share out the error."""
        return np.repeat(d / np.float32(self.positions), self.positions, axis=0)

    @property
    def _geometry(self) -> _Geometry:
        """One window as large as the image."""
        return self.positions, 1, 1, 1, self.positions, 1, 1, 1, 0, 0
