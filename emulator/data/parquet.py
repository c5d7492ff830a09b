"""Parquet tables: a row per example, a column ``label`` or ``target``, the rest inputs."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from emulator.data.config import DataConfig
from emulator.data.errors import DataError, Place
from emulator.data.examples import Dataset
from emulator.data.raw import BYTE_SCALE, Raw, assemble

ANSWERS = ("label", "target")
VECTOR = "x"


def load_parquet(config: DataConfig) -> Dataset:
    """The tables of ``data.file`` and, if given, ``data.test_file``."""
    assert config.file is not None  # the config says so
    table = _read("file", config.file)
    train = _raw(table, "file", config.file)
    if config.test_file is None:
        return assemble(config.file.stem, config, train, None)
    test_table = _read("test_file", config.test_file)
    names, test_names = _used(table), _used(test_table)
    if test_names != names:
        raise DataError(
            f"data.test_file must have the columns of data.file ({', '.join(names)}), "
            f"got {', '.join(test_names)}"
        )
    test = _raw(test_table, "test_file", config.test_file)
    return assemble(config.file.stem, config, train, test)


def _read(field: str, path: Path) -> pa.Table:
    if not path.is_file():
        raise DataError(f"data.{field} must be a file, got {path}")
    try:
        # One file read by itself: a folder's name is never taken for a column.
        with pq.ParquetFile(path) as file:
            table = file.read()
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"data.{field} must be a Parquet table, got {path} ({reason})") from None
    names = table.column_names
    if not len(table) or len(names) != len(set(names)):
        raise DataError(
            f"data.{field} must have a row or more and no column name twice, "
            f"got {len(table)} rows of {', '.join(names)} in {path}"
        )
    return table


def _raw(table: pa.Table, field: str, path: Path) -> Raw:
    names = table.column_names
    answers = [name for name in ANSWERS if name in names]
    if len(answers) != 1:
        raise DataError(
            f"data.{field} must have one column label or target, got {', '.join(names)} in {path}"
        )
    answer = answers[0]
    y_place = Place(field, f"{answer} of {path}")
    inputs = [name for name in _used(table) if name != answer]
    if not inputs:
        raise DataError(
            f"data.{field} must have numeric columns or a list {VECTOR}, "
            f"got {', '.join(names)} in {path}"
        )
    x = _inputs(table, inputs, field, path)
    y = _values(table[answer], y_place)
    return Raw(
        x=x,
        y=y if answer == "label" else _columns(y).astype(np.float64),
        x_place=Place(field, f"{', '.join(inputs[:3])}{'...' * (len(inputs) > 3)} of {path}"),
        y_place=y_place,
        full_scale=BYTE_SCALE if inputs == [VECTOR] and x.dtype == np.uint8 else 1.0,
    )


def _used(table: pa.Table) -> list[str]:
    """Names of the columns that are read: answers and inputs, in the table's order."""
    if VECTOR in table.column_names and _is_list(table.schema.field(VECTOR).type):
        return [name for name in table.column_names if name in (VECTOR, *ANSWERS)]
    return [f.name for f in table.schema if f.name in ANSWERS or _is_numeric(f.type)]


def _is_numeric(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _is_list(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _inputs(table: pa.Table, names: list[str], field: str, path: Path) -> NDArray[Any]:
    """Inputs ``(examples, inputs)``."""
    parts = [_columns(_values(table[name], Place(field, f"{name} of {path}"))) for name in names]
    return parts[0] if len(parts) == 1 else np.hstack(parts)


def _columns(values: NDArray[Any]) -> NDArray[Any]:
    return values if values.ndim == 2 else values[:, np.newaxis]


def _values(column: pa.ChunkedArray, place: Place) -> NDArray[Any]:
    """A column of numbers ``(examples,)``, or of lists of equal length ``(examples, length)``."""
    kind = column.type.value_type if _is_list(column.type) else column.type
    if not _is_numeric(kind):
        raise place.refusal("numbers or lists of numbers", column.type)
    flat = pc.list_flatten(column) if _is_list(column.type) else column
    if column.null_count + flat.null_count:
        raise place.refusal("a value in every row", "null")
    if not _is_list(column.type):
        return np.asarray(column.to_numpy())
    lengths = pc.unique(pc.list_value_length(column)).to_pylist()
    if len(lengths) > 1:
        raise place.refusal("lists of equal length", f"lengths {min(lengths)}..{max(lengths)}")
    return np.asarray(flat.to_numpy()).reshape(len(column), *lengths)
