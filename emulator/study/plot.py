"""Plots of a study: accuracy against epoch, by seed, and against what is varied.

Rows differ by mark and dashes as much as by colour, so that they can be read in print.
"""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from crossmesh.emulator.study.axes import short_names, short_value
from crossmesh.emulator.study.plan import Trial
from crossmesh.emulator.study.table import is_numeric

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
_MARKS = "osD^vPX<>*ph"
_DASHES = ("-", (0, (6, 1.5)), (0, (4, 1, 1, 1)))
_FLOAT32: dict[str, Any] = {"color": "0.35", "linewidth": 1.3, "linestyle": (0, (2, 2))}
_WIDE = 20.0  # ratio of varied values from which on their axis is logarithmic
_ONE_SEED = "one seed: no spread is known"
_MOST_TICKS = 8  # for which all of them stand at the axis
_MOST_CURVES = len(_MARKS)  # beyond which marks repeat, and lines cover each other
_DPI = 150


@dataclass(frozen=True, kw_only=True)
class Series:
    """A row of the table as plots show it.

    Attributes:
        title: Title.
        label: The same without the varied values.
        varied: The varied fields and their values.
        final: Percent right, or loss, at the end of each run.
        baseline: The same of the float32 networks.
        curves: The same after each epoch, ``(runs, epochs)``.
        number: Which row it is, from 0; decides mark, dashes and colour.
    """

    title: str
    label: str
    varied: Mapping[str, Any]
    final: list[float]
    baseline: list[float]
    curves: NDArray[np.float64]
    number: int

    @property
    def style(self) -> dict[str, Any]:
        """Mark, dashes and colour."""
        return _style(self.number)


def draw(trials: Sequence[Trial], table: pa.Table, folder: Path, kind: str) -> list[Path]:
    """Draw a study whose runs have ended, as far as they have.

    Args:
        trials: The trials.
        table: Their results, in the same order.
        folder: Output folder.
        kind: ``png``, ``svg`` or ``pdf``.

    Returns:
        The files: ``accuracy``, and ``vary`` if something was.
    """
    rows = table.to_pylist()
    measure = "accuracy" if any(row["test_accuracy"] is not None for row in rows) else "loss"
    series = _series(trials, rows, measure)
    figures = {"accuracy": _accuracy(series, measure)} if series else {}
    if fields := _differing(series):
        figures["vary"] = _vary(series, measure, fields)
    paths = [folder / f"{name}.{kind}" for name in figures]
    for path, figure in zip(paths, figures.values(), strict=True):
        figure.savefig(path, dpi=_DPI)
    return paths


def _series(
    trials: Sequence[Trial], rows: Sequence[Mapping[str, Any]], measure: str
) -> list[Series]:
    scale = 100.0 if measure == "accuracy" else 1.0
    ended = [
        (trial, row)
        for trial, row in zip(trials, rows, strict=True)
        if row[f"test_{measure}"] is not None
    ]
    series: list[Series] = []
    shown: set[str] = set()  # runs: rows that share one differ in their chips alone
    for title in dict.fromkeys(trial.title for trial in trials):
        mine = [(trial, row) for trial, row in ended if trial.title == title]
        if not mine or mine[0][1]["run"] in shown:
            continue
        shown.update(row["run"] for _, row in mine)
        first = mine[0][0]
        baselines = [row[f"baseline_test_{measure}"] for _, row in mine if measure == "accuracy"]
        series.append(
            Series(
                title=title,
                label=first.label,
                varied=first.varied,
                final=[scale * row[f"test_{measure}"] for _, row in mine],
                baseline=[scale * value for value in baselines if value is not None],
                curves=scale * np.array([_curve(Path(row["run"]), measure) for _, row in mine]),
                number=len(series),
            )
        )
    return series


def _curve(folder: Path, measure: str) -> NDArray[np.float64]:
    """The figure after each epoch ``(epochs,)``."""
    column = pq.read_table(folder / "metrics.parquet")[f"test_{measure}"]
    return np.asarray(column.drop_null().to_numpy(), np.float64)


def _accuracy(series: list[Series], measure: str) -> Figure:
    """The end of every run, and beside it the way there where they can be distinguished."""
    height = max(4.2, 1.4 + 0.34 * len(series))
    curves = max(entry.curves.shape[1] for entry in series) > 1 and len(series) <= _MOST_CURVES
    figure = Figure(figsize=(11 if curves else 7, height), layout="constrained")
    if curves:
        left, end = figure.subplots(1, 2, width_ratios=(3, 2))
        _epochs(left, series, measure)
    else:
        end = figure.subplots()
    _dots(end, series)
    end.set_xlabel(f"{_name(measure)}, at the end")
    _finish(end)
    marks = "line and bar: mean; band and hollow marks" if curves else "bar: mean; hollow marks"
    _caption(figure, f"{marks}: seeds" if _has_spread(series) else _ONE_SEED, series)
    return figure


def _epochs(axes: Axes, series: list[Series], measure: str) -> None:
    """Against epoch; the panel of the ends is the legend."""
    for entry in series:
        _line(axes, np.arange(1, entry.curves.shape[1] + 1), entry.curves, entry.style)
    for baseline in sorted({float(np.mean(entry.baseline)) for entry in series if entry.baseline}):
        axes.axhline(baseline, **_FLOAT32)
    axes.set_xlabel("epoch")
    axes.set_ylabel(_name(measure))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _finish(axes)


def _line(axes: Axes, x: NDArray[Any], curves: NDArray[np.float64], style: dict[str, Any]) -> None:
    """Mean and band of ``curves``, ``(runs, points)``."""
    axes.plot(x, curves.mean(0), markersize=4, markevery=max(1, len(x) // 12), **style)
    if len(curves) > 1:
        axes.fill_between(
            x, curves.min(0), curves.max(0), color=style["color"], alpha=0.15, linewidth=0
        )


def _dots(axes: Axes, series: list[Series]) -> None:
    for place, entry in enumerate(series):
        _seeds(axes, entry.final, [place] * len(entry.final), entry.style)
        if len(entry.final) > 1:
            axes.vlines(np.mean(entry.final), place - 0.3, place + 0.3, color=entry.style["color"])
        if entry.baseline:
            axes.vlines(np.mean(entry.baseline), place - 0.42, place + 0.42, **_FLOAT32)
    axes.set_yticks(range(len(series)), [textwrap.fill(entry.title, 34) for entry in series])
    axes.set_ylim(len(series) - 0.4, -0.6)


def _differing(series: list[Series]) -> dict[str, str]:
    """The varied axes in which rows differ, and their short names."""
    values = {axis: {short_value(s.varied[axis]) for s in series}
              for axis in (series[0].varied if series else ())}  # fmt: skip
    return short_names({axis: None for axis, differ in values.items() if len(differ) > 1})


def _vary(series: list[Series], measure: str, fields: Mapping[str, str]) -> Figure:
    """A panel for every varied field; a line for each of the rows that differ in it alone."""
    figure = Figure(figsize=(5.8 * len(fields), 4.4), layout="constrained")
    panels = figure.subplots(1, len(fields), squeeze=False)[0]
    for axes, (field, name) in zip(panels, fields.items(), strict=True):
        _against(axes, series, field)
        axes.set_xlabel(name)
        axes.set_ylabel(_name(measure))
        _finish(axes)
    marks = "line: mean; hollow marks: seeds"
    _caption(figure, marks if _has_spread(series) else _ONE_SEED, series)
    return figure


def _against(axes: Axes, series: list[Series], field: str) -> None:
    lines: dict[str, list[Series]] = {}
    for entry in series:
        lines.setdefault(_line_name(entry, field), []).append(entry)
    if any(len(entries) > 1 for entries in lines.values()):  # one at a time: each on its axis
        lines = {name: entries for name, entries in lines.items() if len(entries) > 1}
    places = _places(axes, [entry.varied[field] for entry in series])
    for number, (name, entries) in enumerate(lines.items()):
        style = _style(number)
        x = [places[short_value(entry.varied[field])] for entry in entries]
        means = [np.mean(entry.final) for entry in entries]
        axes.plot(x, means, label=name, markersize=4, **style)
        if all(entry.baseline for entry in entries):
            axes.plot(x, [np.mean(entry.baseline) for entry in entries], **_FLOAT32)
        for place, entry in zip(x, entries, strict=True):
            if len(entry.final) > 1:
                _seeds(axes, [place] * len(entry.final), entry.final, style)
    if len(lines) <= _MOST_CURVES:
        axes.legend(fontsize="small", frameon=False)


def _line_name(entry: Series, field: str) -> str:
    """What the rows of a line have in common."""
    names = short_names(entry.varied)
    others = [f"{names[f]}={short_value(v)}" for f, v in entry.varied.items() if f != field]
    return ", ".join([entry.label, *others])


def _places(axes: Axes, values: list[Any]) -> dict[str, float]:
    """Where the values are on the axis: at themselves if they are numbers, else side by side."""
    names = list(dict.fromkeys(short_value(value) for value in values))
    if not is_numeric(values):
        axes.set_xticks(range(len(names)), names)
        return {name: float(place) for place, name in enumerate(names)}
    places = {short_value(value): float(value) for value in values}
    if min(values) > 0 and max(values) / min(values) >= _WIDE:
        axes.set_xscale("log")
    if len(names) <= _MOST_TICKS:
        axes.set_xticks(list(places.values()), list(places))
        axes.minorticks_off()
    return places


def _seeds(axes: Axes, x: list[float], y: list[float], style: dict[str, Any]) -> None:
    look = {"color": style["color"], "marker": style["marker"], "fillstyle": "none"}
    axes.plot(x, y, linestyle="", markersize=6, **look)


def _style(number: int) -> dict[str, Any]:
    return {
        "color": _COLOURS[number % len(_COLOURS)],
        "marker": _MARKS[number % len(_MARKS)],
        "linestyle": _DASHES[number % len(_DASHES)],
        "linewidth": 1.6,
    }


def _has_spread(series: list[Series]) -> bool:
    return any(len(entry.final) > 1 for entry in series)


def _caption(figure: Figure, text: str, series: list[Series]) -> None:
    if any(entry.baseline for entry in series):
        text += "; dashed: the same network in float32"
    figure.supxlabel(text, fontsize="small", color="0.35")


def _name(measure: str) -> str:
    return "test accuracy, %" if measure == "accuracy" else "test loss"


def _finish(axes: Axes) -> None:
    axes.grid(color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
