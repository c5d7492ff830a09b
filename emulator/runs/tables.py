"""Tables of a run: metrics, recoveries, tiles and their arrays."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from crossmesh.emulator.runs.history import BaselineRow, MetricsRow, Recovery
from crossmesh.tiles.analog.wear import Wear
from crossmesh.tiles.runtime.measure import TileReport


def metrics_table(rows: Sequence[MetricsRow]) -> pa.Table:
    """The metrics as an Arrow table."""
    real = pa.float64()
    types = [pa.int64(), pa.int64(), *[real] * 8]
    return _table(rows, MetricsRow._fields, types)


def baseline_table(rows: Sequence[BaselineRow]) -> pa.Table:
    """The epochs of the float32 twin as an Arrow table."""
    return _table(rows, BaselineRow._fields, [pa.int64(), *[pa.float64()] * 4])


def recoveries_table(recoveries: Sequence[Recovery]) -> pa.Table:
    """What a run has survived as an Arrow table."""
    real, whole = pa.float64(), pa.int64()
    return _table(recoveries, Recovery._fields, [real, real, whole, whole, pa.string()])


def tiles_table(reports: Sequence[TileReport], columns: Mapping[str, pa.Array]) -> pa.Table:
    """The tiles as an Arrow table, with more columns behind."""
    whole, real = pa.int64(), pa.float64()
    types = [whole, pa.string(), *[whole] * 5, *[real] * 5, whole, whole, real]
    names = [name for name in TileReport._fields if name != "wear"]
    table = _table(reports, names, types)
    for name, column in columns.items():
        table = table.append_column(name, column)
    return table


def arrays_table(reports: Sequence[TileReport]) -> pa.Table:
    """The arrays of tiles as an Arrow table: how often each has been pulsed and written."""
    rows = [
        (report.tile, report.layer, name, *wear)
        for report in reports
        for name, wear in report.wear.items()
    ]
    whole, text = pa.int64(), pa.string()
    names = ("tile", "layer", "array", *Wear._fields)
    return _table(rows, names, [whole, text, text, whole, whole])


def _table(rows: Sequence[tuple[Any, ...]], names: Sequence[str], types: list[Any]) -> pa.Table:
    columns = [[row[i] for row in rows] for i in range(len(names))]
    return pa.table(
        [pa.array(column, kind) for column, kind in zip(columns, types, strict=True)],
        names=list(names),
    )
