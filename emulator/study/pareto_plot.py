"""Pictures of Pareto fronts: every point, and the front as numbered points with their names."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, Formatter, LogLocator, PercentFormatter

from crossmesh.emulator.study.fronts import FrontPoints

_DPI = 150
_GREY, _FRONT = "0.65", "#0072b2"
_WIDE = 5.0  # ratio of figures from which on their axis is logarithmic
_MOST_NAMED = 24  # of the points on a front
_SHADES = "viridis"


def draw_fronts(found: Sequence[FrontPoints], folder: Path, kind: str) -> list[Path]:
    """Draw every front that was asked for; a panel for each value that keeps rows apart."""
    paths = []
    for wanted in dict.fromkeys(front.front for front in found):
        panels = [front for front in found if front.front == wanted and front.points]
        if panels:
            paths.append(folder / f"{_picture_name(panels[0])}.{kind}")
            _picture(panels).savefig(paths[-1], dpi=_DPI)
    return paths


def _picture_name(front: FrontPoints) -> str:
    return f"pareto-{re.sub(r'[^A-Za-z0-9._-]+', '-', '-'.join(front.names))}"


def _picture(panels: Sequence[FrontPoints]) -> Figure:
    named = max(min(len(front.best), _MOST_NAMED) for front in panels)
    figure = Figure(figsize=(1 + 6 * len(panels), 5 + 0.09 * named), layout="constrained")
    for axes, front in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        names = list(front.columns)
        for axis, name, to_scale in (
            (axes.xaxis, names[0], axes.set_xscale),
            (axes.yaxis, names[1], axes.set_yscale),
        ):
            if _is_wide(front, name):
                to_scale("log")
                axis.set_minor_locator(LogLocator(subs=(2, 5)))
                axis.set_minor_formatter(_formatter(name))
            axis.set_major_formatter(_formatter(name))
            axis.set_label_text(_label(front, name))
        shades = _points(axes, front)
        if shades is not None:
            bar = figure.colorbar(shades, ax=axes)
            bar.set_label(_label(front, names[2]))
            bar.formatter = _formatter(names[2])
            bar.update_ticks()
        _names(axes, front)
        axes.set_title(front.among, fontsize="medium")
        axes.grid(color="0.9")
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _is_wide(front: FrontPoints, name: str) -> bool:
    """Whether a column's axis is logarithmic: no share, and figures of several sizes."""
    values = [point[name] for point in front.points]
    is_share = name.endswith("accuracy")
    return not is_share and min(values) > 0 and max(values) / min(values) >= _WIDE


def _points(axes: Axes, front: FrontPoints) -> PathCollection | None:
    """All points, the front among them; returned are the shades of a third column."""
    x, y, *more = (np.array([point[name] for point in front.points]) for name in front.columns)
    is_on = np.array(front.on_front)
    if not more:
        axes.scatter(x, y, s=18, color=_GREY)
        axes.plot(x[is_on], y[is_on], "o-", color=_FRONT, markersize=6, linewidth=1.2)
        return None
    axes.scatter(x[is_on], y[is_on], s=70, facecolors="none", edgecolors="black")
    return axes.scatter(x, y, c=more[0], s=np.where(is_on, 50, 18), cmap=_SHADES)


def _names(axes: Axes, front: FrontPoints) -> None:
    """A number at each point on the front, and below the picture its title."""
    first, second = list(front.columns)[:2]
    common, titles = _parts([str(point["title"]) for point in front.best])
    named = list(enumerate(zip(front.best, titles, strict=True), start=1))[:_MOST_NAMED]
    for number, (point, _) in named:
        place = (point[first], point[second])
        axes.annotate(
            str(number), place, xytext=(4, 4), textcoords="offset points", fontsize="x-small"
        )
    blank = Line2D([], [], linestyle="")
    axes.legend(
        [blank] * len(named),
        [f"{number}  {title}" for number, (_, title) in named],
        loc="upper left",
        bbox_to_anchor=(0, -0.13),
        ncols=2,
        fontsize="x-small",
        frameon=False,
        handlelength=0,
        title=common,
        title_fontsize="x-small",
        alignment="left",
    )


def _parts(titles: Sequence[str]) -> tuple[str, list[str]]:
    """The parts, between commas, that all titles have, and titles without them.

    >>> _parts(["net, rows=64, mesh", "net, rows=128, mesh"]), _parts(["net, mesh"])
    (('net, mesh', ['rows=64', 'rows=128']), ('', ['net, mesh']))
    """
    parts = [title.split(", ") for title in titles]
    common = [part for part in parts[0] if len(parts) > 1 and all(part in p for p in parts)]
    kept = [", ".join(part for part in mine if part not in common) for mine in parts]
    return ", ".join(common), [name or title for name, title in zip(kept, titles, strict=True)]


def _label(front: FrontPoints, name: str) -> str:
    better = "less" if front.columns[name] == "min" else "more"
    plain = re.sub(r"(?<!per)_(j|s|w)(?=_per_example|$)", "", name.removeprefix("chip_"))
    plain = plain.replace("_mm2", ", mm²")
    return f"{plain.replace('_', ' ')} ({better} is better)"


def _formatter(name: str) -> Formatter:
    """Ticks in percent, or with the unit that the column's name ends in."""
    if name.endswith("accuracy"):
        return PercentFormatter(1.0, decimals=0)
    units = {"_s": "s", "_j": "J", "_w": "W"}
    unit = units.get(name.removesuffix("_per_example")[-2:], "")
    return EngFormatter("" if "_per_s" in name or name.endswith("_per_w") else unit)
