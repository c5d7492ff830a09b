"""Tables of measured pulse responses, in CSV or Parquet, as they come from a laboratory."""

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from emulator.errors import ConfigError
from emulator.reading import read_whole

Array = NDArray[np.float64]

FEWEST, MOST = 10, 10_000  # pulses of a device in one direction
MOST_BYTES, MOST_CELLS = 32 << 20, 4_000_000  # of a file; as Python's texts they take 300 MB
_MOST_PULSE = 10**9  # the number of a pulse
_MOST_LETTERS = 100  # of a name or a value
_LONG = ("device", "direction", "pulse", "conductance")
_SHAPES = (
    f"columns {', '.join(_LONG)}, or up_NAME and down_NAME for each device, "
    "or two columns without names (up, down)"
)


class Measurement(NamedTuple):
    """Conductances after pulses, in the unit of the file; NaN where there is no reading.

    Attributes:
        names: Of the devices.
        up: ``(devices, cycles, pulses)`` after each of a row of up pulses.
        down: ``(devices, cycles, pulses)`` after each of a row of down pulses.
    """

    names: list[str]
    up: Array
    down: Array


class _Sheet(NamedTuple):
    """Columns of a file.

    Attributes:
        path: The file.
        names: Of the columns in small letters, or none.
        columns: Cells; text in a CSV file.
        rows: What each row is called.
    """

    path: Path
    names: list[str]
    columns: list[Sequence[Any]]
    rows: list[str]

    def column(self, name: str) -> Sequence[Any]:
        """The cells of a column."""
        if name not in self.names:
            raise ConfigError(f"{self.path} must have a column {name}, got {_listed(self.names)}")
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

    def refusal(self, row: int, name: str, law: str, cell: Any) -> ConfigError:
        """The error that names a cell."""
        got = "nothing" if cell in {"", None} else _short(repr(cell))
        return ConfigError(f"{self.path} {self.rows[row]} column {name} must {law}, got {got}")


def read_measurement(path: Path) -> Measurement:
    """Read a measurement.

    Raises:
        ConfigError: With one line that names the file, the place in it, the law and the value.
    """
    try:
        sheet = _parquet(path) if path.suffix == ".parquet" else _csv(path)
    except (OSError, UnicodeDecodeError, csv.Error, pa.ArrowException) as error:
        told = getattr(error, "strerror", None) or error
        raise ConfigError(f"{path} must be a readable CSV or Parquet file: {told}") from None
    if not sheet.rows:
        raise ConfigError(f"{path} must hold readings, got none")
    if "direction" in sheet.names:
        return _from_long(sheet)
    return _from_wide(sheet)


def _csv(path: Path) -> _Sheet:
    body = read_whole(path, MOST_BYTES)
    if body is None:
        law = f"must be at most {MOST_BYTES >> 20} MiB of CSV"
        raise ConfigError(f"{path} {law}, got more; its devices fit in several files")
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
    return _Sheet(path, names, columns, [f"line {number}" for number, _ in lines])


def _check_cells(path: Path, cells: int) -> None:
    if cells > MOST_CELLS:
        law = f"must have at most {MOST_CELLS:,} cells"
        raise ConfigError(f"{path} {law}, got {cells:,}; its devices fit in several files")


def _check_grid(path: Path, devices: int, cycles: int, pulses: int) -> None:
    """Refuse what no file of as many cells could hold without gaps, before it is laid out."""
    if devices * cycles * pulses > MOST_CELLS // len(_LONG):
        law = f"must have at most {MOST_CELLS // len(_LONG):,} devices x cycles x pulses"
        got = f"{devices:,} x {cycles:,} x {pulses:,}"
        raise ConfigError(f"{path} {law} in a direction, got {got}")


def _parquet(path: Path) -> _Sheet:
    read_whole(path, 0)  # refuses what is no file
    with pq.ParquetFile(path) as file:
        heads, schema = file.metadata, file.schema_arrow
        _check_cells(path, heads.num_rows * heads.num_columns)
        for field in schema:
            if not _is_flat(field.type):
                raise ConfigError(
                    f"{path} column {_short(field.name)} must hold numbers or text, "
                    f"got {_short(str(field.type))}"
                )
        unpacked = sum(heads.row_group(k).total_byte_size for k in range(heads.num_row_groups))
        if unpacked > MOST_BYTES:
            law = f"must be at most {MOST_BYTES >> 20} MiB when unpacked"
            raise ConfigError(f"{path} {law}, got {unpacked:,} bytes")
    texts = [field.name for field in schema if not _is_number_type(field.type)]
    table = pq.read_table(path, read_dictionary=texts, partitioning=None)
    names = [name.strip().lower() for name in table.column_names]
    columns: list[Sequence[Any]] = [_cells(column) for column in table.columns]
    return _Sheet(path, names, columns, [f"row {k + 1}" for k in range(table.num_rows)])


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


def _from_wide(sheet: _Sheet) -> Measurement:
    """Two columns per device; a column may end before others."""
    names = sheet.names or ["up", "down"]
    if len(names) != len(sheet.columns):
        raise ConfigError(
            f"{sheet.path} without names of columns must have two (up, down), "
            f"got {len(sheet.columns)}"
        )
    parts = [re.fullmatch(r"(up|down)(?:[_ -](.+))?", name) for name in names]
    if not all(parts):
        raise ConfigError(f"{sheet.path} must have {_SHAPES}, got {_listed(names)}")
    devices = dict.fromkeys(part[2] or "1" for part in parts if part)
    found = {(part[1], part[2] or "1"): k for k, part in enumerate(parts) if part}
    readings: dict[str, list[list[Array]]] = {"up": [], "down": []}
    for device in devices:
        for direction, rows in readings.items():
            if (direction, device) not in found:
                raise ConfigError(
                    f"{sheet.path} must have a column {direction} for device {_short(device)}, "
                    f"got {_listed(names)}"
                )
            k = found[direction, device]
            rows.append([_filled(sheet, names[k], sheet.columns[k])])
    return _measurement(sheet, list(devices), readings)


def _filled(sheet: _Sheet, name: str, cells: Sequence[Any]) -> Array:
    """The numbers of a column up to its last that is given."""
    n = max((k + 1 for k, cell in enumerate(cells) if cell not in {"", None}), default=0)
    return np.array([sheet.number(cell, k, name) for k, cell in enumerate(cells[:n])])


def _from_long(sheet: _Sheet) -> Measurement:
    """One row per reading."""
    device, direction, pulse, conductance = (sheet.column(name) for name in _LONG)
    cycle = sheet.column("cycle") if "cycle" in sheet.names else [""] * len(device)
    readings: dict[str, dict[tuple[str, str], dict[int, float]]] = {}
    for k in range(len(device)):
        towards = str(direction[k]).strip().lower()
        if towards not in {"up", "down"}:
            raise sheet.refusal(k, "direction", "be up or down", direction[k])
        number = sheet.number(pulse[k], k, "pulse")
        if not (0 <= number <= _MOST_PULSE and number == int(number)):
            law = f"be a whole number from 0 to {_MOST_PULSE}"
            raise sheet.refusal(k, "pulse", law, pulse[k])
        groups = readings.setdefault(str(device[k]), {})
        group = groups.setdefault((towards, str(cycle[k])), {})
        if int(number) in group:
            raise sheet.refusal(k, "pulse", "be new for this device and direction", pulse[k])
        group[int(number)] = sheet.number(conductance[k], k, "conductance")
    rows = {
        towards: [
            [group for key, group in groups.items() if key[0] == towards]
            for groups in readings.values()
        ]
        for towards in ("up", "down")
    }
    for cycles in rows.values():
        spans = [_span(of_device) for of_device in cycles]
        for name, (first, stop) in zip(readings, spans, strict=True):
            _check_pulses(sheet, name, stop - first)
        longest = max(stop - first for first, stop in spans)
        _check_grid(sheet.path, len(spans), max(map(len, cycles)), longest)
    by_pulse = {towards: [_by_pulse(groups) for groups in rows[towards]] for towards in rows}
    return _measurement(sheet, list(readings), by_pulse)


def _span(cycles: list[dict[int, float]]) -> tuple[int, int]:
    """The first pulse that was read in any cycle, and the one behind the last."""
    return min(map(min, cycles), default=0), max(map(max, cycles), default=-1) + 1


def _by_pulse(cycles: list[dict[int, float]]) -> list[Array]:
    """Readings of one device and direction by pulse, cycle after cycle."""
    if not cycles:
        return [np.zeros(0)]
    first, stop = _span(cycles)
    rows = [np.full(stop - first, np.nan) for _ in cycles]
    for row, group in zip(rows, cycles, strict=True):
        row[np.array(list(group)) - first] = list(group.values())
    return rows


def _check_pulses(sheet: _Sheet, device: str, n: int) -> None:
    if n > MOST:
        raise ConfigError(
            f"{sheet.path} must have at most {MOST} pulses in a direction, got {n} "
            f"for device {_short(device)}"
        )


def _measurement(
    sheet: _Sheet, names: list[str], readings: dict[str, list[list[Array]]]
) -> Measurement:
    for direction, devices in readings.items():
        for name, rows in zip(names, devices, strict=True):
            n = max(int(np.isfinite(row).sum()) for row in rows)
            if n < FEWEST:
                raise ConfigError(
                    f"{sheet.path} must have at least {FEWEST} {direction} pulses for each "
                    f"device, got {n} for device {_short(name)}"
                )
            _check_pulses(sheet, name, n)
    measurement = Measurement(names, _stacked(readings["up"]), _stacked(readings["down"]))
    for k, name in enumerate(names):
        both = np.concatenate([measurement.up[k].ravel(), measurement.down[k].ravel()])
        if np.nanmax(both) == np.nanmin(both):
            raise ConfigError(
                f"{sheet.path} must have conductances that change, "
                f"got {np.nanmax(both):g} throughout for device {_short(name)}"
            )
    return measurement


def _stacked(devices: list[list[Array]]) -> Array:
    """``(devices, cycles, pulses)``, NaN where a device has fewer cycles or pulses."""
    n_cycles = max(map(len, devices))
    n_pulses = max(len(row) for rows in devices for row in rows)
    stacked = np.full((len(devices), n_cycles, n_pulses), np.nan)
    for d, rows in enumerate(devices):
        for c, row in enumerate(rows):
            stacked[d, c, : len(row)] = row
    return stacked


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(map(_short, names[:6])) or "no names"
    return shown + (", ..." if len(names) > 6 else "")


def _short(text: str) -> str:
    return text if len(text) <= _MOST_LETTERS else f"{text[:_MOST_LETTERS]}..."
