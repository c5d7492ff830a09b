"""Sheets of cells: CSV and Parquet files, bounded before they are read."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from crossmesh.common.errors import ConfigError
from crossmesh.common.whole_files import read_whole

MOST_BYTES, MOST_CELLS = 32 << 20, 4_000_000  # of a file; as Python's texts they take 300 MB
_MOST_LETTERS = 100  # of a name or a value


class Sheet(NamedTuple):
    """Columns of a file.

    Attributes:
        path: The file.
        names: Names of the columns in lower case, or none.
        columns: Cells; text in a CSV file.
        rows: Names of the rows, for errors.
    """

    path: Path
    names: list[str]
    columns: list[Sequence[Any]]
    rows: list[str]

    def column(self, name: str) -> Sequence[Any]:
        """The cells of a column."""
        if name not in self.names:
            raise ConfigError(f"{self.path} must have a column {name}, got {listed(self.names)}")
        return self.columns[self.names.index(name)]

    def number(self, cell: Any, row: int, name: str) -> float:
        """The number in a cell."""
        try:
            value = float(cell)
        except (TypeError, ValueError):
            raise self.refusal(row, name, "be a number", cell) from None
        if not np.isfinite(value):
            raise self.refusal(row, name, "be finite", cell)
        return value

    def refusal(self, row: int, name: str, rule: str, cell: Any) -> ConfigError:
        """The error that names a cell."""
        got = "nothing" if cell in {"", None} else short(repr(cell))
        return ConfigError(f"{self.path} {self.rows[row]} column {name} must {rule}, got {got}")


def read_sheet(path: Path) -> Sheet:
    """Read a file.

    Raises:
        ConfigError: With one line that names the file, the rule and the value.
    """
    try:
        sheet = _parquet(path) if path.suffix == ".parquet" else _csv(path)
    except (OSError, UnicodeDecodeError, csv.Error, pa.ArrowException) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{path} must be a readable CSV or Parquet file: {reason}") from None
    if not sheet.rows:
        raise ConfigError(f"{path} must hold readings, got none")
    return sheet


def _csv(path: Path) -> Sheet:
    body = read_whole(path, MOST_BYTES)
    if body is None:
        rule = f"must be at most {MOST_BYTES >> 20} MiB of CSV"
        raise ConfigError(f"{path} {rule}, got more; split its devices over several files")
    text = io.StringIO(body.decode("utf-8-sig"), newline="")
    delimiter = max(",;\t", key=text.readline().count)
    n_lines = body.count(b"\n") + body.count(b"\r") - body.count(b"\r\n")
    _check_cells(path, body.count(delimiter.encode()) + n_lines)
    text.seek(0)
    reader = csv.reader(text, delimiter=delimiter, skipinitialspace=True)
    lines = [(reader.line_num, row) for row in reader if row and row[0][:1] != "#"]
    names: list[str] = []
    if lines and not any(_is_number(cell) for cell in lines[0][1]):
        names = [cell.strip().lower() for cell in lines.pop(0)[1]]
    width = len(names) or len(lines[0][1]) if lines else 0
    for number, row in lines:
        if len(row) != width:
            raise ConfigError(f"{path} line {number} must have {width} columns, got {len(row)}")
    columns: list[Sequence[Any]] = list(zip(*(row for _, row in lines), strict=True))
    return Sheet(path, names, columns, [f"line {number}" for number, _ in lines])


def _check_cells(path: Path, cells: int) -> None:
    if cells > MOST_CELLS:
        rule = f"must have at most {MOST_CELLS:,} cells"
        raise ConfigError(f"{path} {rule}, got {cells:,}; split its devices over several files")


def _parquet(path: Path) -> Sheet:
    read_whole(path, 0)  # refuses what is no file
    with pq.ParquetFile(path) as file:
        heads, schema = file.metadata, file.schema_arrow
        _check_cells(path, heads.num_rows * heads.num_columns)
        for field in schema:
            if not _is_flat(field.type):
                raise ConfigError(
                    f"{path} column {short(field.name)} must hold numbers or text, "
                    f"got {short(str(field.type))}"
                )
        unpacked = sum(heads.row_group(k).total_byte_size for k in range(heads.num_row_groups))
        if unpacked > MOST_BYTES:
            rule = f"must be at most {MOST_BYTES >> 20} MiB when unpacked"
            raise ConfigError(f"{path} {rule}, got {unpacked:,} bytes")
    texts = [field.name for field in schema if not _is_number_type(field.type)]
    table = pq.read_table(path, read_dictionary=texts, partitioning=None)
    names = [name.strip().lower() for name in table.column_names]
    columns: list[Sequence[Any]] = [_cells(column) for column in table.columns]
    return Sheet(path, names, columns, [f"row {k + 1}" for k in range(table.num_rows)])


def _is_number_type(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _is_flat(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    texts = (pa.types.is_string, pa.types.is_large_string, pa.types.is_null)
    return _is_number_type(kind) or any(is_text(kind) for is_text in texts)


def _cells(column: pa.ChunkedArray) -> list[Any]:
    """The cells of a column; equal texts are one object."""
    if not pa.types.is_dictionary(column.type):
        return list(column.to_pylist())
    cells: list[Any] = []
    for chunk in column.chunks:
        words = [*chunk.dictionary.to_pylist(), None]
        cells += [words[-1 if k is None else k] for k in chunk.indices.to_pylist()]
    return cells


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def listed(names: Sequence[str]) -> str:
    """The first of some names."""
    shown = ", ".join(map(short, names[:6])) or "no names"
    return shown + (", ..." if len(names) > 6 else "")


def short(text: str) -> str:
    """A text of bounded length."""
    return text if len(text) <= _MOST_LETTERS else f"{text[:_MOST_LETTERS]}..."
