"""Convolutions on tiles: kernels unrolled on the word lines, patches streamed as vectors.

A value is ``(examples * positions, channels)``, row by row of each image. The matrix of a
convolution has a word line for every kernel row, kernel column and channel, in this order, then
one for the bias; and a bit line for every output channel.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from crossmesh.tiles.analog.backends import AnalogTile
from crossmesh.tiles.analog.patches import PatchGeometry, fold, unroll

Array = NDArray[np.float32]
# Vectors in work at a time: as many as fit into so many bytes, a part of a core's caches, within
# bounds, and a multiple of ``_STEP``.
_BYTES = 1 << 20
_FEWEST, _MOST, _STEP = 256, 512, 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """A window that moves over images; pairs are of height and width.

    Attributes:
        height: Rows of the image.
        width: Columns of the image.
        channels: Values of each pixel.
        kernel: Pixels that the window sees.
        stride: Pixels from one position to the next.
        padding: Pixels of zeros on each side of the image.
        dilation: Pixels from one that it sees to the next.
    """

    height: int
    width: int
    channels: int
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)

    def __post_init__(self) -> None:
        for name in ("height", "width", "channels"):
            if getattr(self, name) < 1:
                raise ValueError(f"Window.{name} must be at least 1, got {getattr(self, name)}")
        for name, least in (("kernel", 1), ("stride", 1), ("padding", 0), ("dilation", 1)):
            if min(getattr(self, name)) < least:
                pair = getattr(self, name)
                raise ValueError(f"Window.{name} must be at least {least}, got {pair}")
        if self.out_height < 1 or self.out_width < 1:
            reach = tuple(d * (k - 1) + 1 for d, k in zip(self.dilation, self.kernel, strict=True))
            image = (self.height + 2 * self.padding[0], self.width + 2 * self.padding[1])
            raise ValueError(
                f"Window.kernel must fit into the padded image of {image}, "
                f"got {self.kernel}, which spans {reach}"
            )

    def _steps(self, axis: int, size: int) -> int:
        span = self.dilation[axis] * (self.kernel[axis] - 1) + 1
        return (size + 2 * self.padding[axis] - span) // self.stride[axis] + 1

    @property
    def out_height(self) -> int:
        """Positions from top to bottom."""
        return self._steps(0, self.height)

    @property
    def out_width(self) -> int:
        """Positions from left to right."""
        return self._steps(1, self.width)

    @property
    def positions(self) -> int:
        """Positions of the window: pixels of the output."""
        return self.out_height * self.out_width

    @property
    def inputs(self) -> int:
        """Pixels of the image."""
        return self.height * self.width

    @property
    def rows(self) -> int:
        """Word lines without that of the bias, whose number this is."""
        return self.kernel[0] * self.kernel[1] * self.channels

    @property
    def is_pixel(self) -> bool:
        """Whether the window sees every pixel once, alone: its patches are the image itself."""
        plain = self.kernel == self.stride == (1, 1)
        return plain and self.padding == (0, 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Patches:
    """The part of a convolution that one tile computes: some rows of the window, some positions.

    Attributes:
        window: The window.
        rows: Word lines, half-open; the line ``window.rows`` is that of the bias.
        positions: Positions of each example, half-open.
    """

    window: Window
    rows: tuple[int, int]
    positions: tuple[int, int]

    def __post_init__(self) -> None:
        for name, limit in (("rows", self.window.rows + 1), ("positions", self.window.positions)):
            first, stop = getattr(self, name)
            if not 0 <= first < stop <= limit:
                raise ValueError(
                    f"Patches.{name} must be a range within 0 to {limit}, got {(first, stop)}"
                )

    @property
    def lines(self) -> int:
        """Word lines."""
        return self.rows[1] - self.rows[0]

    @property
    def per_example(self) -> int:
        """Vectors of an example."""
        return self.positions[1] - self.positions[0]

    @property
    def is_image(self) -> bool:
        """Whether the patches are the image as it is, so that nothing need be copied."""
        window = self.window
        everything = self.rows == (0, window.rows) and self.positions == (0, window.positions)
        return window.is_pixel and everything

    def vectors(self, x: Array) -> int:
        """Number of vectors of images ``(examples * inputs, channels)``."""
        return len(x) // self.window.inputs * self.per_example

    def unroll(self, x: Array, out: Array | None = None) -> Array:
        """Patches ``(vectors, lines)`` of the images ``(examples * inputs, channels)``."""
        if out is None:
            out = np.empty((self.vectors(x), self.lines), x.dtype)
        self.unroll_part(x, 0, out)
        return out

    def unroll_part(self, x: Array, first: int, out: Array) -> None:
        """Fill ``out`` with the patches from number ``first`` on."""
        unroll(self._images(x), _geometry(self), first, out)

    def fold(self, z: Array) -> Array:
        """Images ``(examples * inputs, channels)``: the sums of what patches send back."""
        window = self.window
        x = np.zeros((len(z) // self.per_example * window.inputs, window.channels), z.dtype)
        self.fold_part(z, 0, x)
        return x

    def fold_part(self, z: Array, first: int, x: Array) -> None:
        """Add the patches from number ``first`` on to the images ``x``."""
        fold(z, _geometry(self), first, self._images(x))

    def _images(self, x: Array) -> Array:
        """A view with a row of numbers for every row of pixels."""
        return x.reshape(-1, self.window.width * self.window.channels)


@lru_cache(maxsize=4096)
def _geometry(patches: Patches) -> PatchGeometry:
    window, (first, stop) = patches.window, patches.positions
    return PatchGeometry(
        runs=_runs(patches),
        down=window.stride[0],
        right=window.stride[1] * window.channels,
        top=-window.padding[0],
        left=-window.padding[1] * window.channels,
        height=window.height,
        out_width=window.out_width,
        first=first,
        stop=stop,
    )


def _runs(patches: Patches) -> NDArray[np.int64]:
    """Lines that lie side by side in the image: kernel rows, or single pixels if dilated."""
    window, (low, high) = patches.window, patches.rows
    together = window.kernel[1] if window.dilation[1] == 1 else 1
    length = together * window.channels
    columns = range(0, window.kernel[1], together)
    runs = []
    for number, (row, column) in enumerate(product(range(window.kernel[0]), columns)):
        first = number * length
        a, b = max(low, first), min(high, first + length)
        if a < b:
            shift = column * window.dilation[1] * window.channels + a - first
            runs.append((row * window.dilation[0], shift, b - a, a - low))
    return np.array(runs, np.int64).reshape(-1, 4)


class Sliding:
    """The three cycles of a tile that holds a block of a convolution.

    Patches are in work a few at a time, so that they stay in a core's cache. How many follows
    from the geometry alone, so that products have the same bits everywhere.

    Args:
        tile: The tile.
        patches: What it sees in its forward and backward cycles; an update uses all positions.
    """

    def __init__(self, tile: AnalogTile, patches: Patches) -> None:
        self._tile = tile
        self._patches = patches
        self._all = replace(patches, positions=(0, patches.window.positions))
        self._cols = tile.block.shape[1]
        self._at_once = at_once(max(patches.lines, self._cols))

    def forward(self, x: Array, first_vector: int) -> Array:
        """From the images ``(examples * inputs, channels)`` to partial sums ``(vectors, cols)``."""
        y = np.empty((self._patches.vectors(x), self._cols), np.float32)
        for part, vectors in self._parts(self._patches, x):
            y[part] = self._tile.forward(vectors, first_vector + part.start)
        return y

    def backward(self, d: Array, first_vector: int) -> Array:
        """From errors ``(vectors, cols)`` to their sums ``(examples * inputs, channels)``."""
        patches = self._patches
        examples = len(d) // patches.per_example
        shape = (examples * patches.window.inputs, patches.window.channels)
        z = np.empty(shape, np.float32) if patches.is_image else np.zeros(shape, np.float32)
        for part in self._slices(len(d)):
            sent = self._tile.backward(d[part], first_vector + part.start)
            if patches.is_image:
                z[part] = sent
            else:
                patches.fold_part(sent, part.start, z)
        return z

    def update(self, x: Array, d: Array, rate: float, first_vector: int) -> None:
        """Add ``rate`` times the outer products of all patches of ``x`` with their errors."""
        for part, vectors in self._parts(self._all, x):
            self._tile.update(vectors, d[part], rate, first_vector + part.start)

    def _slices(self, vectors: int) -> Iterator[slice]:
        for first in range(0, vectors, self._at_once):
            yield slice(first, min(first + self._at_once, vectors))

    def _parts(self, patches: Patches, x: Array) -> Iterator[tuple[slice, Array]]:
        if patches.is_image:
            for part in self._slices(len(x)):
                yield part, x[part]
            return
        vectors = patches.vectors(x)
        room = np.empty((min(self._at_once, vectors), patches.lines), np.float32)
        for part in self._slices(vectors):
            out = room[: part.stop - part.start]
            patches.unroll_part(x, part.start, out)
            yield part, out


def at_once(lines: int) -> int:
    """Vectors in work at a time, of so many lines."""
    return min(max(_BYTES // (4 * lines) // _STEP * _STEP, _FEWEST), _MOST)
