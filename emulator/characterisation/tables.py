"""Tables of measured pulse responses, in CSV or Parquet, as they come from a laboratory."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.characterisation.sheets import MOST_CELLS, Sheet, listed, read_sheet, short

Array = NDArray[np.float64]

FEWEST, MOST = 10, 10_000  # pulses of a device in one direction
_MOST_PULSE = 10**9  # the number of a pulse
_LONG = ("device", "direction", "pulse", "conductance")
_SHAPES = (
    f"columns {', '.join(_LONG)}, or up_NAME and down_NAME for each device, "
    "or two columns without names (up, down)"
)


class PulseMeasurement(NamedTuple):
    """Conductances after pulses, in the unit of the file; NaN where there is no reading.

    Attributes:
        names: Names of the devices.
        up: ``(devices, cycles, pulses)`` after each of a row of up pulses.
        down: ``(devices, cycles, pulses)`` after each of a row of down pulses.
    """

    names: list[str]
    up: Array
    down: Array


def read_measurement(path: Path) -> PulseMeasurement:
    """Read a measurement.

    Raises:
        ConfigError: With one line that names the file, the place in it, the rule and the value.
    """
    sheet = read_sheet(path)
    if "direction" in sheet.names:
        return _from_long(sheet)
    return _from_wide(sheet)


def _check_grid(path: Path, devices: int, cycles: int, pulses: int) -> None:
    """Refuse what no file of as many cells could hold without gaps, before it is laid out."""
    if devices * cycles * pulses > MOST_CELLS // len(_LONG):
        rule = f"must have at most {MOST_CELLS // len(_LONG):,} devices x cycles x pulses"
        got = f"{devices:,} x {cycles:,} x {pulses:,}"
        raise ConfigError(f"{path} {rule} in a direction, got {got}")


def _from_wide(sheet: Sheet) -> PulseMeasurement:
    """Two columns per device; a column may end before others."""
    names = sheet.names or ["up", "down"]
    if len(names) != len(sheet.columns):
        raise ConfigError(
            f"{sheet.path} without names of columns must have two (up, down), "
            f"got {len(sheet.columns)}"
        )
    parts = [re.fullmatch(r"(up|down)(?:[_ -](.+))?", name) for name in names]
    if not all(parts):
        raise ConfigError(f"{sheet.path} must have {_SHAPES}, got {listed(names)}")
    devices = dict.fromkeys(part[2] or "1" for part in parts if part)
    found = {(part[1], part[2] or "1"): k for k, part in enumerate(parts) if part}
    readings: dict[str, list[list[Array]]] = {"up": [], "down": []}
    for device in devices:
        for direction, rows in readings.items():
            if (direction, device) not in found:
                raise ConfigError(
                    f"{sheet.path} must have a column {direction} for device {short(device)}, "
                    f"got {listed(names)}"
                )
            k = found[direction, device]
            rows.append([_filled(sheet, names[k], sheet.columns[k])])
    return _measurement(sheet, list(devices), readings)


def _filled(sheet: Sheet, name: str, cells: Sequence[Any]) -> Array:
    """The numbers of a column up to its last that is given."""
    n = max((k + 1 for k, cell in enumerate(cells) if cell not in {"", None}), default=0)
    return np.array([sheet.number(cell, k, name) for k, cell in enumerate(cells[:n])])


def _from_long(sheet: Sheet) -> PulseMeasurement:
    """One row per reading."""
    device, direction, pulse, conductance = (sheet.column(name) for name in _LONG)
    cycle = sheet.column("cycle") if "cycle" in sheet.names else [""] * len(device)
    readings: dict[str, dict[tuple[str, str], dict[int, float]]] = {}
    for k in range(len(device)):
        towards = str(direction[k]).strip().lower()
        if towards not in {"up", "down"}:
            raise sheet.refusal(k, "direction", "be up or down", direction[k])
        number = sheet.number(pulse[k], k, "pulse")
        if not (0 <= number <= _MOST_PULSE and number == int(number)):
            rule = f"be a whole number from 0 to {_MOST_PULSE}"
            raise sheet.refusal(k, "pulse", rule, pulse[k])
        groups = readings.setdefault(str(device[k]), {})
        group = groups.setdefault((towards, str(cycle[k])), {})
        if int(number) in group:
            raise sheet.refusal(k, "pulse", "be unique for this device and direction", pulse[k])
        group[int(number)] = sheet.number(conductance[k], k, "conductance")
    rows = {
        towards: [
            [group for key, group in groups.items() if key[0] == towards]
            for groups in readings.values()
        ]
        for towards in ("up", "down")
    }
    for cycles in rows.values():
        spans = [_span(of_device) for of_device in cycles]
        for name, (first, stop) in zip(readings, spans, strict=True):
            _check_pulses(sheet, name, stop - first)
        longest = max(stop - first for first, stop in spans)
        _check_grid(sheet.path, len(spans), max(map(len, cycles)), longest)
    by_pulse = {towards: [_by_pulse(groups) for groups in rows[towards]] for towards in rows}
    return _measurement(sheet, list(readings), by_pulse)


def _span(cycles: list[dict[int, float]]) -> tuple[int, int]:
    """The first pulse that was read in any cycle, and the one behind the last."""
    return min(map(min, cycles), default=0), max(map(max, cycles), default=-1) + 1


def _by_pulse(cycles: list[dict[int, float]]) -> list[Array]:
    """Readings of one device and direction by pulse, cycle after cycle."""
    if not cycles:
        return [np.zeros(0)]
    first, stop = _span(cycles)
    rows = [np.full(stop - first, np.nan) for _ in cycles]
    for row, group in zip(rows, cycles, strict=True):
        row[np.array(list(group)) - first] = list(group.values())
    return rows


def _check_pulses(sheet: Sheet, device: str, n: int) -> None:
    if n > MOST:
        raise ConfigError(
            f"{sheet.path} must have at most {MOST} pulses in a direction, got {n} "
            f"for device {short(device)}"
        )


def _measurement(
    sheet: Sheet, names: list[str], readings: dict[str, list[list[Array]]]
) -> PulseMeasurement:
    for direction, devices in readings.items():
        for name, rows in zip(names, devices, strict=True):
            n = max(int(np.isfinite(row).sum()) for row in rows)
            if n < FEWEST:
                raise ConfigError(
                    f"{sheet.path} must have at least {FEWEST} {direction} pulses for each "
                    f"device, got {n} for device {short(name)}"
                )
            _check_pulses(sheet, name, n)
    measurement = PulseMeasurement(names, _stacked(readings["up"]), _stacked(readings["down"]))
    for k, name in enumerate(names):
        both = np.concatenate([measurement.up[k].ravel(), measurement.down[k].ravel()])
        if np.nanmax(both) == np.nanmin(both):
            raise ConfigError(
                f"{sheet.path} must have conductances that change, "
                f"got {np.nanmax(both):g} throughout for device {short(name)}"
            )
    return measurement


def _stacked(devices: list[list[Array]]) -> Array:
    """``(devices, cycles, pulses)``, NaN where a device has fewer cycles or pulses."""
    n_cycles = max(map(len, devices))
    n_pulses = max(len(row) for rows in devices for row in rows)
    stacked = np.full((len(devices), n_cycles, n_pulses), np.nan)
    for d, rows in enumerate(devices):
        for c, row in enumerate(rows):
            stacked[d, c, : len(row)] = row
    return stacked
