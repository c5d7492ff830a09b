"""From measured pulse responses to a jump-table device."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from crossmesh.common.errors import ConfigError
from crossmesh.common.refusals import sentence
from crossmesh.emulator.characterisation.goodness import goodness
from crossmesh.emulator.characterisation.noise import Noise, estimate_noise
from crossmesh.emulator.characterisation.parametric import TABLE, LawChoice, described
from crossmesh.emulator.characterisation.response import Response, fit_response
from crossmesh.emulator.characterisation.tables import PulseMeasurement
from crossmesh.tiles.analog.devices import JumpTable

Array = NDArray[np.float64]

_DIGITS = 5  # significant ones in a table
UNREAD = 0.1  # of the range, which is too much to go unsaid; the first step is never read


class Fit(NamedTuple):
    """A device and how it was found; all but ``device`` in the unit of the measurement.

    Attributes:
        device: The jump table.
        up: Mean responses to up pulses.
        down: Mean responses to down pulses.
        white: ``(devices,)`` standard deviation of what noise does not stay in the conductance.
        description: The law of the steps, and how well others do.
    """

    device: JumpTable
    up: Response
    down: Response
    white: Array
    description: LawChoice


def fit_device(
    measurement: PulseMeasurement,
    path: Path,
    *,
    n_points: int,
    device_noise: float,
    unit: str,
    law: str = TABLE,
) -> Fit:
    """Fit a jump table to a measurement.

    Args:
        measurement: Pulse responses of one device or many.
        path: The file that it comes from, for errors.
        n_points: Conductances at which a table gives changes.
        device_noise: Spread of all changes between devices beyond that of the measurement.
        unit: Unit of the conductances.
        law: Law of the steps, by name; ``table`` for none, ``auto`` for the likeliest.

    Raises:
        ConfigError: If pulses do not move the conductance in their direction.
    """
    _check_directions(measurement, path)
    readings = measurement.up, measurement.down
    description = described(_responses(measurement), readings, law)
    up, down = description.responses
    lower = np.minimum(up.mean.min(axis=1), down.mean.min(axis=1))
    upper = np.maximum(up.mean.max(axis=1), down.mean.max(axis=1))
    residuals = (measurement.up - up.mean[:, None], measurement.down - down.mean[:, None])
    width = (upper - lower)[:, None]
    places = ((up.mean - lower[:, None]) / width, (down.mean - lower[:, None]) / width)
    noises = estimate_noise(residuals, places)
    offset = _rounded((upper.max() + lower.min()) / 2)
    scale = _rounded((upper.max() - lower.min()) / 2)
    tables = [
        _table((up, down), noises, k, np.linspace(lower[k], upper[k], n_points), (offset, scale))
        for k in range(len(measurement.names))
    ]
    fields = {"offset": offset, "scale": scale, "unit": unit, "device_noise": device_noise}
    try:
        device = JumpTable.model_validate({"tables": tables, **fields})
    except ValidationError as error:
        raise ConfigError(f"{path}: {sentence(error, JumpTable)}") from None
    white = np.sqrt((noises[0].white ** 2 + noises[1].white ** 2) / 2)
    return Fit(device, up, down, white, description)


def figures(fit: Fit, measurement: PulseMeasurement) -> dict[str, Any]:
    """Figures of a fit; docs/devices.md has the formula of each.

    ``states`` is the range over the mean step at mid-range. ``asymmetry`` is the difference of up
    and down steps there over their sum. ``nonlinearity`` is how far a mean response is at most from
    a straight line to a device's last reading, as a share of its range, on average over devices.
    Noises are in steps at mid-range. Spreads between devices are relative, and None for one
    device. ``extrapolated_up`` is the part of a device's range, on average, in which no up pulses
    were read; there, steps are continued from where they were. ``shared`` is the part in which
    both were read, and ``middle_measured`` says whether mid-range lies in it.
    """
    device, tables = fit.device, fit.device.tables
    rises = np.array([table.change(0.0, up=True) for table in tables])
    falls = np.array([-table.change(0.0, up=False) for table in tables])
    widths = np.array([table.upper - table.lower for table in tables])
    noise = np.array([[table.up_noise, table.down_noise] for table in tables])
    reach = (min(table.lower for table in tables), max(table.upper for table in tables))
    return {
        "devices": len(tables),
        "cycles": measurement.up.shape[1],
        "up_pulses": measurement.up.shape[2],
        "down_pulses": measurement.down.shape[2],
        "unit": device.unit,
        "notes": list(measurement.notes),
        "range": [device.offset + device.scale * w for w in reach],
        "offset": device.offset,
        "scale": device.scale,
        "states": float(widths.mean() / device.granularity),
        "asymmetry": float((rises - falls).sum() / (rises + falls).sum()),
        "nonlinearity_up": _nonlinearity(fit.up, measurement.up),
        "nonlinearity_down": _nonlinearity(fit.down, measurement.down),
        "cycle_noise": float(np.sqrt((noise**2).mean()) / device.granularity),
        "write_noise": write_noise(fit),
        "extrapolated_up": float(extrapolated(fit.up, fit.down).mean()),
        "extrapolated_down": float(extrapolated(fit.down, fit.up).mean()),
        "shared": float(_shared(fit.up, fit.down).mean()),
        "middle_measured": _middle_is_measured(fit),
        "step_spread": _spread(rises + falls),
        "range_spread": _spread(widths),
        "symmetry_point": device.offset
        + device.scale * float(np.mean([table.symmetry_point for table in tables])),
        "on_off": _on_off(device),
        **goodness((fit.up, fit.down), (measurement.up, measurement.down), fit.white),
        "law": fit.description.law,
        "laws": [row._asdict() for row in fit.description.rows],
    }


def warnings(found: dict[str, Any]) -> list[str]:
    """How the files were read, and which figures are not measured, a sentence each."""
    lines = [
        f"extrapolated: no {way} pulses were read in {100 * share:.0f} % of the range"
        for way in ("up", "down")
        if (share := found[f"extrapolated_{way}"]) > UNREAD
    ]
    if not found["shared"]:
        lines.insert(0, "extrapolated: up and down pulses were read at no common conductance")
    if not found["middle_measured"]:
        lines.append("extrapolated: states, asymmetry and noises, which are those at mid-range")
    return [*found["notes"], *lines]


def write_noise(fit: Fit) -> float:
    """Noise of a reading in mean steps at mid-range, over all devices."""
    steps = fit.white / fit.device.scale / fit.device.granularity
    return float(np.sqrt((steps**2).mean()))


def _nonlinearity(response: Response, readings: Array) -> float:
    shares = []
    for mean, cycles in zip(response.mean, np.isfinite(readings), strict=True):
        last = np.flatnonzero(cycles.any(axis=0))[-1]
        known = mean[: last + 1]  # then it is held
        line = np.linspace(known[0], known[-1], len(known))
        shares.append(np.abs(known - line).max() / abs(known[-1] - known[0]))
    return float(np.mean(shares))


def _on_off(device: JumpTable) -> float | None:
    """Highest over lowest conductance, on average; None if the lowest is not above 0."""
    ends = np.array([[table.lower, table.upper] for table in device.tables])
    low, high = (device.offset + device.scale * ends).T
    return float((high / low).mean()) if (low > 0).all() else None


def _spread(values: Array) -> float | None:
    return float(values.std(ddof=1) / values.mean()) if len(values) > 1 else None


def _responses(measurement: PulseMeasurement) -> tuple[Response, Response]:
    """Mean responses, the readings of several cycles taken together."""
    counts = [
        np.isfinite(readings).sum(axis=1).astype(float)
        for readings in (measurement.up, measurement.down)
    ]
    means = [
        np.nansum(readings, axis=1) / np.maximum(count, 1)
        for readings, count in zip((measurement.up, measurement.down), counts, strict=True)
    ]
    seen = [count > 0 for count in counts]
    pairs = list(zip(means, seen, strict=True))
    lowest = np.minimum(*(np.min(y, axis=1, where=s, initial=np.inf) for y, s in pairs))
    highest = np.maximum(*(np.max(y, axis=1, where=s, initial=-np.inf) for y, s in pairs))
    up, down = (
        fit_response(y, n, lowest, highest, up=rising)
        for y, n, rising in zip(means, counts, (True, False), strict=True)
    )
    return up, down


def _shared(up: Response, down: Response) -> Array:
    """``(devices,)`` part of a device's range in which pulses of both directions were read."""
    lows, highs = (np.array([f(way.mean, axis=1) for way in (up, down)]) for f in (np.min, np.max))
    common = np.maximum(highs.min(axis=0) - lows.max(axis=0), 0)
    return np.asarray(common / (highs.max(axis=0) - lows.min(axis=0)))


def extrapolated(response: Response, other: Response) -> Array:
    """``(devices,)`` part of a device's range in which no pulses of ``response`` were read."""
    low, high = response.mean.min(axis=1), response.mean.max(axis=1)
    width = np.maximum(high, other.mean.max(axis=1)) - np.minimum(low, other.mean.min(axis=1))
    return np.asarray(1 - (high - low) / width)


def _middle_is_measured(fit: Fit) -> bool:
    """Whether every device was seen at mid-range, ``w == 0``, under pulses of both directions."""
    return all(
        bool(np.all((way.mean.min(axis=1) <= fit.device.offset)
                    & (way.mean.max(axis=1) >= fit.device.offset)))
        for way in (fit.up, fit.down)
    )  # fmt: skip


def _check_directions(measurement: PulseMeasurement, path: Path) -> None:
    for readings, sign, rule in (
        (measurement.up, 1, "up pulses that raise"),
        (measurement.down, -1, "down pulses that lower"),
    ):
        for name, cycles in zip(measurement.names, readings, strict=True):
            known = [cycle[np.isfinite(cycle)] for cycle in cycles]
            few = [max(1, len(row) // 3) for row in known]
            thirds = [(row[:n], row[-n:]) for row, n in zip(known, few, strict=True) if len(row)]
            travel = np.mean([last.mean() - first.mean() for first, last in thirds])
            if sign * travel <= 0:
                raise ConfigError(
                    f"{path} must have {rule} the conductance, got a change of {travel:.3g} "
                    f"for device {name}; are up and down exchanged?"
                )


def _table(
    responses: tuple[Response, Response],
    noises: tuple[Noise, Noise],
    device: int,
    points: Array,
    units: tuple[float, float],
) -> dict[str, float | list[float]]:
    """One device's part of the file, normalised and rounded."""
    offset, scale = units
    table: dict[str, float | list[float]] = {
        "lower": _rounded((points[0] - offset) / scale),
        "upper": _rounded((points[-1] - offset) / scale),
    }
    along = np.linspace(0, 1, len(points))
    for way, response, noise in zip(("up", "down"), responses, noises, strict=True):
        profile = np.interp(along, np.linspace(0, 1, len(noise.profile)), noise.profile)
        change = response.change(device, points) / scale
        deviation = noise.cycle[device] * profile / scale
        table[way] = [_rounded(value) for value in change]
        table[f"{way}_noise"] = [_rounded(value) for value in deviation]
    return table


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}") + 0.0  # no negative zero
