"""The picture of a search: the figure against each field, a panel each."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from crossmesh.emulator.study.axes import short_names, short_value
from crossmesh.emulator.study.domains import Domain
from crossmesh.emulator.study.ranking import Ranked
from crossmesh.emulator.study.search import Search

_DPI = 150
_WHOLE, _STOPPED, _BEST = "#0072b2", "0.55", "#d55e00"

Point = tuple[Ranked, Mapping[str, Any]]


def draw_search(points: Sequence[Point], search: Search, by: str | None, path: Path) -> None:
    """Draw candidates that have a figure.

    Args:
        points: Candidates, best first, and the values of their fields.
        search: The search.
        by: The figure that is searched by.
        path: The file.
    """
    points = [point for point in points if point[0].figure is not None]
    fields = search.fields
    figure = Figure(figsize=(max(5.0, 3.8 * len(fields)), 4.2), layout="constrained")
    panels = figure.subplots(1, len(fields), sharey=True, squeeze=False)[0]
    for axes, (axis, name) in zip(panels, short_names(fields).items(), strict=True):
        _against(axes, points, axis, fields[axis], 100.0 if by and "accuracy" in by else 1.0)
        axes.set_xlabel(name)
    label = (by or "figure").replace("_", " ")
    panels[0].set_ylabel(f"{label}, %" if "accuracy" in label else label)
    if points:
        panels[0].legend(fontsize="small", frameon=False)
    figure.savefig(path, dpi=_DPI)


def _against(axes: Axes, points: Sequence[Point], axis: str, domain: Domain, scale: float) -> None:
    names = [short_value(value) for value in domain.values]
    x = [names.index(short_value(at[axis])) if names else at[axis] for _, at in points]
    y = [scale * (one.figure or 0.0) for one, _ in points]
    looks: dict[str, tuple[list[int], dict[str, Any]]] = {
        "stopped early": ([], {"color": _STOPPED, "marker": "o", "fillstyle": "none"}),
        "trained to the end": ([], {"color": _WHOLE, "marker": "o"}),
        "best": ([], {"color": _BEST, "marker": "*", "markersize": 13}),
    }
    for i, (one, _) in enumerate(points):
        kind = "trained to the end" if one.is_whole else "stopped early"
        looks["best" if one.is_whole and i == 0 else kind][0].append(i)
    for label, (which, look) in looks.items():
        if which:
            axes.plot([x[i] for i in which], [y[i] for i in which], ls="", label=label, **look)
    if names:
        axes.set_xticks(range(len(names)), names)
    if domain.log:
        axes.set_xscale("log")
    axes.grid(color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
