"""A tile's state on disk: one Arrow file per tile, so that no packing of tiles shows in it."""

import hashlib
import socket
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from crossmesh.common.storage import NotShared, Storage
from crossmesh.tiles.analog.array import State

_SCHEMA = pa.schema(
    [("name", pa.string()), ("type", pa.string()), ("shape", pa.list_(pa.int64())),
     ("values", pa.large_binary())]
)  # fmt: skip
_TYPES = {np.dtype(t).str: np.dtype(t) for t in (np.float32, np.int64)}

_MAGIC = b"ARROW1\0\0"  # and what fills it up to eight bytes
_INT, _SHORT = struct.Struct("<i"), struct.Struct("<H")  # of a flatbuffer

# What pyarrow and NumPy say of a file that is no such one.
_BROKEN = (
    pa.ArrowException, OSError, ValueError, KeyError, TypeError, OverflowError, MemoryError,
    struct.error,
)  # fmt: skip


class Damaged(ValueError):  # noqa: N818  because it names what happened
    """A file is not what was written; the message says which and why."""


class Misfit(Damaged):
    """A file holds other arrays than its tile has."""


def check_arrays(name: str, found: State, wanted: State) -> None:
    """Refuse a state whose arrays are not those of its tile.

    Raises:
        Misfit: If names or shapes differ.
    """
    there, here = ({k: a.shape for k, a in state.items()} for state in (found, wanted))
    for array in sorted(there.keys() | here.keys()):
        if there.get(array) != here.get(array):
            raise Misfit(
                f"{name} has {array} {there.get(array, 'nowhere')}, its tile "
                f"{here.get(array, 'nowhere')}"
            )


def check_there(folder: Storage) -> None:
    """Refuse a folder that this machine does not see.

    Raises:
        NotShared: If that is so.
    """
    if not folder.is_there:
        raise NotShared(
            f"checkpoint.storage must be a folder that all nodes share, got {folder}, which is "
            f"not there on {socket.gethostname()}"
        )


def file_name(tile: int) -> str:
    """Name of a tile's file in a checkpoint."""
    return f"tile-{tile:06d}.arrow"


def save_state(folder: Storage, name: str, state: State) -> str:
    """Write arrays as rows of a file, through to the disk, and give the file's sha256.

    Raises:
        NotWritten: If there is no room, or no permission.
    """
    with folder.writing(name) as stream:
        sink = _Hashed(stream)
        with pa.ipc.new_file(pa.PythonFile(sink, "w"), _SCHEMA) as writer:
            for array_name, array in state.items():
                writer.write_batch(_row(array_name, np.ascontiguousarray(array)))
    return sink.digest.hexdigest()


def _row(name: str, array: NDArray[np.generic]) -> Any:
    """A record batch of one row, whose values are the array's own bytes."""
    offsets = np.array([0, array.nbytes], np.int64)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(array.reshape(-1).view(np.uint8))]
    return pa.record_batch(
        [
            pa.array([name], pa.string()),
            pa.array([array.dtype.str], pa.string()),
            pa.array([list(array.shape)], pa.list_(pa.int64())),
            pa.LargeBinaryArray.from_buffers(pa.large_binary(), 1, buffers),
        ],
        schema=_SCHEMA,
    )


class _Hashed:
    """A stream that knows the sha256 of what has gone through it."""

    closed = False

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.digest = hashlib.sha256()

    def write(self, part: Any) -> None:
        self.digest.update(part)
        self._stream.write(part)

    def flush(self) -> None:
        """Left to the opener of the stream."""


def load_state(folder: Storage, name: str, digest: str) -> State:
    """Read what ``save_state`` wrote.

    Args:
        folder: Where the file is.
        name: Its name.
        digest: Its sha256.

    Raises:
        Damaged: If the file is not the one that was written.
        NotRead: If it cannot be read just now.
    """
    try:
        body = folder.read(name)
    except FileNotFoundError:
        raise Damaged(f"{name} is missing") from None
    if hashlib.sha256(body).hexdigest() != digest:
        raise Damaged(f"{name} does not have the checksum that was written")
    try:
        return _arrays(body)
    except _BROKEN as error:
        reason = " ".join(str(error).split())[:200]
        raise Damaged(f"{name} does not hold the arrays of a tile ({reason})") from None


def _arrays(body: pa.Buffer) -> State:
    """The arrays in a file, of which nothing is used before all of it is checked."""
    arrays: State = {}
    for rows in _batches(body):
        rows.validate(full=True)  # else offsets that lie would be followed
        if any(column.null_count for column in rows):
            raise ValueError("a value is missing")
        columns = (rows[name].to_pylist() for name in ("name", "type", "shape"))
        for name, kind, shape, values in zip(*columns, rows["values"], strict=True):
            if name in arrays or min(shape, default=0) < 0:
                raise ValueError(f"{name} is there twice or has no shape")
            arrays[name] = np.frombuffer(values.as_buffer(), _TYPES[kind]).reshape(shape)
    return arrays


def _batches(body: pa.Buffer) -> Iterator[Any]:
    """The record batches, which take no memory of their own: none is compressed.

    Read as the stream that an Arrow file is behind its first bytes, for only so can the head of a
    message be seen before the message is unpacked.
    """
    if body[: len(_MAGIC)] != _MAGIC:
        raise ValueError("it is no Arrow file")
    messages = iter(pa.ipc.MessageReader.open_stream(pa.BufferReader(body.slice(len(_MAGIC)))))
    schema = pa.ipc.read_schema(next(messages, None))
    if not schema.equals(_SCHEMA):
        raise ValueError("its columns differ")
    for message in messages:
        if message.type != "record batch":
            raise ValueError(f"it has a {message.type}")
        if _is_compressed(message.metadata.to_pybytes()):
            raise ValueError("it is compressed, which no tile's file is")
        yield pa.ipc.read_record_batch(message, schema)


def _is_compressed(head: bytes) -> bool:
    """Whether the head of a record batch names a compression.

    It is a flatbuffer, checked by Arrow: field 2 of a ``Message`` is its ``RecordBatch``, field 3
    of that its ``BodyCompression``. Source: Message.fbs of the Arrow format.
    """

    def field(table: int, number: int) -> int:
        """Where a field of a table lies; 0 if it is not there."""
        fields = table - _INT.unpack_from(head, table)[0]
        n_bytes = _SHORT.unpack_from(head, fields)[0]
        at = 4 + 2 * number
        offset = _SHORT.unpack_from(head, fields + at)[0] if at < n_bytes else 0
        return table + offset if offset else 0

    where = field(_INT.unpack_from(head, 0)[0], 2)
    return field(where + _INT.unpack_from(head, where)[0], 3) != 0
