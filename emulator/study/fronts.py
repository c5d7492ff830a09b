"""Pareto fronts of a study's results: the rows that no other betters in every column."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, model_validator

from crossmesh.common.errors import ConfigError
from crossmesh.common.frozen import Frozen, Many
from crossmesh.common.refusals import nearest

DIRECTIONS = ("min", "max")
# Columns of which more is better; of all others less is, unless a front says otherwise.
MORE_IS_BETTER = {
    "test_accuracy", "validation_accuracy", "baseline_test_accuracy", "examples_per_s",
    "chip_examples_per_s",
    "chip_ops_per_s_per_w", "chip_ops_per_s_per_mm2", "chip_mean_tile_busy",
}  # fmt: skip


class Front(Frozen):
    """A front that is asked for.

    Attributes:
        by: Two or three columns of the results, each perhaps with ``:min`` or ``:max`` behind it;
            ``chip_`` before a name may be left out.
        each: A column; rows that differ in it are not compared.
    """

    by: Many[str] = Field(min_length=2, max_length=3)
    each: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _list_is_by(cls, value: Any) -> Any:
        return {"by": value} if isinstance(value, list | tuple) else value

    @model_validator(mode="after")
    def _columns_differ(self) -> Self:
        for text in self.by:
            name, _, direction = text.partition(":")
            if not name or (":" in text and direction not in DIRECTIONS):
                raise ValueError(
                    f"by must have columns like test_accuracy or area_mm2:min, got {text}"
                )
        names = [text.partition(":")[0] for text in self.by]
        if len(set(names)) < len(names):
            raise ValueError(f"by must have columns that differ, got {', '.join(self.by)}")
        return self

    def __str__(self) -> str:
        return ", ".join(self.by) + (f"; each {self.each}" if self.each else "")

    def columns(self, table: pa.Table) -> dict[str, str]:
        """Columns of a table, and whether the least or the most of each is best.

        Raises:
            ConfigError: If one is unknown, or holds no numbers.
        """
        found = {}
        for text in self.by:
            name, _, direction = text.partition(":")
            column = _column(name, table)
            kind = table.schema.field(column).type
            if not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
                raise ConfigError(f"pareto must have columns of numbers, got {name}, of {kind}")
            found[column] = direction or ("max" if column in MORE_IS_BETTER else "min")
        return found


@dataclass(frozen=True, kw_only=True)
class FrontPoints:
    """A front that is found, and the points that it was found among.

    Attributes:
        front: What was asked for.
        columns: Columns, and whether the least or the most of each is best.
        each: The value of the column ``each``, if it has one.
        points: The rows of the results, their seeds averaged, that have a figure in every column;
            by the first column.
        on_front: Whether each point is on the front.
    """

    front: Front
    columns: Mapping[str, str]
    each: Any
    points: Sequence[Mapping[str, Any]]
    on_front: Sequence[bool]

    @property
    def names(self) -> list[str]:
        """The columns without what all of the chip begin with."""
        return [name.removeprefix("chip_") for name in self.columns]

    @property
    def among(self) -> str:
        """What its points have in common, in words: nothing, or a value; of a file its stem."""
        is_file = isinstance(self.each, str) and self.each.endswith(".yaml")
        shown = Path(self.each).stem if is_file else self.each
        return "" if self.front.each is None else f"{self.front.each} {shown}"

    @property
    def best(self) -> list[Mapping[str, Any]]:
        """The points on the front."""
        return [point for point, is_on in zip(self.points, self.on_front, strict=True) if is_on]


def check_fronts(table: pa.Table, wanted: Iterable[Front]) -> None:
    """Refuse fronts by what is no column of results.

    Raises:
        ConfigError: If a column is unknown, or holds no numbers.
    """
    for front in wanted:
        front.columns(table)
        if front.each is not None:
            _column(front.each, table)


def fronts(table: pa.Table, wanted: Iterable[Front]) -> list[FrontPoints]:
    """The fronts of results, one for each value of the column that keeps rows apart.

    Raises:
        ConfigError: If a column is unknown, or holds no numbers.
    """
    points = averaged(table)
    return [found for front in wanted for found in _found(front, table, points)]


def _found(
    front: Front, table: pa.Table, points: Sequence[Mapping[str, Any]]
) -> Iterator[FrontPoints]:
    columns = front.columns(table)
    first, *_ = columns
    apart = None if front.each is None else _column(front.each, table)
    kept = sorted((p for p in points if _is_whole(p, columns)), key=lambda point: point[first])
    for value in dict.fromkeys(apart and point[apart] for point in points):
        mine = [point for point in kept if apart is None or point[apart] == value]
        signs = np.array([1.0 if best == "min" else -1.0 for best in columns.values()])
        figures = np.array([[point[name] for name in columns] for point in mine], np.float64)
        on_front = nondominated(figures.reshape(-1, len(columns)) * signs)
        yield FrontPoints(
            front=front, columns=columns, each=value, points=mine, on_front=on_front.tolist()
        )


def nondominated(figures: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which points no other betters: as small in all figures, and smaller in one.

    Points with the same figures are on the front together.

    Args:
        figures: ``(points, figures)``, of each of which the least is best.

    >>> nondominated(np.array([[1.0, 3.0], [2.0, 1.0], [2.0, 3.0], [1.0, 3.0]])).tolist()
    [True, True, False, True]
    """
    return np.array(
        [
            not np.any(np.all(figures <= point, axis=1) & np.any(figures < point, axis=1))
            for point in figures
        ],
        dtype=np.bool_,
    )


def averaged(table: pa.Table) -> list[dict[str, Any]]:
    """A row for every title: of numbers the mean over its seeds, of all else the first."""
    numbers = {
        field.name
        for field in table.schema
        if pa.types.is_floating(field.type) or pa.types.is_integer(field.type)
    }
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in table.to_pylist():
        rows.setdefault(row["title"], []).append(row)
    return [
        {name: _mean(mine, name) if name in numbers else value for name, value in mine[0].items()}
        for mine in rows.values()
    ]


def _mean(rows: Sequence[Mapping[str, Any]], name: str) -> float | None:
    known = [row[name] for row in rows if row[name] is not None]
    return float(np.mean(known)) if known else None


def _is_whole(point: Mapping[str, Any], columns: Iterable[str]) -> bool:
    return all(point[name] is not None and np.isfinite(point[name]) for name in columns)


def _column(name: str, table: pa.Table) -> str:
    for column in (name, f"chip_{name}"):
        if column in table.column_names:
            return column
    known = [column.removeprefix("chip_") for column in table.column_names]
    raise ConfigError(
        f"pareto must have columns of results.parquet, got {name}{nearest(name, known)}"
    )


def front_table(found: Sequence[FrontPoints], varied: Sequence[str]) -> pa.Table:
    """The points on all fronts: which front, the row, what is varied, and the figures.

    Args:
        found: The fronts.
        varied: Columns that tell points apart, besides their titles.
    """
    figures = list(dict.fromkeys(name for front in found for name in front.columns))
    names = list(dict.fromkeys(("title", "config", *varied, *figures)))
    rows = [
        {"front": str(front.front), **{name: point.get(name) for name in names}}
        for front in found
        for point in front.best
    ]
    return pa.table({name: [row[name] for row in rows] for name in ("front", *names)})
