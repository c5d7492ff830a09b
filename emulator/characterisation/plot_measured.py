"""A measurement and the device fitted to it, side by side."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from crossmesh.common.figures import DOWN, UP, legend_below, note, panels, styled
from crossmesh.common.random import Stream
from crossmesh.emulator.characterisation import simulate
from crossmesh.emulator.characterisation.fit import UNREAD, Fit, extrapolated
from crossmesh.emulator.characterisation.tables import PulseMeasurement
from crossmesh.tiles.analog.cells.base import Crossbar
from crossmesh.tiles.analog.devices import JumpTable
from crossmesh.tiles.analog.devices.jump_table import TABLE

Array = NDArray[np.float64]

_POINTS = 200  # of the model's response
_SHOWN = 40  # measured devices that are drawn, at most
_BLOCKS = 7  # that a response is cut into to see its slope
_DOT: dict[str, Any] = {"color": "0.45", "linestyle": "none", "markersize": 2}
_EDGE: dict[str, Any] = {"color": "black", "linestyle": (0, (4, 1.5)), "linewidth": 0.9}
_READ: dict[str, Any] = {"color": "black", "linestyle": (0, (1, 1.5)), "linewidth": 0.9}


def draw(fit: Fit, measurement: PulseMeasurement, seed: int) -> Figure:
    """Pulse responses and steps of both; for several devices their spread as well."""
    with styled():
        return _drawn(fit, measurement, seed)


def _drawn(fit: Fit, measurement: PulseMeasurement, seed: int) -> Figure:
    many = len(measurement.names) > 1
    figure, grid = panels(1, 4 if many else 3)
    for axes, up in ((grid[0][0], True), (grid[0][1], False)):
        ends = _response(axes, fit, measurement, seed, up=up)
        if many and up:
            _spread(grid[0][3], fit, measurement, ends)
    _steps(grid[0][2], fit, measurement, seed)
    legend_below(figure, grid[0][0], grid[0][2])
    return figure


def _response(
    axes: Axes, fit: Fit, measurement: PulseMeasurement, seed: int, *, up: bool
) -> tuple[int, Array]:
    """Data under the model; returns a quarter of the pulses and the model's devices there."""
    readings = measurement.up if up else measurement.down
    way = "up" if up else "down"
    n = readings.shape[2] - 1
    numbers, shown = simulate.response(_started(fit, seed, up=up), n, _POINTS, up=up)
    pulses, model = numbers + 1, _in_unit(fit.device, shown)
    rows = readings[:_SHOWN].reshape(-1, n + 1)
    n_lines = len(rows)
    if n_lines == 1:
        axes.plot(np.arange(1, n + 2), rows[0], ".", label="data", **_DOT)
    else:
        for row in rows:
            read = np.flatnonzero(np.isfinite(row))  # a line from reading to reading
            axes.plot(1 + read, row[read], color="0.6", linewidth=0.4)
        axes.plot([], [], color="0.6", linewidth=0.6, label=f"data, a line for each of {n_lines}")
    axes.plot(pulses, model.mean(axis=1), **UP, label="model: mean")
    with_reading = np.sqrt(model.var(axis=1) + (fit.white**2).mean())
    for deviation, style, label in (
        (model.std(axis=1), _EDGE, "± s.d."),
        (with_reading, _READ, "± s.d. with noise of reading"),
    ):
        axes.plot(pulses, model.mean(axis=1) + deviation, **style, label=label)
        axes.plot(pulses, model.mean(axis=1) - deviation, **style)
    axes.set(xlabel=f"{way} pulses", ylabel=_label("conductance", fit.device))
    axes.set_title(f"Response to {way} pulses", loc="left")
    quarter = int(np.searchsorted(pulses, (n + 1) / 4))
    return int(pulses[quarter]), model[quarter]


def _started(fit: Fit, seed: int, *, up: bool, noisy: bool = True) -> Crossbar:
    """Emulated devices, each where the response of the measured one that it is began."""
    drawn = fit.device.sample(simulate.SHAPE, Stream(seed=seed, owner=0), 0)[TABLE].astype(int)
    began = (fit.up if up else fit.down).mean[:, 0]
    device = fit.device if noisy else simulate.quiet(fit.device)
    crossbar = simulate.crossbar_of(device, seed)
    crossbar.write(((began[drawn] - fit.device.offset) / fit.device.scale).astype(np.float32))
    return crossbar


def _steps(axes: Axes, fit: Fit, measurement: PulseMeasurement, seed: int) -> None:
    """Change per pulse along the mean response: slopes of the data's blocks, and the model's."""
    for readings, up, marker, style in (
        (measurement.up, True, "^", UP),
        (measurement.down, False, "v", DOWN),
    ):
        sign, way = (1, "up") if up else (-1, "down")
        n = readings.shape[2] - 1
        crossbar = _started(fit, seed, up=up, noisy=False)
        numbers, shown = simulate.response(crossbar, n, _POINTS, up=up)
        mean = _in_unit(fit.device, shown).mean(axis=1)
        axes.plot(mean, sign * np.gradient(mean, numbers), **style, label=f"model: {way} steps")
        place, slope = _slopes(readings)
        dots = {**_DOT, "markersize": 4.5, "markerfacecolor": "white" if up else "0.45"}
        axes.plot(place, sign * slope, marker, label=f"data, {way} steps", **dots)
    _shade(axes, fit)
    axes.set(xlabel=_label("conductance", fit.device), ylabel="size of change per pulse")
    axes.set_ylim(0, None)
    axes.set_title("Steps along the mean response", loc="left")


def _shade(axes: Axes, fit: Fit) -> None:
    """Where pulses of one direction were never read, so that the other's is continued."""
    for response, other, way in ((fit.up, fit.down, "up"), (fit.down, fit.up, "down")):
        if extrapolated(response, other).mean() <= UNREAD:
            continue
        low, high = (float(f(response.mean, axis=1).mean()) for f in (np.min, np.max))
        ends = [float(f(other.mean, axis=1).mean()) for f in (np.min, np.max)]
        label = f"no {way} pulses were read: extrapolated"
        for start, stop in ((ends[0], low), (high, ends[1])):
            if stop > start:
                hatch = "//" if way == "up" else "\\\\"
                axes.axvspan(
                    start, stop, facecolor="none", edgecolor="0.8", hatch=hatch, label=label
                )
                label = "_again"


def _slopes(readings: Array) -> tuple[Array, Array]:
    """Where the mean of all devices is in each block of pulses, and its slope there."""
    every = np.isfinite(readings).sum(axis=(0, 1))
    mean = np.nansum(readings, axis=(0, 1)) / np.maximum(every, 1)
    blocks = [b for b in np.array_split(np.flatnonzero(every), _BLOCKS) if len(b) > 1]
    place = np.array([mean[block].mean() for block in blocks])
    return place, np.array([np.polyfit(block, mean[block], 1)[0] for block in blocks])


def _spread(axes: Axes, fit: Fit, measurement: PulseMeasurement, model: tuple[int, Array]) -> None:
    """Histograms over devices of the conductance after a quarter of the up pulses."""
    pulse, emulated = model
    data = _about(measurement.up, pulse)
    both = np.concatenate([data, emulated])
    edges = np.linspace(both.min(), both.max(), 24).tolist()
    axes.hist(data, edges, density=True, color="0.8", label="data")
    axes.hist(emulated, edges, density=True, histtype="step", color="black", label="model")
    axes.set(xlabel=_label("conductance", fit.device), ylabel="devices (density)")
    axes.set_title(f"Spread after {pulse:,} up pulses", loc="left")
    axes.set_ylim(0, 1.3 * axes.get_ylim()[1])
    axes.legend(loc="upper left")
    note(axes, f"s.d. of data {data.std():.3g},\nof model {emulated.std():.3g}")


def _about(readings: Array, pulse: int) -> Array:
    """``(devices,)`` mean reading within 2 % of all pulses from ``pulse``, or at the nearest."""
    n = readings.shape[2]
    away = np.where(np.isfinite(readings), np.abs(np.arange(1, n + 1) - pulse), np.inf)
    reach = np.maximum(away.min(axis=(1, 2), keepdims=True), max(1, n // 50))
    return np.asarray(np.nanmean(np.where(away <= reach, readings, np.nan), axis=(1, 2)))


def _in_unit(device: JumpTable, w: Array) -> Array:
    return device.offset + device.scale * w


def _label(quantity: str, device: JumpTable) -> str:
    return f"{quantity} ({device.unit})" if device.unit else f"{quantity}, as measured"
