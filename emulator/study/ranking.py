"""Results of a search: sorted by the figure, as a table for people, and the best of them."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from crossmesh.emulator.study.search import FIGURES, Search, sign


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """A candidate of a search, over its seeds.

    Attributes:
        title: Title of its row.
        rows: Its rows of the results.
        figure: Mean of the figure that is searched by; None if a run failed.
        is_whole: Whether no run failed or was stopped early.
    """

    title: str
    rows: Sequence[int]
    figure: float | None
    is_whole: bool


def ranked(table: pa.Table, by: str | None) -> list[Ranked]:
    """Candidates, best first; those that were stopped early after all that were not.

    Args:
        table: The results.
        by: The figure; None if no run has any.
    """
    rows = table.to_pylist()
    found = []
    for title in dict.fromkeys(row["title"] for row in rows):
        mine = [i for i, row in enumerate(rows) if row["title"] == title]
        values = [rows[i][by] for i in mine] if by else [None]
        known = [value for value in values if value is not None and math.isfinite(value)]
        is_known = len(known) == len(values)
        found.append(
            Ranked(
                title=title,
                rows=mine,
                figure=statistics.fmean(known) if is_known else None,
                is_whole=is_known and all(rows[i]["stopped"] is None for i in mine),
            )
        )
    return sorted(
        found,
        key=lambda one: (
            not one.is_whole,
            one.figure is None,
            -sign(by) * (one.figure or 0.0),
        ),
    )


def searched_by(search: Search | None, table: pa.Table) -> str | None:
    """The figure that a search chose by; None if no run has any."""
    if search is not None and search.by is not None:
        return search.by
    return next((name for name in FIGURES if table[name].null_count < len(table)), None)


def head(by: str | None) -> tuple[str, ...]:
    """Names of the columns of ``cells_of``."""
    return ("run", (by or "figure").replace("_", " "), "test accuracy", "epochs", "")


def cells_of(
    candidates: Sequence[Ranked], table: pa.Table, by: str | None
) -> list[tuple[str, ...]]:
    """A row of text for each candidate."""
    rows = table.to_pylist()
    return [
        (
            one.title,
            figure_text(by, one.figure),
            figure_text("test_accuracy", _mean(rows, one.rows, "test_accuracy")),
            "-" if (n := _mean(rows, one.rows, "epochs")) is None else f"{n:.3g}",
            "" if one.is_whole else "failed" if one.figure is None else "stopped",
        )
        for one in candidates
    ]


def figure_text(by: str | None, value: float | None) -> str:
    """A figure for people: an accuracy in percent."""
    if value is None:
        return "-"
    return f"{100 * value:.2f} %" if by and "accuracy" in by else f"{value:.4f}"


def _mean(rows: Sequence[dict[str, Any]], which: Sequence[int], name: str) -> float | None:
    values = [rows[i][name] for i in which if rows[i][name] is not None]
    return statistics.fmean(values) if values else None
