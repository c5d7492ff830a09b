"""Results of a study: a row per run as Arrow, a row per title as Markdown."""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from crossmesh.emulator.study.chip_columns import (
    CHIP_HEAD,
    CHIP_LEGEND,
    PREFIX,
    chip_cells,
    chip_columns,
)
from crossmesh.emulator.study.plan import Trial

_FIGURES = (
    "test_accuracy", "test_loss", "train_loss", "validation_accuracy", "validation_loss",
    "baseline_test_accuracy",
)  # fmt: skip
_HEAD = (
    "run", "seeds", "accuracy", "std", "lowest to highest", "float32", "difference", "test loss",
    "examples/s", "staleness", "chip's examples/s", "chip's nJ per example",
)  # fmt: skip
# Columns that a terminal has no room for.
_WIDE = {"lowest to highest", "test loss", *_HEAD[-3:], "low to high", "bound by"}
_ROUNDED = 100  # from here on, numbers are shown without decimals
_LEGEND = (
    "Test accuracy in percent, mean over the seeds, and their standard deviation; `float32`: the "
    "same network trained digitally; `difference` to it in points; `examples/s` of the emulation; "
    "`staleness`: updates by which the first stage errs behind; `chip`: emulated."
)


@dataclass(frozen=True, kw_only=True)
class TrialOutcome:
    """Outcome of a trial.

    Attributes:
        summary: The run's summary, once it has ended.
        baseline: Accuracy of the same network in float32, if asked for and known.
        failure: Why the run or its baseline failed.
        run: The run directory that its figures are from; None if nothing is trained.
    """

    summary: Mapping[str, Any] | None = None
    baseline: float | None = None
    failure: str | None = None
    run: Path | None = None


def results(trials: Sequence[Trial], outcomes: Sequence[TrialOutcome]) -> pa.Table:
    """A row for every trial, in order; fields of a run that has not ended are null."""
    columns: dict[str, pa.Array] = {
        "title": pa.array([trial.title for trial in trials], pa.string()),
        "config": pa.array([trial.source for trial in trials], pa.string()),
    }
    for field in trials[0].fields:
        columns[field] = _varied([trial.fields[field] for trial in trials])
    columns["seed"] = pa.array([trial.config.seed for trial in trials], pa.uint64())
    for name, kind in _COLUMNS.items():
        columns[name] = pa.array([_figure(name, outcome) for outcome in outcomes], kind)
    chips = chip_columns([(outcome.summary or {}).get("chip") for outcome in outcomes])
    columns.update((name, column) for name, column in chips.items() if name not in columns)
    runs = [outcome.run and str(outcome.run) for outcome in outcomes]
    columns["run"] = pa.array(runs, pa.string())
    columns["failure"] = pa.array([outcome.failure for outcome in outcomes], pa.string())
    return pa.table(columns)


_COLUMNS = {
    **dict.fromkeys(_FIGURES, pa.float64()),
    "epochs": pa.int64(),
    "examples_trained": pa.int64(),
    "examples_per_s": pa.float64(),
    "wall_s": pa.float64(),
    "chip_staleness": pa.int64(),
    "chip_examples_per_s": pa.float64(),
    "chip_energy_j_per_example": pa.float64(),
    "config_digest": pa.string(),
    "state_digest": pa.string(),
    "stopped": pa.string(),
}


def _figure(name: str, outcome: TrialOutcome) -> Any:
    if name == "baseline_test_accuracy":
        return outcome.baseline
    summary = outcome.summary or {}
    if name.startswith(PREFIX):
        return (summary.get("chip") or {}).get(name.removeprefix(PREFIX))
    return summary.get("emulation", {}).get(name) if name in _EMULATION else summary.get(name)


_EMULATION = ("examples_per_s", "wall_s")


def _varied(values: list[Any]) -> pa.Array:
    """A column of numbers if all are, otherwise of text."""
    if is_numeric(values):
        return pa.array(values, pa.float64())
    return pa.array([v if isinstance(v, str) else json.dumps(v) for v in values], pa.string())


def is_numeric(values: Sequence[Any]) -> bool:
    """Whether all values are numbers."""
    return all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A title of a study over its seeds; what no run has is None.

    Attributes:
        title: Title of the row.
        seeds: Number of seeds.
        ended: Number of runs that ended.
        accuracy: Mean test accuracy.
        std: Standard deviation between seeds, of two or more.
        lowest: Lowest accuracy.
        highest: Highest accuracy.
        baseline: Mean accuracy in float32.
        difference: Mean over the seeds of accuracy less that of the baseline.
        test_loss: Mean.
        examples_per_s: Mean.
        staleness: Mean, of the first stage.
        chip_examples_per_s: Mean, of the chip.
        chip_energy_j_per_example: Mean.
    """

    title: str
    seeds: int
    ended: int
    accuracy: float | None
    std: float | None
    lowest: float | None
    highest: float | None
    baseline: float | None
    difference: float | None
    test_loss: float | None
    examples_per_s: float | None
    staleness: float | None
    chip_examples_per_s: float | None
    chip_energy_j_per_example: float | None


def summaries(table: pa.Table) -> list[Summary]:
    """The rows of the table, in order of their first trial."""
    rows = table.to_pylist()
    titles = dict.fromkeys(row["title"] for row in rows)
    return [_summary(title, [row for row in rows if row["title"] == title]) for title in titles]


def _summary(title: str, rows: list[dict[str, Any]]) -> Summary:
    accuracies = _known(row["test_accuracy"] for row in rows)
    differences = [
        row["test_accuracy"] - row["baseline_test_accuracy"]
        for row in rows
        if None not in {row["test_accuracy"], row["baseline_test_accuracy"]}
    ]
    return Summary(
        title=title,
        seeds=len(rows),
        ended=sum(row["config_digest"] is not None for row in rows),
        accuracy=_mean(accuracies),
        std=statistics.stdev(accuracies) if len(accuracies) > 1 else None,
        lowest=min(accuracies, default=None),
        highest=max(accuracies, default=None),
        baseline=_mean(_known(row["baseline_test_accuracy"] for row in rows)),
        difference=_mean(differences),
        test_loss=_mean(_known(row["test_loss"] for row in rows)),
        examples_per_s=_mean(_known(row["examples_per_s"] for row in rows)),
        staleness=_mean(_known(row["chip_staleness"] for row in rows)),
        chip_examples_per_s=_mean(_known(row["chip_examples_per_s"] for row in rows)),
        chip_energy_j_per_example=_mean(_known(row["chip_energy_j_per_example"] for row in rows)),
    )


def _known(values: Any) -> list[float]:
    return [value for value in values if value is not None]


def _mean(values: list[float]) -> float | None:
    return statistics.fmean(values) if values else None


def is_of_chips(table: pa.Table) -> bool:
    """Whether nothing was trained."""
    return bool(table["run"].null_count == len(table))


def cells(table: pa.Table, *, wide: bool) -> list[tuple[str, ...]]:
    """The head and the rows of the table for people, as text; ``wide`` with all columns."""
    if is_of_chips(table):
        rows = [CHIP_HEAD, *chip_cells(table.to_pylist())]
    else:
        rows = [_HEAD, *(_cells(summary) for summary in summaries(table))]
    kept = [i for i, name in enumerate(rows[0]) if wide or name not in _WIDE]
    return [tuple(row[i] for i in kept) for row in rows]


def _cells(summary: Summary) -> tuple[str, ...]:
    all_ended = summary.ended == summary.seeds
    has_spread = summary.std is not None
    return (
        summary.title,
        str(summary.seeds) if all_ended else f"{summary.ended} of {summary.seeds}",
        _percent(summary.accuracy),
        _percent(summary.std),
        f"{_percent(summary.lowest)} to {_percent(summary.highest)}" if has_spread else "-",
        _percent(summary.baseline),
        _percent(summary.difference, "+"),
        "-" if summary.test_loss is None else f"{summary.test_loss:.4f}",
        _number(summary.examples_per_s),
        _number(summary.staleness),
        _number(summary.chip_examples_per_s),
        _number(summary.chip_energy_j_per_example, 1e9),
    )


def _number(value: float | None, scale: float = 1.0) -> str:
    """A number with at least three digits."""
    if value is None:
        return "-"
    scaled = scale * value
    return f"{scaled:,.0f}" if abs(scaled) >= _ROUNDED or not scaled else f"{scaled:.3g}"


def _percent(share: float | None, sign: str = "") -> str:
    return "-" if share is None else f"{100 * share:{sign}.2f}"


def failures(table: pa.Table) -> list[str]:
    """A line for every run that failed."""
    return [
        f"{row['title']}, seed {row['seed']}: {row['failure']}"
        for row in table.select(["title", "seed", "failure"]).to_pylist()
        if row["failure"] is not None
    ]


def markdown(name: str, table: pa.Table) -> str:
    """The table for people, and what failed."""
    lines = markdown_rows(cells(table, wide=True))
    if failed := failures(table):
        lines += ["", "Failed:", "", *(f"* {line}" for line in failed)]
    legend = CHIP_LEGEND if is_of_chips(table) else _LEGEND
    return "\n".join([f"# {name}", "", legend, "", *lines, ""])


def markdown_rows(rows: Sequence[Sequence[str]]) -> list[str]:
    """A head and rows of text as a table in Markdown."""
    head, *body = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    below = ["---"] + ["---:"] * (len(head) - 1)
    return [f"| {' | '.join(row)} |" for row in (head, below, *body)]
