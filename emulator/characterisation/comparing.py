"""Devices side by side: figures and curves, found by pulsing 1,024 emulated ones each."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from crossmesh.common.figures import GUIDE, legend_below, panels, styled
from crossmesh.emulator.characterisation import simulate
from crossmesh.emulator.characterisation.plot_devices import symmetry_point
from crossmesh.tiles.analog.cells import Cell

Array = NDArray[np.float64]

_POINTS = 100  # of a response
_COLOURS = ("black", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00")
_DASHES = ("-", (0, (5, 2)), (0, (1, 1.2)), (0, (5, 1, 1, 1)))


class Behaviour(NamedTuple):
    """What a device does in a crossbar, on average and by its spread.

    Attributes:
        figures: By name; None where there is none. docs/devices.md has the formulas.
        pulses: ``(points,)`` numbers of pulses, up and then down.
        response: ``(points,)`` mean conductance after them, without noise.
        steps: Steps at each conductance.
    """

    figures: dict[str, float | None]
    pulses: Array
    response: Array
    steps: simulate.Steps


def behaviour(cell: Cell, seed: int) -> Behaviour:
    """Pulse a crossbar of such cells over its range."""
    n = simulate.pulses_for_range(cell, seed)
    crossbar = simulate.crossbar_of(simulate.quiet(cell), seed)
    simulate.to_bottom(crossbar)
    rise = simulate.response(crossbar, n, _POINTS, up=True)
    fall = simulate.response(crossbar, n, _POINTS, up=False)
    up, down = rise[1].mean(axis=1), fall[1].mean(axis=1)
    steps = simulate.steps(cell, seed)
    middle = int(np.argmin(np.abs(steps.points)))
    mean_up, mean_down = np.nanmean(steps.up, axis=1), -np.nanmean(steps.down, axis=1)
    rises, falls = mean_up[middle], mean_down[middle]
    width = rise[1].max(axis=0) - rise[1].min(axis=0)
    step = (rises + falls) / 2
    own = (steps.up - steps.down)[middle] / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        asymmetry = (mean_up - mean_down) / (mean_up + mean_down)
    figures = {
        "pulses for the range": float(n),
        "range": float(width.mean()),
        "states": float(width.mean() / step),
        "asymmetry of steps": float((rises - falls) / (rises + falls)),
        "nonlinearity up": _nonlinearity(up),
        "nonlinearity down": _nonlinearity(down),
        "symmetry point": symmetry_point(steps.points, asymmetry),
        "cycle noise, steps": steps.noise,
        "spread of steps": float(np.nanstd(own) / np.nanmean(own)),
        "spread of ranges": float(width.std() / width.mean()),
    }
    pulses = np.concatenate([rise[0], n + fall[0][1:]])
    return Behaviour(figures, pulses, np.concatenate([up, down[1:]]), steps)


def _nonlinearity(mean: Array) -> float | None:
    travel = abs(mean[-1] - mean[0])
    line = np.linspace(mean[0], mean[-1], len(mean))
    return float(np.abs(mean - line).max() / travel) if travel > 0 else None


def draw(found: Mapping[str, Behaviour]) -> Figure:
    """Responses, steps and symmetry of all devices, a line each."""
    with styled():
        figure, grid = panels(1, 3)
        for k, (name, device) in enumerate(found.items()):
            style: dict[str, Any] = {"color": _COLOURS[k % len(_COLOURS)], "linewidth": 1.3,
                                     "linestyle": _DASHES[k % len(_DASHES)]}  # fmt: skip
            _curves(grid[0], Path(name).name.removesuffix(".yaml"), device, style)
        legend_below(figure, grid[0][0])
    return figure


def _curves(axes: list[Axes], name: str, device: Behaviour, style: dict[str, Any]) -> None:
    half = device.pulses[-1] / 2
    low, high = device.response.min(), device.response.max()
    axes[0].plot(device.pulses / half, (device.response - low) / (high - low), label=name, **style)
    axes[0].set(xlabel="pulses up, then down, per row", ylabel="share of the range")
    steps = device.steps
    up, down = np.nanmean(steps.up, axis=1), -np.nanmean(steps.down, axis=1)
    place = (steps.points - low) / (high - low)
    for way, fill in ((up, "^"), (down, "v")):
        axes[1].plot(place, way / (high - low), marker=fill, markevery=8, markersize=3, **style)
    axes[1].set(xlabel="share of the range", ylabel="step per range (▲ up, ▼ down)", yscale="log")
    with np.errstate(invalid="ignore", divide="ignore"):
        axes[2].plot(place, (up - down) / (up + down), **style)
    axes[2].axhline(0, **GUIDE)
    axes[2].set(xlabel="share of the range", ylabel="(up - down) / (up + down)", ylim=(-1.05, 1.05))
