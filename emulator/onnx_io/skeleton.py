"""ONNX files without the numbers of their weights, which stay where they lie until they are read.

A model of Protocol Buffers is fields one after the other, each a number, a type and a value; of
these, only the way to the raw data of weights is followed here (``ModelProto.graph.initializer``).
Source: https://protobuf.dev/programming-guides/encoding, and onnx.proto for numbers of fields.
"""

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from crossmesh.emulator.onnx_io.values import Array

GRAPH, INITIALIZER, RAW_DATA = 7, 5, 9  # of a model, of its graph, of a tensor
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # types of fields
LEAST = 4096  # bytes of a tensor that stays in its file


class Stretch(NamedTuple):
    """Where the numbers of a tensor lie.

    Attributes:
        file: The file.
        start: First byte.
        n_bytes: How many; -1: up to the end of the file.
    """

    file: Path
    start: int
    n_bytes: int

    def read(self, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
        """The numbers.

        Raises:
            ValueError: If there are fewer or more.
        """
        count = int(np.prod(shape, dtype=np.int64))
        there = self.n_bytes if self.n_bytes >= 0 else self.file.stat().st_size - self.start
        if there < count * dtype.itemsize or (self.n_bytes >= 0 and there > count * dtype.itemsize):
            raise ValueError(f"{there} bytes for {count} numbers of {dtype}")
        little = dtype.newbyteorder("<")
        array = np.fromfile(self.file, little, count, offset=self.start)
        if array.size != count:
            raise ValueError(f"{array.size} numbers where {count} should be")
        return array.astype(dtype, copy=False).reshape(shape)


def without_weights(path: Path) -> tuple[bytes, dict[int, Stretch]]:
    """A model without the raw data of large weights, and where these lie by number of the weight.

    Raises:
        ValueError: If it is no such file.
    """
    with path.open("rb") as file:
        if path.stat().st_size == 0:
            raise ValueError("an empty file")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            model = bytearray()
            stretches: dict[int, Stretch] = {}
            for number, kind, start, value, stop in _fields(data, 0, len(data)):
                if number == GRAPH and kind == BYTES:
                    graph, found = _graph(data, value, stop, path)
                    stretches |= found
                    model += _key(GRAPH) + _varint(len(graph)) + graph
                else:
                    model += data[start:stop]
            return bytes(model), stretches


def _graph(data: mmap.mmap, start: int, stop: int, path: Path) -> tuple[bytes, dict[int, Stretch]]:
    graph = bytearray()
    stretches: dict[int, Stretch] = {}
    count = 0
    for number, kind, first, value, last in _fields(data, start, stop):
        if number != INITIALIZER or kind != BYTES:
            graph += data[first:last]
            continue
        tensor = bytearray()
        for part, of_kind, begin, inner, end in _fields(data, value, last):
            if part == RAW_DATA and of_kind == BYTES and end - inner >= LEAST:
                stretches[count] = Stretch(path, inner, end - inner)
            else:
                tensor += data[begin:end]
        graph += _key(INITIALIZER) + _varint(len(tensor)) + tensor
        count += 1
    return bytes(graph), stretches


def _fields(data: mmap.mmap, start: int, stop: int) -> Iterator[tuple[int, int, int, int, int]]:
    """Number, type, first byte, first byte of the value, and end of each field."""
    at = start
    while at < stop:
        key, value = _number(data, at, stop)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            end = _number(data, value, stop)[1]
        elif kind == BYTES:
            length, value = _number(data, value, stop)
            end = value + length
        elif kind in {FIXED32, FIXED64}:
            end = value + (4 if kind == FIXED32 else 8)
        else:
            raise ValueError(f"a field of type {kind}")
        if end > stop:
            raise ValueError("a field that is longer than the file")
        yield number, kind, at, value, end
        at = end


def _number(data: mmap.mmap, at: int, stop: int) -> tuple[int, int]:
    """A number of variable length, and where it ends."""
    result = shift = 0
    while at < stop and shift < 70:
        byte = data[at]
        result |= (byte & 127) << shift
        at += 1
        if byte < 128:
            return result, at
        shift += 7
    raise ValueError("a number that does not end")


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])


def _key(number: int) -> bytes:
    return _varint(number << 3 | BYTES)
