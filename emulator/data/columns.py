"""Several named inputs of an example, one behind the other in its row."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from crossmesh.emulator.data.errors import Place, listed
from crossmesh.emulator.data.filling import filled
from crossmesh.emulator.data.stored import Stored, StoredPart, spans

BYTE_SCALE = 255.0


class InputColumn(NamedTuple):
    """A named input: the values of each row from ``start`` on, in its shape.

    Attributes:
        name: Its name.
        shape: Shape of an example.
        start: First of its values in a row.
    """

    name: str
    shape: tuple[int, ...]
    start: int

    @property
    def stop(self) -> int:
        """One past its last value in a row."""
        return self.start + math.prod(self.shape)


def columns_of(named: Sequence[tuple[str, Stored]]) -> tuple[InputColumn, ...]:
    """Columns of stored arrays ``(n, *shape)``, in the order given."""
    found, start = [], 0
    for name, stored in named:
        column = InputColumn(name, stored.shape[1:], start)
        found.append(column)
        start = column.stop
    return tuple(found)


def side_by_side(named: Sequence[tuple[str, Stored]], place: Place) -> Stored:
    """Arrays ``(n, *shape)`` as one of rows ``(n, width)``; bytes are divided by 255.

    Args:
        named: The arrays by name.
        place: All of them, as messages name them.

    Raises:
        DataError: If they are not numbers of as many examples each.
    """
    arrays = [stored for _, stored in named]
    if any(not a.ndim or 0 in a.shape or a.dtype.kind not in "buif" for a in arrays):
        got = ", ".join(f"{name} {stored}" for name, stored in named)
        raise place.refusal("one or more examples, numbers (examples, ...)", got)
    if len({len(a) for a in arrays}) > 1:
        got = listed(f"{name} {stored}" for name, stored in named)
        raise place.refusal("as many examples in each", got)
    shape = (len(arrays[0]), columns_of(named)[-1].stop)
    dtype = np.result_type(*(np.float32 if a.dtype == np.uint8 else a.dtype for a in arrays))

    def parts() -> Iterator[StoredPart]:
        readers = [_Rows(array) for array in arrays]
        for start, stop in spans(shape, 8):
            rows = [reader.take(stop - start) for reader in readers]
            yield StoredPart(0, start, np.hstack(rows).astype(dtype, copy=False))

    return Stored(shape=shape, dtype=np.dtype(dtype), parts=parts)


@dataclass
class _Rows:
    """Reads an array row by row, whatever the size of its parts."""

    stored: Stored

    def __post_init__(self) -> None:
        self._parts = self._read()
        self._left: NDArray[Any] = np.empty((0, math.prod(self.stored.shape[1:])))

    def _read(self) -> Iterator[NDArray[Any]]:
        for part in self.stored.parts():
            if part.axis:  # in Fortran's order, in which rows come last
                yield filled(self.stored, self.stored.dtype, [None], lambda values: values)[0]
                return
            yield part.values

    def take(self, n: int) -> NDArray[Any]:
        """The next ``n`` rows ``(n, width)``."""
        found, there = [self._left], len(self._left)
        while there < n:
            values = next(self._parts)
            values = values.reshape(len(values), -1)
            if self.stored.dtype == np.uint8:
                values = values / np.float32(BYTE_SCALE)
            found.append(values)
            there += len(values)
        rows = np.concatenate([each for each in found if len(each)])
        self._left = rows[n:]
        return rows[:n]
