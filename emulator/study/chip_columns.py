"""Chip figures of a study's rows: columns of ``results.parquet``, and a table for people."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

PREFIX = "chip_"
CHIP_HEAD = (
    "run", "interval, us", "examples/s", "nJ per example", "low to high", "area, mm2", "Gop/s/W",
    "bound by",
)  # fmt: skip
CHIP_LEGEND = (
    "The chip alone, emulated, nothing trained: interval between examples, energy of an example "
    "with its band, operations per second and watt, and what bounds the interval."
)


def chip_columns(chips: Sequence[Mapping[str, Any] | None]) -> dict[str, pa.Array]:
    """All that summaries say of chips; of what is in sections, ``chip_section.name``.

    Args:
        chips: Section ``chip`` of each row's summary, None if there is none.
    """
    rows = [dict(_leaves(chip, PREFIX)) if chip else {} for chip in chips]
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: _column([row.get(name) for row in rows]) for name in names}


def _leaves(tree: Mapping[str, Any], path: str) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


def _column(values: Sequence[Any]) -> pa.Array:
    """A column of one type: numbers as such, whole ones as reals if some are not."""
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float} and len(kinds) > 1:
        return pa.array([None if v is None else float(v) for v in values], pa.float64())
    return pa.array(values) if len(kinds) == 1 else pa.array([None] * len(values), pa.float64())


def chip_cells(rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, ...]]:
    """Each row under ``CHIP_HEAD``."""
    for row in rows:
        figures = {name.removeprefix(PREFIX): value for name, value in row.items()}
        if figures.get("interval_s") is None:
            yield (row["title"], *["-"] * (len(CHIP_HEAD) - 1))
            continue
        low, high = (figures[f"energy_j_per_example_{end}"] for end in ("low", "high"))
        per_w = figures["ops_per_s_per_w"]
        yield (
            row["title"],
            f"{1e6 * figures['interval_s']:,.4g}",
            f"{1 / figures['interval_s']:,.0f}",
            f"{1e9 * figures['energy_j_per_example']:,.4g}",
            f"{1e9 * low:,.4g} to {1e9 * high:,.4g}",
            f"{figures['area_mm2']:,.4g}",
            "-" if per_w is None else f"{1e-9 * per_w:,.0f}",
            figures["bound_by"],
        )
