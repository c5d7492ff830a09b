"""Which cells of a board are measured: some that are spread over it, or those of a region."""

import math
import re
from typing import NamedTuple

import numpy as np

from crossmesh.common.errors import ConfigError
from crossmesh.tiles.boards.hardware import Lines
from crossmesh.tiles.boards.maps import LineMap

_REGION = re.compile(r"(\d+)(?:-(\d+))?,(\d+)(?:-(\d+))?", re.ASCII)


class LineCells(NamedTuple):
    """Cells of one word line, which one request can pulse.

    Attributes:
        row: The word line.
        cols: ``(n,)`` bit lines.
    """

    row: int
    cols: Lines

    @property
    def rows(self) -> Lines:
        """``(n,)`` word line of each cell."""
        return np.full(len(self.cols), self.row, np.uint16)

    @property
    def names(self) -> list[str]:
        """What tables call them, such as ``r3c17``."""
        return [f"r{self.row}c{j}" for j in self.cols]


def whole(rows: int, cols: int) -> LineMap:
    """All lines of a board."""
    return LineMap(tuple(range(rows)), tuple(range(cols)))


def spread(usable: LineMap, n: int) -> list[LineCells]:
    """Cells at even distances.

    They lie on as few word lines as give both directions the same number, because a word line
    takes a request of its own; from line to line they are shifted, so that they meet many bit
    lines.

    Args:
        usable: Lines to choose from, and cells to leave out.
        n: How many cells.

    >>> [(line.row, line.cols.tolist()) for line in spread(whole(8, 8), 4)]
    [(2, [1, 5]), (6, [3, 7])]
    """
    rows, cols = len(usable.rows), len(usable.cols)
    if n > rows * cols:
        raise ConfigError(f"--cells must be at most {rows * cols} on this board, got {n}")
    lines = min(rows, max(math.isqrt(n), math.ceil(n / cols)))
    found = []
    for k in range(lines):
        many = n // lines + (k < n % lines)
        places = np.arange(many) + (k + 0.5) / lines
        row = usable.rows[(2 * k + 1) * rows // (2 * lines)]
        found.append((row, [usable.cols[int(place * cols / many)] for place in places]))
    return _movable(found, usable)


def region(usable: LineMap, text: str) -> list[LineCells]:
    """All cells where some word lines meet some bit lines.

    Args:
        usable: Lines to choose from, and cells to leave out.
        text: First and last word line, first and last bit line, as ``0-3,8-15``.
    """
    found = _REGION.fullmatch(text.replace(" ", ""))
    if found is None:
        raise ConfigError(f"--lines must be word lines and bit lines such as 0-3,8-15, got {text}")
    first, last, left, right = (int(n or found[k]) for k, n in enumerate(found.groups(), 0))
    rows = [i for i in usable.rows if first <= i <= last]
    cols = [j for j in usable.cols if left <= j <= right]
    if not rows or not cols:
        raise ConfigError(
            f"--lines must be of word lines {usable.rows[0]} to {usable.rows[-1]} and bit lines "
            f"{usable.cols[0]} to {usable.cols[-1]}, got {text}"
        )
    return _movable([(row, cols) for row in rows], usable)


def _movable(cells: list[tuple[int, list[int]]], usable: LineMap) -> list[LineCells]:
    """The cells that are not known to be stuck."""
    stuck = {(i, j) for i, j, _ in usable.stuck}
    kept = [(i, [j for j in cols if (i, j) not in stuck]) for i, cols in cells]
    return [LineCells(i, np.array(cols, np.uint16)) for i, cols in kept if cols]
