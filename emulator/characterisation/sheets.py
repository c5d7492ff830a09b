"""Sheets of cells: CSV, Excel and Parquet files, bounded before they are read."""

import csv
import re
import zipfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from python_calamine import CalamineError, CalamineWorkbook

from crossmesh.common.errors import ConfigError
from crossmesh.common.whole_files import read_whole
from crossmesh.emulator.characterisation.cells import (
    Row,
    decoded,
    delimiter_of,
    is_number,
    number_of,
    read_text,
)
from crossmesh.emulator.characterisation.headers import find_table
from crossmesh.emulator.characterisation.names import is_role
from crossmesh.emulator.characterisation.signatures import other_kind
from crossmesh.emulator.characterisation.units import split_unit, unit_of

MOST_BYTES, MOST_CELLS = 32 << 20, 4_000_000  # of a file; as Python's texts they take 300 MB
_MOST_LETTERS = 100  # of a name or a value
_KINDS = "CSV, Excel or Parquet file"
_BOOKS = {".xlsx", ".xlsm", ".xlsb", ".xls", ".ods"}
OVERFLOW = 9.9e37  # what analysers write for a reading out of range
_READ_V = re.compile(r"v[\s_.]*read|read[\s_.]*(?:voltage|bias|v\b)", re.I)


class Sheet(NamedTuple):
    """Columns of a file.

    Attributes:
        path: The file.
        names: Names of the columns, or none.
        columns: Cells; text in a CSV file.
        rows: Names of the rows, for errors.
        decimal: Decimal sign of the texts.
        notes: Cells of each line above the table, and of comments.
    """

    path: Path
    names: list[str]
    columns: list[Sequence[Any]]
    rows: list[str]
    decimal: str = "."
    notes: Sequence[Sequence[Any]] = ()

    def number(self, cell: Any, row: int, name: str) -> float:
        """The number in a cell."""
        value = number_of(cell, self.decimal)
        if value is None:
            raise self.refusal(row, name, "be a number", cell)
        if not abs(value) < OVERFLOW:
            rule = (
                f"be below {OVERFLOW:g}, an instrument's overflow"
                if np.isfinite(value)
                else "be finite"
            )
            raise self.refusal(row, name, rule, cell)
        return value

    def numbers(self, cells: Sequence[Any], name: str, first: int = 0) -> NDArray[np.float64]:
        """The numbers of a column, whose first cell stands in row ``first``."""
        try:
            values = np.array([float(cell) for cell in cells])
        except (TypeError, ValueError):
            values = np.array([np.nan])
        if self.decimal == "." and len(values) == len(cells) and (abs(values) < OVERFLOW).all():
            return values
        return np.array([self.number(cell, first + k, name) for k, cell in enumerate(cells)])

    def refusal(self, row: int, name: str, rule: str, cell: Any) -> ConfigError:
        """The error that names a cell."""
        got = "nothing" if cell in {"", None} else short(repr(cell))
        return ConfigError(f"{self.path} {self.rows[row]} column {name} must {rule}, got {got}")

    @property
    def read_voltage(self) -> float | None:
        """The voltage of reading that the lines above the table tell."""
        for note in self.notes:
            texts = [str(cell) for cell in note]
            for k, text in enumerate(texts):
                if found := _READ_V.search(text):
                    volts = self._voltage([text[found.start() :], *texts[k + 1 :]])
                    if volts:
                        return abs(volts)
        return None

    def _voltage(self, texts: Sequence[str]) -> float | None:
        """Volts behind a name: ``Vread = 0.1 V, ...``, or in the next cell."""
        name, *behind = re.split("[:=]", texts[0], maxsplit=1)
        cells = [*(re.split(r"[,;]\s", text)[0] for text in behind), *texts[1:]]
        for k, cell in enumerate(cells):
            if value := number_of(cell.strip(), self.decimal):
                unit = split_unit(name)[1] or unit_of(" ".join(cells[k + 1 : k + 2]))
                is_bare = not re.search(r"[^\W\d_]\s*$", cell)
                return value * unit.scale if unit and is_bare else value
        return None


def read_sheet(path: Path) -> Sheet:
    """Read a file.

    Raises:
        ConfigError: With one line that names the file, the rule and the value.
    """
    kinds = {".parquet": _parquet} | dict.fromkeys(_BOOKS, _book)
    try:
        sheet = kinds.get(path.suffix.lower(), _csv)(path)
    except UnicodeError:
        raise ConfigError(f"{path} must be a {_KINDS}, got bytes that are no text") from None
    except (OSError, csv.Error, pa.ArrowException, CalamineError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{path} must be a readable {_KINDS}: {short(str(reason))}") from None
    if not sheet.rows:
        raise ConfigError(f"{path} must hold readings, got none")
    return sheet


def _csv(path: Path) -> Sheet:
    body = read_whole(path, MOST_BYTES)
    if body is None:
        rule = f"must be at most {MOST_BYTES >> 20} MiB of CSV"
        raise ConfigError(f"{path} {rule}, got more; split its devices over several files")
    _check_kind(path, body, is_text=True)
    text = decoded(body).replace("\x00", "")
    n_lines = text.count("\n") + text.count("\r") - text.count("\r\n")
    first, _, _ = text.partition("\n")
    _check_cells(path, text.count(delimiter_of(first[: 10**4] or ",")) + n_lines)
    found = read_text(text)
    notes = [[comment] for _, comment in found.comments]
    rows = _with_head(found.rows, found.comments, found.delimiter)
    return _laid_out(path, rows, "line", found.decimal, notes)


def _check_kind(path: Path, body: bytes, *, is_text: bool) -> None:
    if kind := other_kind(body, is_text=is_text):
        raise ConfigError(f"{path} must be a {_KINDS}, got {kind}")


def _with_head(rows: list[Row], comments: list[tuple[int, str]], delimiter: str) -> list[Row]:
    """The rows below a comment that holds the names of their columns, as NumPy writes them."""
    for number, comment in reversed(comments):
        cells = [cell.strip() for cell in comment.split(None if delimiter == " " else delimiter)]
        is_above = rows and number < rows[0][0] and len(cells) == len(rows[0][1])
        if is_above and any(map(is_role, cells)) and not any(map(is_number, cells)):
            return [(number, cells), *rows]
    return rows


def _laid_out(
    path: Path, rows: list[Row], row_name: str, decimal: str, notes: list[list[Any]]
) -> Sheet:
    table = find_table(path, rows, decimal)
    columns: list[Sequence[Any]] = list(zip(*(row for _, row in table.body), strict=True))
    names = [f"{row_name} {number}" for number, _ in table.body]
    above = [row for _, row in table.preamble]
    return Sheet(path, table.names, columns, names, decimal, [*above, *notes])


def _check_cells(path: Path, cells: int) -> None:
    if cells > MOST_CELLS:
        rule = f"must have at most {MOST_CELLS:,} cells"
        raise ConfigError(f"{path} {rule}, got {cells:,}; split its devices over several files")


def _book(path: Path) -> Sheet:
    """The sheet of a workbook that holds most numbers."""
    body = read_whole(path, MOST_BYTES)
    unpacked = len(body or b"")
    if body is not None and zipfile.is_zipfile(BytesIO(body)):
        with zipfile.ZipFile(BytesIO(body)) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
    if body is None or unpacked > 8 * MOST_BYTES:
        rule = f"must be at most {MOST_BYTES >> 20} MiB, and {MOST_BYTES >> 17} MiB unpacked"
        raise ConfigError(f"{path} {rule}, got more; split its devices over several files")
    _check_kind(path, body, is_text=False)
    with CalamineWorkbook.from_filelike(BytesIO(body)) as book:
        grids = [book.get_sheet_by_name(name).to_python() for name in book.sheet_names]
    grid = max(grids, key=lambda g: sum(is_number(cell) for row in g for cell in row), default=[])
    _check_cells(path, sum(map(len, grid)))
    rows = [(k, list(row)) for k, row in enumerate(grid, 1) if any(cell != "" for cell in row)]
    return _laid_out(path, _trimmed(rows), "row", ".", [])


def _trimmed(rows: list[Row]) -> list[Row]:
    """Rows without the columns that are empty at the left, and without cells behind their last."""
    left = min((next(k for k, cell in enumerate(row) if cell != "") for _, row in rows), default=0)
    width = max((len(row) for _, row in rows), default=0)
    used = max((k for _, row in rows for k in range(width) if row[k : k + 1] not in ([], [""])),
               default=0)  # fmt: skip
    return [(number, row[left : used + 1]) for number, row in rows]


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
    names = [name.strip() for name in table.column_names]
    columns: list[Sequence[Any]] = [_cells(column) for column in table.columns]
    return Sheet(path, names, columns, [f"row {k + 1}" for k in range(table.num_rows)])


def _is_number_type(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _is_flat(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    texts = (pa.types.is_string, pa.types.is_large_string, pa.types.is_null, pa.types.is_temporal)
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


def listed(names: Sequence[str]) -> str:
    """The first of some names."""
    shown = ", ".join(map(short, names[:6])) or "no names"
    return shown + (", ..." if len(names) > 6 else "")


def short(text: str) -> str:
    """A text of bounded length."""
    return text if len(text) <= _MOST_LETTERS else f"{text[:_MOST_LETTERS]}..."
