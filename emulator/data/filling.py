"""Reading stored arrays into the arrays that are kept, with no copy of the whole in between."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from crossmesh.emulator.data.stored import Stored, StoredPart


class Crop2D(NamedTuple):
    """The crop of each image: rows and columns, half-open; None for all.

    Attributes:
        rows: First row, and the one behind the last.
        columns: First column, and the one behind the last.
    """

    rows: tuple[int, int] | None = None
    columns: tuple[int, int] | None = None

    def shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of what is kept of an example."""
        if self.rows is None or self.columns is None:
            return shape
        return (self.rows[1] - self.rows[0], self.columns[1] - self.columns[0])


def filled(
    stored: Stored,
    dtype: DTypeLike,
    chosen: list[NDArray[np.int64] | None],
    convert: Callable[[NDArray[Any]], NDArray[Any]],
    window: Crop2D = Crop2D(),  # noqa: B008  because it is frozen
) -> list[NDArray[Any]]:
    """Read an array into several, some of its entries along the first axis into each.

    Args:
        stored: What is read.
        dtype: Type of the values that are kept.
        chosen: Indices of the entries of each array, rising; None for all.
        convert: From values as they are stored to values as they are kept.
        window: What is kept of each entry.

    Returns:
        An array for each of ``chosen``.
    """
    shape = window.shape(stored.shape[1:])
    arrays = [np.empty((_count(stored, some), *shape), dtype) for some in chosen]
    for part in stored.parts():
        kept, start = _cropped(part, window)
        if kept.size == 0:
            continue
        values = convert(kept)
        for array, some in zip(arrays, chosen, strict=True):
            if part.axis:
                array[..., start : start + values.shape[-1]] = (
                    values if some is None else values[some]
                )
            else:
                _fill_rows(array, some, start, values)
    return arrays


def _count(stored: Stored, some: NDArray[np.int64] | None) -> int:
    return len(stored) if some is None else len(some)


def _cropped(part: StoredPart, window: Crop2D) -> tuple[NDArray[Any], int]:
    """What is kept of a part, and where that begins on the part's axis."""
    axis, start, values = part
    if window.rows is None or window.columns is None:
        return values, start
    first, last = window.columns
    if axis:
        values = values[:, :, max(0, first - start) : max(0, last - start)]
        return values[:, slice(*window.rows)], max(0, start - first)
    return values[:, slice(*window.rows), first:last], start


def _fill_rows(
    array: NDArray[Any], some: NDArray[np.int64] | None, start: int, values: NDArray[Any]
) -> None:
    """Put the entries from ``start`` on where they belong."""
    if some is None:
        array[start : start + len(values)] = values
        return
    first, last = np.searchsorted(some, [start, start + len(values)])
    array[first:last] = values[some[first:last] - start]
