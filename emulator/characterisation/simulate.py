"""Responses of emulated devices, found by pulsing a crossbar of them."""

import itertools
import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from crossmesh.common.random import Stream
from crossmesh.tiles.analog.cells import Cell
from crossmesh.tiles.analog.cells.base import Crossbar
from crossmesh.tiles.analog.crossbar import build
from crossmesh.tiles.analog.update import UpdateConfig

Array = NDArray[np.float64]

SHAPE = (16, 64)  # 1,024 devices
_ONE_PULSE = UpdateConfig(
    trains="deterministic", length=1, update_management=False, length_management=False
)
_RATE = 1e3  # of updates, so large that every train holds its one pulse
_MOST_PULSES = 16_384
_SETTLED = 0.03  # of the whole way, left for the second half of the pulses
_MARGIN = 0.02  # of the range, at both ends, where bounds cut steps short
_CLOSE = 0.002  # of the range: a written conductance, so that its steps count
_FEWEST = 20  # devices that reach a conductance, for their steps there to be shown
_WAITED = 1000  # examples without pulses that make up a time
_REPEATS = 16  # of a pulse, to see its noise
_NOISES = {"cycle_noise": 0.0, "write_noise": 0.0}


class Steps(NamedTuple):
    """Changes by one pulse without cycle noise.

    Attributes:
        points: ``(points,)`` conductances.
        up: ``(points, devices)``; NaN where a bound keeps the device from the conductance.
        down: ``(points, devices)``.
        noise: Standard deviation of a pulse's change between pulses, over mean step.
    """

    points: Array
    up: Array
    down: Array
    noise: float


def crossbar_of(cell: Cell, seed: int) -> Crossbar:
    """A crossbar of so many devices as a plot shows."""
    return build(cell, SHAPE, Stream(seed=seed, owner=0), _ONE_PULSE)


def quiet(cell: Cell) -> Cell:
    """A copy of the cell without cycle noise."""
    silent: Cell = _silenced(cell, _NOISES)
    return silent


def _silenced(part: Any, noises: dict[str, float]) -> Any:
    if not isinstance(part, BaseModel):
        return part
    fields = {
        name: noises[name] if name in noises else _silenced(getattr(part, name), noises)
        for name in type(part).model_fields
    }
    return part.model_copy(update=fields)


def waiting(cell: Cell, seed: int, level: float, times_s: Array) -> Array:
    """Conductances ``(times, devices)`` at some times after ``level`` was written."""
    rows, cols = SHAPE
    x, d = np.zeros((_WAITED, rows), np.float32), np.zeros((_WAITED, cols), np.float32)
    shown = []
    for time_s in times_s:
        stream = Stream(seed=seed, owner=0)
        crossbar = build(quiet(cell), SHAPE, stream, _ONE_PULSE, time_s / _WAITED)
        crossbar.write(np.full(SHAPE, level, np.float32))
        crossbar.update(x, d, _RATE, 0)
        shown.append(crossbar.weights.ravel().copy())
    return np.array(shown, float)


def pulse(crossbar: Crossbar, n: int, first: int, *, up: bool) -> None:
    """Send every device ``n`` pulses, the first of which is number ``first``."""
    rows, cols = crossbar.weights.shape
    x = np.ones((n, rows), np.float32)
    d = np.full((n, cols), 1 if up else -1, np.float32)
    crossbar.update(x, d, _RATE, first)


def to_bottom(crossbar: Crossbar) -> None:
    """Bring every device to its lower bound."""
    crossbar.write(np.full(crossbar.weights.shape, -1e6, np.float32))


def pulses_for_range(cell: Cell, seed: int) -> int:
    """Pulses in which the mean device covers its range, but for a few percent, and some more."""
    crossbar = crossbar_of(quiet(cell), seed)
    to_bottom(crossbar)
    means, n = [float(crossbar.weights.mean())], 16
    numbers = [0]
    while numbers[-1] < _MOST_PULSES:
        pulse(crossbar, n, numbers[-1], up=True)
        numbers.append(numbers[-1] + n)
        means.append(float(crossbar.weights.mean()))
        n = max(16, numbers[-1] // 16)
        half = np.interp(numbers[-1] / 2, numbers, means)
        if means[-1] - half <= _SETTLED * (half - means[0]):
            break
    there = means[0] + (1 - _SETTLED) * (means[-1] - means[0])
    return math.ceil(1.15 * float(np.interp(there, means, numbers)))


def response(crossbar: Crossbar, n: int, n_points: int, *, up: bool) -> tuple[Array, Array]:
    """Pulse a crossbar from its present state, and record its devices.

    Args:
        crossbar: The crossbar, whose state changes.
        n: Pulses per device.
        n_points: Readings after the first, at equal distances.
        up: Direction of the pulses.

    Returns:
        Pulse numbers ``(points,)``, and conductances ``(points, devices)``.
    """
    numbers = np.unique(np.linspace(0, n, n_points + 1).round().astype(int))
    shown = [crossbar.weights.ravel().copy()]
    for start, stop in itertools.pairwise(numbers):
        pulse(crossbar, int(stop - start), int(start), up=up)
        shown.append(crossbar.weights.ravel().copy())
    return numbers.astype(float), np.array(shown, float)


def steps(cell: Cell, seed: int, n_points: int = 41) -> Steps:
    """Changes by one pulse at conductances that cover the mean range."""
    still = crossbar_of(quiet(cell), seed)
    to_bottom(still)
    lower = float(still.weights.mean())
    still.write(np.full(SHAPE, 1e6, np.float32))
    upper = float(still.weights.mean())
    margin = _MARGIN * (upper - lower)
    points = np.linspace(lower + margin, upper - margin, n_points)
    reached = np.array([_written(still, w, _CLOSE * (upper - lower)) for w in points])
    known = reached.sum(axis=1) >= _FEWEST
    points, reached = points[known], reached[known]
    up, down = (
        np.where(reached, [_change(still, w, 0, up=rising) for w in points], np.nan)
        for rising in (True, False)
    )
    noisy, at = crossbar_of(_silenced(cell, {"write_noise": 0.0}), seed), len(points) // 2
    many = np.array([_change(noisy, points[at], k, up=True) for k in range(_REPEATS)])
    noise = math.sqrt(many[:, reached[at]].var(axis=0, ddof=1).mean())
    return Steps(points, up, down, 2 * noise / float(np.nanmean(up[at]) - np.nanmean(down[at])))


def _written(crossbar: Crossbar, w: float, within: float) -> NDArray[np.bool_]:
    """Which devices hold ``w``, their bounds allowing it."""
    wanted = np.full(SHAPE, w, np.float32)
    crossbar.write(wanted)
    return np.isclose(crossbar.weights, wanted, atol=within).ravel()


def _change(crossbar: Crossbar, w: float, number: int, *, up: bool) -> Array:
    """Of every device by one pulse at ``w``; ``number`` keys its noise."""
    crossbar.write(np.full(SHAPE, w, np.float32))
    before = crossbar.weights.astype(float)
    pulse(crossbar, 1, number, up=up)
    return np.asarray((crossbar.weights - before).ravel())
