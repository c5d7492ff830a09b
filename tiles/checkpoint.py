"""A tile's state on disk: one Arrow file per tile, so that no packing of tiles shows in it."""

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def file_name(tile: int) -> str:
    """Name of a tile's file in a checkpoint."""
    return f"tile-{tile:06d}.arrow"


def save_state(path: Path, state: dict[str, NDArray[np.float32]]) -> None:
    """Write arrays of one shape ``(rows, cols)`` as columns of a file, through to the disk."""
    shapes = {array.shape for array in state.values()}
    assert len(shapes) == 1, shapes
    rows, cols = shapes.pop()
    table = pa.table(
        {name: array.ravel() for name, array in state.items()},
    ).replace_schema_metadata({"rows": str(rows), "cols": str(cols)})
    with path.open("wb") as sink:
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        sink.flush()
        os.fsync(sink.fileno())


def load_state(path: Path) -> dict[str, NDArray[np.float32]]:
    """Read what ``save_state`` wrote.

    Raises:
        ValueError: If the file is not such a file.
    """
    try:
        with pa.memory_map(str(path)) as source:
            table = pa.ipc.open_file(source).read_all()
            metadata = table.schema.metadata or {}
            shape = (int(metadata[b"rows"]), int(metadata[b"cols"]))
            return {
                name: table.column(name).to_numpy().reshape(shape).astype(np.float32)
                for name in table.column_names
            }
    except (pa.ArrowInvalid, KeyError, OSError) as error:
        raise ValueError(f"{path} must be a tile's state: {error}") from None
