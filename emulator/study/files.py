"""Files of a study's folder: written aside and renamed."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from crossmesh.common.errors import RunLost


def read_json(path: Path) -> dict[str, Any]:
    """What a JSON file holds; nothing if it cannot be read."""
    try:
        return dict(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError):
        return {}


def write_text(path: Path, text: str) -> None:
    """Write a file as a whole."""
    aside = path.with_name(f".{path.name}.part")
    aside.write_text(text, "utf-8")
    aside.replace(path)


def write_table(path: Path, table: pa.Table) -> None:
    """Write a Parquet file as a whole."""
    aside = path.with_name(f".{path.name}.part")
    pq.write_table(table, aside)
    aside.replace(path)


@contextlib.contextmanager
def writing(directory: Path) -> Iterator[None]:
    """Report failures to write in one line."""
    try:
        yield
    except OSError as error:
        reason = f"{directory} cannot be written: {error.strerror or error}"
        raise RunLost(f"{reason}; run the same command again to resume") from None
