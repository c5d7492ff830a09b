"""Devices as they behave in a crossbar: pulse response, steps, symmetry, retention."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from crossmesh.common.figures import BANDS, DOWN, GUIDE, UP, legend_below, note, panels, styled
from crossmesh.emulator.characterisation import simulate
from crossmesh.tiles.analog.cells import Cell

Array = NDArray[np.float64]

_POINTS = 200  # of a pulse response
_TRACES = 3
_YEAR_S = 3.15e7


def draw(cells: Mapping[str, Cell], seed: int) -> Figure:
    """A row of panels for each cell, by its name or file."""
    with styled():
        return _drawn(cells, seed)


def _drawn(cells: Mapping[str, Cell], seed: int) -> Figure:
    figure, grid = panels(len(cells), 4)
    for (name, cell), row in zip(cells.items(), grid, strict=True):
        _pulse_response(row[0], cell, seed)
        steps = simulate.steps(cell, seed)
        _steps(row[1], steps)
        _symmetry(row[2], steps)
        _retention(row[3], cell, seed)
        title = Path(name).name.removesuffix(".yaml")
        row[0].set_title(title, loc="left", fontweight="bold")
    legend_below(figure, grid[0][0], grid[0][1])
    return figure


def band(axes: Axes, x: Array, values: Array, which: int, label: str | None = None) -> None:
    """Mean of ``(points, devices)`` values plus and minus their standard deviation."""
    known = np.isfinite(values).any(axis=1)
    x, values = x[known], values[known]
    mean, deviation = np.nanmean(values, axis=1), np.nanstd(values, axis=1)
    style: dict[str, Any] = BANDS[which]
    axes.fill_between(x, mean - deviation, mean + deviation, linewidth=0, label=label, **style)


def _pulse_response(axes: Axes, cell: Cell, seed: int) -> None:
    n = simulate.pulses_for_range(cell, seed)
    crossbar = simulate.crossbar_of(cell, seed)
    simulate.to_bottom(crossbar)
    rise = simulate.response(crossbar, n, _POINTS, up=True)
    fall = simulate.response(crossbar, n, _POINTS, up=False)
    pulses = np.concatenate([rise[0], n + fall[0][1:]])
    shown = np.concatenate([rise[1], fall[1][1:]])
    band(axes, pulses, shown, 0, "mean ± s.d. of 1,024 devices")
    axes.plot(pulses, shown[:, :_TRACES], color="0.45", linewidth=0.6)
    axes.plot([], [], color="0.45", linewidth=0.6, label=f"{_TRACES} of them")
    for (time, response), style in ((rise, UP), ((n + fall[0], fall[1]), DOWN)):
        axes.plot(time, response.mean(axis=1), **style)
    axes.axvline(n, **GUIDE)
    axes.set(xlabel=f"pulses: {n:,} up, then {n:,} down", ylabel="conductance $w$")
    axes.locator_params(axis="x", nbins=5)


def _steps(axes: Axes, steps: simulate.Steps) -> None:
    for which, (values, style, label) in enumerate(
        ((steps.up, UP, "mean, up pulses"), (-steps.down, DOWN, "mean, down pulses"))
    ):
        band(axes, steps.points, values, which)
        axes.plot(steps.points, np.nanmean(values, axis=1), **style, label=label)
    axes.set(xlabel="conductance $w$", ylabel="size of change by one pulse")
    axes.set_ylim(0, 1.25 * axes.get_ylim()[1])
    note(axes, f"noise of a pulse: {steps.noise:.2g} steps")


def _symmetry(axes: Axes, steps: simulate.Steps) -> None:
    difference, whole = steps.up + steps.down, steps.up - steps.down
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = difference / np.where(whole > 0, whole, np.nan)
        mean = np.nanmean(difference, axis=1) / np.nanmean(whole, axis=1)
    band(axes, steps.points, ratio, 0)
    axes.plot(steps.points, mean, **UP)
    axes.axhline(0, **GUIDE)
    axes.set(xlabel="conductance $w$", ylabel="(up - down) / (up + down)", ylim=(-1.05, 1.05))
    point = symmetry_point(steps.points, mean)
    if point is None:
        text = "steps alike everywhere" if np.allclose(mean, 0, atol=0.02) else "no symmetry point"
    else:
        axes.plot([point], [0], "o", markersize=6, markerfacecolor="white", color="black")
        text = f"symmetry point $w$ = {round(point, 2) + 0.0:.2f}"
    note(axes, text)


def symmetry_point(points: Array, asymmetry: Array) -> float | None:
    """Where up and down steps are equal: the conductance that alternating pulses lead to."""
    falls = np.flatnonzero((asymmetry[:-1] > 0) & (asymmetry[1:] <= 0))
    if not len(falls) or np.allclose(asymmetry, 0, atol=0.02):
        return None
    k = falls[0]
    share = asymmetry[k] / (asymmetry[k] - asymmetry[k + 1])
    return float(points[k] + share * (points[k + 1] - points[k]))


def _retention(axes: Axes, cell: Cell, seed: int) -> None:
    """Weights over emulated time, from several levels, if nothing pulses them."""
    times_s = np.logspace(-6, np.log10(_YEAR_S), 40)
    keeps = True
    for level in np.linspace(-0.8, 0.8, 5):
        shown = simulate.waiting(cell, seed, level, times_s)
        band(axes, times_s, shown, 0)
        axes.plot(times_s, shown.mean(axis=1), **UP)
        keeps = keeps and bool(np.ptp(shown, axis=0).max() < 1e-6)
    axes.set(xscale="log", xlabel="time after writing (s)", ylabel="conductance $w$")
    axes.margins(y=0.2)
    if keeps:
        note(axes, "keeps its state")
