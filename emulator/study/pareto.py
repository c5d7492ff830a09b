"""Pareto fronts of a study on disk: a table, and a picture of each front."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.study.files import write_table
from crossmesh.emulator.study.fronts import Front, FrontPoints, front_table, fronts
from crossmesh.emulator.study.table import markdown_rows


def read_results(source: Path) -> pa.Table:
    """The results of a study.

    Args:
        source: Its folder, or its ``results.parquet``.

    Raises:
        ConfigError: If it is neither.
    """
    path = source / "results.parquet" if source.is_dir() else source
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid):
        table = None
    if table is None or not {"title", "config", "seed"} <= set(table.column_names):
        raise ConfigError(f"RESULTS must be the folder of a study, got {source}")
    return table


def varied_columns(table: pa.Table) -> list[str]:
    """The columns of fields that are varied: between the config and the seed."""
    names = table.column_names
    return list(names[names.index("config") + 1 : names.index("seed")])


def leave_fronts(
    table: pa.Table, wanted: Iterable[Front], folder: Path, kind: str
) -> list[FrontPoints]:
    """Write ``pareto.parquet`` and a picture of each front.

    Args:
        table: Results of a study.
        wanted: Fronts.
        folder: Output folder.
        kind: ``png``, ``svg`` or ``pdf``.

    Raises:
        ConfigError: If a column is unknown, or holds no numbers.
    """
    found = fronts(table, wanted)
    if found:
        # Imported here, because Matplotlib is slow to load.
        from crossmesh.emulator.study.pareto_plot import draw_fronts

        write_table(folder / "pareto.parquet", front_table(found, varied_columns(table)))
        draw_fronts(found, folder, kind)
    return found


def front_cells(front: FrontPoints) -> list[tuple[str, ...]]:
    """A front as text: the rows on it and their figures, below a head."""
    head = ("run", *(map(", ".join, zip(front.names, front.columns.values(), strict=True))))
    rows = [(str(p["title"]), *(f"{p[name]:.4g}" for name in front.columns)) for p in front.best]
    return [head, *rows]


def caption(front: FrontPoints) -> str:
    """How many points are on a front, and among which, in words."""
    among = f"{front.among}: " if front.among else ""
    return f"{among}{len(front.best)} of {len(front.points)} runs are on the front"


def fronts_markdown(found: Sequence[FrontPoints]) -> str:
    """Fronts as sections of a page in Markdown."""
    lines = []
    for front in found:
        lines += ["", f"## Pareto front: {', '.join(front.names)}", "", f"{caption(front)}.", ""]
        lines += markdown_rows(front_cells(front))
    return "\n".join([*lines, ""]) if lines else ""
