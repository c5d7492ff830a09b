"""Kernels of windows that move over images: copying patches out of them, adding patches to them.

A vector is the patch of one position of one example. Vectors are numbered example by example,
and within an example over the positions that a tile sees. The lines of a patch that lie side by
side in the image are a run, and copied at once.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.compiled import inlined, kernel

# Of a run, by column of the array of runs.
ROW, SHIFT, LENGTH, LINE = 0, 1, 2, 3


class PatchGeometry(NamedTuple):
    """Where the numbers of patches lie in images.

    Attributes:
        runs: ``(runs, 4)`` image row, first number, how many, first line, of the first patch.
        down: Image rows from a position to the one below.
        right: Numbers of an image row from a position to the one at its right.
        top: Image row of the first position: minus padding.
        left: Number in that row where it begins: minus padding.
        height: Rows of an image.
        out_width: Positions side by side.
        first: First position that is seen.
        stop: One past the last.
    """

    runs: NDArray[np.int64]
    down: int
    right: int
    top: int
    left: int
    height: int
    out_width: int
    first: int
    stop: int


@inlined
def _within(start, length, width):
    """Part of ``length`` numbers from ``start`` that lies in an image row of ``width``."""
    low = min(max(0, -start), length)
    return low, max(low, min(length, width - start))


# Indices are unsigned below: compilers need not think of those that count from the end, and make
# vectors of the loops.


@inlined
def _fill(to, first, n, value):
    for j in range(np.uint64(n)):
        to[np.uint64(first) + j] = value


@inlined
def _copy(to, first, source, begin, n):
    for j in range(np.uint64(n)):
        to[np.uint64(first) + j] = source[np.uint64(begin) + j]


@inlined
def _add(to, first, source, begin, n):
    for j in range(np.uint64(n)):
        to[np.uint64(first) + j] += source[np.uint64(begin) + j]


@kernel
def unroll(
    image: NDArray[np.float32],  # (examples * height, width * channels)
    geometry: PatchGeometry,
    first: int,  # number of the first vector
    out: NDArray[np.float32],  # (vectors, lines), written; lines behind the runs are the bias
) -> None:
    """Copy patches out of images."""
    runs, down, right, top, left, height, out_width, low, high = geometry
    width = image.shape[1]
    lines = 0
    for r in range(runs.shape[0]):
        lines += runs[r, LENGTH]
    example, position = first // (high - low), first % (high - low) + low
    for k in range(out.shape[0]):
        y = position // out_width
        row = y * down + top
        begin = (position - y * out_width) * right + left
        to = out[k]
        for r in range(runs.shape[0]):
            i, start = row + runs[r, ROW], begin + runs[r, SHIFT]
            length, line = runs[r, LENGTH], runs[r, LINE]
            a, b = _within(start, length, width)
            if i < 0 or i >= height:
                a, b = length, length
            _fill(to, line, a, np.float32(0))
            if a < b:
                _copy(to, line + a, image[example * height + i], start + a, b - a)
            _fill(to, line + b, length - b, np.float32(0))
        _fill(to, lines, to.shape[0] - lines, np.float32(1))
        position += 1
        if position == high:
            position = low
            example += 1


@kernel
def fold(
    patches: NDArray[np.float32],  # (vectors, lines)
    geometry: PatchGeometry,
    first: int,
    image: NDArray[np.float32],  # (examples * height, width * channels), added to
) -> None:
    """Add patches to images, vector after vector: the transpose of ``unroll``."""
    runs, down, right, top, left, height, out_width, low, high = geometry
    width = image.shape[1]
    example, position = first // (high - low), first % (high - low) + low
    for k in range(patches.shape[0]):
        y = position // out_width
        row = y * down + top
        begin = (position - y * out_width) * right + left
        for r in range(runs.shape[0]):
            i, start = row + runs[r, ROW], begin + runs[r, SHIFT]
            line = runs[r, LINE]
            a, b = _within(start, runs[r, LENGTH], width)
            if a < b and i >= 0 and i < height:
                _add(image[example * height + i], start + a, patches[k], line + a, b - a)
        position += 1
        if position == high:
            position = low
            example += 1
