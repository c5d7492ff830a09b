"""Parquet tables: a row per example, a column ``label`` or ``target``, the rest inputs."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from crossmesh.common.errors import DataError
from crossmesh.common.whole_files import is_file
from crossmesh.emulator.data.columns import InputColumn, columns_of, side_by_side
from crossmesh.emulator.data.config import DataConfig
from crossmesh.emulator.data.errors import Place, listed
from crossmesh.emulator.data.examples import Dataset
from crossmesh.emulator.data.raw import Raw, assemble, byte_scale
from crossmesh.emulator.data.stored import Stored, StoredPart, spans

ANSWERS = ("label", "target")
VECTOR = "x"


class _Table(NamedTuple):
    """What a file says of its table.

    Attributes:
        field: Field of the config that leads to it.
        path: The file.
        schema: Names and types of its columns.
        n_rows: Number of its rows.
        n_values: Values of each column, those of lists counted.
    """

    field: str
    path: Path
    schema: pa.Schema
    n_rows: int
    n_values: dict[str, int]

    def place(self, name: str) -> Place:
        """A column, as messages name it."""
        return Place(self.field, f"{name} of {self.path}")

    @contextlib.contextmanager
    def opened(self) -> Iterator[pq.ParquetFile]:
        """The file; what is wrong with it within the block is an error of one line."""
        with _opened(self.field, self.path) as file:
            yield file


def load_parquet(config: DataConfig) -> Dataset:
    """The tables of ``data.file`` and, if given, ``data.test_file``."""
    assert config.file is not None  # the config says so
    table = _table("data.file", config.file)
    train, columns = _raw(table, config), _columns(table, config)
    if config.test_file is None:
        return assemble(config.file.stem, config, train, None, columns)
    test_table = _table("data.test_file", config.test_file)
    names, test_names = _used(table.schema), _used(test_table.schema)
    if test_names != names and not columns:
        raise DataError(
            f"data.test_file must have the columns of data.file ({listed(names)}), "
            f"got {listed(test_names)}"
        )
    return assemble(config.file.stem, config, train, _raw(test_table, config), columns)


def stored_inputs(path: Path, field: str, columns: Sequence[str] | None) -> tuple[Stored, Place]:
    """Inputs of a table, whose answers are not read, and what to call them in messages.

    Args:
        path: The table.
        field: Field or option that leads to it.
        columns: Names of several inputs; None: there is one.
    """
    table = _table(field, path)
    if columns is not None:
        return _rows(table, columns)
    names = [name for name in _used(table.schema) if name not in ANSWERS]
    return _inputs(table, names)


@contextlib.contextmanager
def _opened(field: str, path: Path) -> Iterator[pq.ParquetFile]:
    try:
        # One file read by itself: a folder's name is never taken for a column.
        with pq.ParquetFile(path, pre_buffer=False, page_checksum_verification=True) as file:
            yield file
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # names may be no text
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise DataError(f"{field} must be a Parquet table, got {path} ({reason})") from None


def _table(field: str, path: Path) -> _Table:
    if not is_file(path):
        raise DataError(f"{field} must be a file, got {path}")
    with _opened(field, path) as file:
        schema, n_rows = file.schema_arrow, file.metadata.num_rows
        names, n_values = schema.names, _n_values(file.metadata)
    if n_rows < 1 or len(names) != len(set(names)):
        raise DataError(
            f"{field} must have a row or more and no column name twice, "
            f"got {n_rows} rows of {listed(names)} in {path}"
        )
    return _Table(field, path, schema, n_rows, n_values)


def _n_values(metadata: pq.FileMetaData) -> dict[str, int]:
    """Values of each column by its name."""
    n_values: dict[str, int] = {}
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        for column in map(group.column, range(group.num_columns)):
            name = column.path_in_schema.partition(".")[0]
            n_values[name] = n_values.get(name, 0) + column.num_values
    return n_values


def _raw(table: _Table, config: DataConfig) -> Raw:
    names = table.schema.names
    answers = [name for name in ANSWERS if name in names]
    if len(answers) != 1:
        raise DataError(
            f"{table.field} must have one column label or target, "
            f"got {listed(names)} in {table.path}"
        )
    answer = answers[0]
    inputs = [name for name in _used(table.schema) if name != answer]
    x, place = _inputs(table, inputs) if config.columns is None else _rows(table, config.columns)
    return Raw(
        x=x,
        y=_stored(table, [answer], is_label=answer == "label"),
        x_place=place,
        y_place=table.place(answer),
        full_scale=byte_scale(x, config) if inputs == [VECTOR] and config.columns is None else 1.0,
    )


def _columns(table: _Table, config: DataConfig) -> tuple[InputColumn, ...]:
    """The named inputs in a row, if there are several."""
    return columns_of(_named(table, config.columns)) if config.columns else ()


def _named(table: _Table, columns: Sequence[str]) -> list[tuple[str, Stored]]:
    for name in columns:
        if name not in table.schema.names:
            raise DataError(
                f"{table.field} must have the column {name}, "
                f"got {listed(table.schema.names)} in {table.path}"
            )
    return [(name, _stored(table, [name])) for name in columns]


def _rows(table: _Table, columns: Sequence[str]) -> tuple[Stored, Place]:
    """Several named inputs, one behind the other."""
    place = table.place(", ".join(columns))
    return side_by_side(_named(table, columns), place), place


def _inputs(table: _Table, names: list[str]) -> tuple[Stored, Place]:
    """Columns side by side, and what to call them in messages."""
    if not names:
        raise DataError(
            f"{table.field} must have numeric columns or a list {VECTOR}, "
            f"got {listed(table.schema.names)} in {table.path}"
        )
    shown = f"{', '.join(names[:3])}{'...' * (len(names) > 3)}"
    return _stored(table, names), table.place(shown)


def _used(schema: pa.Schema) -> list[str]:
    """Names of the columns that are read: answers and inputs, in the table's order."""
    if VECTOR in schema.names and _is_list(schema.field(VECTOR).type):
        return [name for name in schema.names if name in (VECTOR, *ANSWERS)]
    return [f.name for f in schema if f.name in ANSWERS or _is_numeric(f.type)]


def _is_numeric(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _is_list(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _stored(table: _Table, names: list[str], *, is_label: bool = False) -> Stored:
    """Columns side by side ``(examples, width)``, or labels ``(examples,)``.

    Values of a column ``target`` are made floating-point.
    """
    widths = [_width(table, name) for name in names]
    kinds = [np.dtype(_value_type(table, name).to_pandas_dtype()) for name in names]
    is_target = not is_label and names[0] in ANSWERS
    dtype = np.dtype(np.float64) if is_target else np.result_type(*kinds)
    shape = (table.n_rows, sum(width or 1 for width in widths))
    is_flat = is_label and widths == [None]

    def parts() -> Iterator[StoredPart]:
        step = next(spans(shape, max(dtype.itemsize, 4)))[1]
        done = 0
        with table.opened() as file:
            for batch in file.iter_batches(step, columns=names, use_threads=False):
                arrays = [_values(batch[name], table.place(name)) for name in names]
                _check_widths(arrays, widths, names, table)
                done += batch.num_rows
                if done > table.n_rows:
                    break
                values = arrays[0] if len(arrays) == 1 else np.hstack(arrays)
                values = values.astype(dtype, copy=False)
                yield StoredPart(0, done - batch.num_rows, values[:, 0] if is_flat else values)
        if done != table.n_rows:
            raise table.place(names[0]).refusal(f"{table.n_rows} rows", done)

    return Stored(shape=shape[:1] if is_flat else shape, dtype=dtype, parts=parts)


def _value_type(table: _Table, name: str) -> pa.DataType:
    kind = table.schema.field(name).type
    value_type = kind.value_type if _is_list(kind) else kind
    if not _is_numeric(value_type):
        raise table.place(name).refusal("numbers or lists of numbers", kind)
    return value_type


def _width(table: _Table, name: str) -> int | None:
    """Values of a row as the file counts them; None if a column holds no lists."""
    if not _is_list(table.schema.field(name).type):
        return None
    return max(1, table.n_values.get(name, 0) // table.n_rows)


def _values(column: pa.Array, place: Place) -> NDArray[Any]:
    """Numbers, or lists of equal length, ``(examples, length)``."""
    is_list = _is_list(column.type)
    flat = pc.list_flatten(column) if is_list else column
    if column.null_count + flat.null_count:
        raise place.refusal("a value in every row", "null")
    values = np.asarray(flat.to_numpy(zero_copy_only=False))
    if not is_list:
        return values[:, np.newaxis]
    lengths = pc.unique(pc.list_value_length(column)).to_pylist()
    if len(lengths) > 1:
        raise place.refusal("lists of equal length", f"lengths {min(lengths)}..{max(lengths)}")
    return values.reshape(len(column), *lengths)


def _check_widths(
    arrays: list[NDArray[Any]], widths: list[int | None], names: list[str], table: _Table
) -> None:
    for array, width, name in zip(arrays, widths, names, strict=True):
        if array.shape[1] != (width or 1):
            low, high = sorted((array.shape[1], width or 1))
            raise table.place(name).refusal("lists of equal length", f"lengths {low}..{high}")
