"""Arrays in files: shape and type are known at once, the values are read part by part."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

PART_BYTES = 4 << 20  # read at a time


class StoredPart(NamedTuple):
    """Some of an array: all that lies from ``start`` on along one axis.

    Attributes:
        axis: The first axis, or the last of an array in Fortran's order.
        start: Where it begins on that axis.
        values: The values, of as many axes as the whole.
    """

    axis: int
    start: int
    values: NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stored:
    """An array that has not been read yet.

    Attributes:
        shape: Its shape.
        dtype: The type of its values.
        parts: Reads it, each call from the beginning; the parts rise along one axis.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    parts: Callable[[], Iterator[StoredPart]]

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __len__(self) -> int:
        """Length of the first axis."""
        return self.shape[0]

    def __str__(self) -> str:
        return f"{self.dtype} {self.shape}"


def some_of(stored: Stored, rows: NDArray[np.int64]) -> Stored:
    """Some entries along the first axis, as if no others were stored.

    Args:
        stored: The whole.
        rows: Indices of the entries ``(n,)``, rising.
    """

    def parts() -> Iterator[StoredPart]:
        for axis, start, values in stored.parts():
            if axis:
                yield StoredPart(axis, start, values[rows])
                continue
            first, last = np.searchsorted(rows, [start, start + len(values)])
            yield StoredPart(0, int(first), values[rows[first:last] - start])

    return Stored(shape=(len(rows), *stored.shape[1:]), dtype=stored.dtype, parts=parts)


def in_memory(array: NDArray[Any]) -> Stored:
    """An array that is there, as if it were stored."""

    def parts() -> Iterator[StoredPart]:
        for start, stop in spans(array.shape, array.itemsize):
            yield StoredPart(0, start, array[start:stop])

    return Stored(shape=array.shape, dtype=array.dtype, parts=parts)


def spans(shape: tuple[int, ...], itemsize: int) -> Iterator[tuple[int, int]]:
    """Bounds of parts along the first axis, of about ``PART_BYTES`` each.

    Args:
        shape: Of the whole.
        itemsize: Bytes of a value.
    """
    step = max(1, PART_BYTES // max(1, itemsize * math.prod(shape[1:])))
    for start in range(0, shape[0], step):
        yield start, min(start + step, shape[0])
