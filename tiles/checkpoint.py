"""A tile's state on disk: one Arrow file per tile, so that no packing of tiles shows in it."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tiles.array import State

_SCHEMA = pa.schema(
    [("name", pa.string()), ("type", pa.string()), ("shape", pa.list_(pa.int64())),
     ("values", pa.large_binary())]
)  # fmt: skip
_TYPES = {np.dtype(t).str: np.dtype(t) for t in (np.float32, np.int64)}


def file_name(tile: int) -> str:
    """Name of a tile's file in a checkpoint."""
    return f"tile-{tile:06d}.arrow"


def save_state(path: Path, state: State) -> None:
    """Write arrays as rows of a file, through to the disk."""
    arrays = {name: np.ascontiguousarray(array) for name, array in state.items()}
    table = pa.table(
        {
            "name": list(arrays),
            "type": [array.dtype.str for array in arrays.values()],
            "shape": [list(array.shape) for array in arrays.values()],
            "values": [array.tobytes() for array in arrays.values()],
        },
        schema=_SCHEMA,
    )
    with path.open("wb") as sink:
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        sink.flush()
        os.fsync(sink.fileno())


def load_state(path: Path) -> State:
    """Read what ``save_state`` wrote.

    Raises:
        ValueError: If the file is not such a file.
    """
    try:
        with pa.memory_map(str(path)) as source:
            rows = pa.ipc.open_file(source).read_all().to_pylist()
            return {row["name"]: _array(row) for row in rows}
    except (pa.ArrowInvalid, KeyError, OSError, ValueError) as error:
        raise ValueError(f"{path} must be a tile's state: {error}") from None


def _array(row: dict[str, Any]) -> NDArray[np.generic]:
    return np.frombuffer(row["values"], _TYPES[row["type"]]).reshape(row["shape"])
