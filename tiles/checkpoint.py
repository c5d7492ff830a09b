"""A tile's state on disk: one Arrow file per tile, so that no packing of tiles shows in it."""

import hashlib
from typing import Any

import numpy as np
import pyarrow as pa

from tiles.array import State
from tiles.storage import Storage

_SCHEMA = pa.schema(
    [("name", pa.string()), ("type", pa.string()), ("shape", pa.list_(pa.int64())),
     ("values", pa.large_binary())]
)  # fmt: skip
_TYPES = {np.dtype(t).str: np.dtype(t) for t in (np.float32, np.int64)}


class Damaged(ValueError):  # noqa: N818  because it names what happened
    """A file is not what was written; the message says which and why."""


def file_name(tile: int) -> str:
    """Name of a tile's file in a checkpoint."""
    return f"tile-{tile:06d}.arrow"


def save_state(folder: Storage, name: str, state: State) -> str:
    """Write arrays as rows of a file, through to the disk, and give the file's sha256."""
    arrays = {name: np.ascontiguousarray(array) for name, array in state.items()}
    values = [pa.py_buffer(array.reshape(-1).view(np.uint8)) for array in arrays.values()]
    offsets = np.cumsum([0, *(buffer.size for buffer in values)], dtype=np.int64)
    joined = pa.py_buffer(b"".join(values)) if len(values) != 1 else values[0]
    columns = [
        pa.array(list(arrays), pa.string()),
        pa.array([array.dtype.str for array in arrays.values()], pa.string()),
        pa.array([list(array.shape) for array in arrays.values()], pa.list_(pa.int64())),
        pa.LargeBinaryArray.from_buffers(
            pa.large_binary(), len(arrays), [None, pa.py_buffer(offsets), joined]
        ),
    ]
    table = pa.Table.from_arrays(columns, schema=_SCHEMA)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, _SCHEMA) as writer:
        writer.write_table(table)
    body = sink.getvalue()
    folder.write(name, body)
    return sha256(body)


def load_state(folder: Storage, name: str, digest: str) -> State:
    """Read what ``save_state`` wrote.

    Args:
        folder: Where the file is.
        name: Its name.
        digest: Its sha256.

    Raises:
        Damaged: If the file is not the one that was written.
    """
    try:
        body = folder.read(name)
    except OSError as error:
        raise Damaged(f"{name} cannot be read: {error.strerror or error}") from None
    if sha256(body) != digest:
        raise Damaged(f"{name} does not have the checksum that was written")
    rows = pa.ipc.open_file(pa.BufferReader(body)).read_all()
    names, types, shapes = (rows[column].to_pylist() for column in ("name", "type", "shape"))
    arrays = (
        np.frombuffer(values.as_buffer(), _TYPES[kind]).reshape(shape)
        for kind, shape, values in zip(types, shapes, rows["values"], strict=True)
    )
    return dict(zip(names, arrays, strict=True))


def sha256(body: Any) -> str:
    """sha256 of bytes, in hexadecimal digits."""
    return hashlib.sha256(body).hexdigest()
