"""Readings of each device in the order of a file, whatever layout the file has."""

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.characterisation.ambiguous import (
    EXAMPLE,
    check_apart,
    check_no_waveforms,
    check_one,
)
from crossmesh.emulator.characterisation.cells import is_number
from crossmesh.emulator.characterisation.names import READINGS, ROLES, Direction, Name, read_name
from crossmesh.emulator.characterisation.sheets import Sheet, listed
from crossmesh.emulator.characterisation.units import split_unit, unit_in
from crossmesh.emulator.characterisation.unnamed import is_count, named_by_place

Array = NDArray[np.float64]

_NUMBERED = re.compile(r"(?:p|pulse|n|no|#)?[\s_.#-]*(\d+)", re.I)
_LOGARITHM = re.compile(r"(?:log|lg|ln)(?:10|2|e)?(?![a-z])", re.I)
_MOST_PULSE = 10**9  # the number of a pulse


class FileOptions(NamedTuple):
    """What the options say of a file.

    Attributes:
        columns: ``ROLE=NAME``, or names of the columns with the readings.
        read_voltage: Volts at which currents were read.
        direction_from: A column, ``turn`` or ``file``; None: whatever tells it.
        unit: Unit of the conductances, or the conductance of 1.
    """

    columns: Sequence[str] = ()
    read_voltage: float | None = None
    direction_from: str | None = None
    unit: str = ""


class DeviceReadings(NamedTuple):
    """Readings of one device, in the order of the file.

    Attributes:
        device: Its name.
        cycle: Number of the row of pulses, if it is told.
        name: The column, for errors.
        values: ``(readings,)`` as in the file; NaN where a pulse has none.
        rows: ``(readings,)`` rows of the sheet.
        pulses: ``(readings,)`` numbers of the pulses, if they are told.
        labels: Direction, or what tells it apart, of each pulse, if anything does.
        volts: ``(readings,)`` amplitude of each pulse; 0 for a reading alone.
    """

    device: str
    cycle: str
    name: Name
    values: Array
    rows: NDArray[np.intp]
    pulses: Array | None = None
    labels: NDArray[np.object_] | None = None
    volts: Array | None = None


def named(sheet: Sheet, asked: FileOptions) -> list[Name]:
    """What each column holds, by its name, its cells and the options.

    Raises:
        ConfigError: If an option names a column that is not there.
    """
    names = [_with_unit(read_name(name), cells)
             for name, cells in zip(sheet.names, sheet.columns, strict=True)]  # fmt: skip
    wanted: list[int] = []
    for text in asked.columns:
        role, equals, header = text.partition("=")
        is_role = bool(equals) and role in set(ROLES.values())
        k = _place(sheet, header if is_role else text, "--column")
        if is_role:
            names[k] = names[k]._replace(role=role)  # type: ignore[arg-type]  # it is a role
        if not is_role or role in READINGS:
            known = names[k].role if names[k].role in READINGS else "conductance"
            names[k] = names[k]._replace(role=known)
            wanted.append(k)
    if len(wanted) == 1:
        names[wanted[0]] = names[wanted[0]]._replace(device="", direction=None, cycle="")
    if wanted:
        names = [name._replace(role="level") if k not in wanted and name.role in READINGS else name
                 for k, name in enumerate(names)]  # fmt: skip
    if asked.direction_from not in {None, "turn", "file"}:
        k = _place(sheet, str(asked.direction_from), "--direction-from")
        if names[k].role != "pulse_voltage":
            names[k] = names[k]._replace(role="direction")
    return names


def _place(sheet: Sheet, header: str, option: str) -> int:
    """Which column an option names: by its whole name, or without the unit if one alone fits."""
    asked = header.strip().lower()
    whole = [name.lower() for name in sheet.names]
    bare = [split_unit(name)[0].lower() for name in sheet.names]
    if asked in whole or bare.count(asked) == 1:
        return (whole if asked in whole else bare).index(asked)
    raise ConfigError(f"{option} must name a column of {sheet.path}, got {header}; "
                      f"it has {listed(sheet.names)}")  # fmt: skip


def _with_unit(name: Name, cells: Sequence[Any]) -> Name:
    """The name with the unit that stands in its cells, if it has none itself."""
    unit = unit_in(next((cell for cell in cells if cell not in {"", None}), None))
    return read_name(f"{name.text} ({unit.text})") if unit and name.unit is None else name


def series_of(sheet: Sheet, asked: FileOptions) -> list[DeviceReadings]:
    """Take a sheet apart into devices.

    Raises:
        ConfigError: With one line that names the file, the place in it, the rule and the value.
    """
    if not sheet.names:
        sheet = named_by_place(sheet)
    if (numbers := _numbered(sheet)) is not None:
        return _by_row(sheet, asked, numbers)
    names = named(sheet, asked)
    keys = _Keys(sheet, names)
    readings = _readings(sheet, names)
    check_apart(sheet, [name for _, name in readings])
    found = [part for k, name in readings for part in keys.split(k, name)]
    if not found:
        raise ConfigError(f"{sheet.path} must hold readings, got none")
    return found


def _numbered(sheet: Sheet) -> list[tuple[int, int]] | None:
    """Columns that are pulses, with their numbers, where each row is a device."""
    ids = [name for k, name in enumerate(sheet.names)
           if read_name(name).role in {"device", "direction"}
           or (not name and not is_number(sheet.columns[k][0], sheet.decimal))]  # fmt: skip
    found = [(k, int(match[1])) for k, name in enumerate(sheet.names)
             if (match := _NUMBERED.fullmatch(name.strip()))]  # fmt: skip
    numbers = [number for _, number in found]
    is_rising = len(numbers) > 2 and all(np.diff(numbers) > 0)
    return found if ids and is_rising else None


def _by_row(
    sheet: Sheet, asked: FileOptions, numbers: list[tuple[int, int]]
) -> list[DeviceReadings]:
    """Readings of each row, whose cells are readings after one pulse after the other."""
    names = [Name(name.text, "device") if not name.text else name for name in named(sheet, asked)]
    keys = _Keys(sheet, names)
    pulses = np.array([number for _, number in numbers], float)
    found = []
    for row in range(len(sheet.rows)):
        cells = [sheet.columns[k][row] for k, _ in numbers]
        n = _filled(cells)
        values = [sheet.number(cell, row, sheet.names[k])
                  for cell, (k, _) in zip(cells[:n], numbers, strict=False)]  # fmt: skip
        labels = None if keys.labels is None else np.repeat(keys.labels[row : row + 1], n)
        rows = np.full(n, row, np.intp)
        name = Name("conductance", "conductance")
        device, cycle = keys.devices[row], keys.cycles[row]
        found.append(
            DeviceReadings(device, cycle, name, np.array(values), rows, pulses[:n], labels)
        )
    return found


def _filled(cells: Sequence[Any]) -> int:
    """How many cells there are up to the last that is given."""
    return max((k + 1 for k, cell in enumerate(cells) if cell not in {"", None}), default=0)


def _readings(sheet: Sheet, names: list[Name]) -> list[tuple[int, Name]]:
    """The columns with readings."""
    every = list(enumerate(names))
    for role in READINGS:  # a conductance counts before the current that it was made of
        if found := [(k, name) for k, name in every if name.role == role]:
            if texts := [name.text for _, name in found if _LOGARITHM.match(name.text)]:
                raise ConfigError(f"{sheet.path} must hold readings themselves, got {texts[0]}")
            return found
    if found := [(k, name) for k, name in every if name.role is None and name.direction]:
        return [(k, name._replace(role="conductance")) for k, name in found]
    check_no_waveforms(sheet)
    found = [(k, name) for k, name in every
             if name.role is None and name.text
             and any(is_number(cell, sheet.decimal) for cell in sheet.columns[k][:3])]  # fmt: skip
    if not found:
        raise ConfigError(
            f"{sheet.path} must have a column conductance, resistance or current, "
            f"got {listed(sheet.names)}; name it by --column, or give columns {EXAMPLE}"
        )
    if len(found) > 1 and is_count(sheet, found[0][0]):
        del found[0]
    return [(k, name._replace(role="conductance")) for k, name in found]


class _Keys:
    """What each row of a sheet says of its readings.

    Args:
        sheet: The sheet.
        names: What its columns hold.
    """

    def __init__(self, sheet: Sheet, names: list[Name]) -> None:
        self._sheet, self._names = sheet, names
        n = len(sheet.rows)
        device, word, bit, cycle, label, pulse, volts, width = (
            next((k for k, name in enumerate(names) if name.role == role), None)
            for role in ("device", "wordline", "bitline", "cycle", "direction", "pulse",
                         "pulse_voltage", "pulse_width")
        )  # fmt: skip
        self.devices = self._texts([device] if device is not None else [word, bit], n)
        self.cycles = self._texts([cycle], n)
        self.labels = None if label is None else np.array(self._directions(label), object)
        self.pulses = None if pulse is None else self._counted(pulse)
        if pulse is not None:
            check_one(sheet, pulse)
        several = [k for k, name in enumerate(names) if name.role == "pulse_voltage"]
        volts = next((k for k in several if len(set(sheet.columns[k])) > 1), volts)
        self.volts = None if volts is None else self._volts(volts)
        if width is not None and self.volts is not None and self.labels is None:
            widths = sheet.numbers(sheet.columns[width], names[width].text)
            self.volts = np.where(widths == 0, 0.0, self.volts)  # a reading, no pulse

    def split(self, k: int, name: Name) -> Iterable[DeviceReadings]:
        """The series of a column of readings, one for each device and cycle in its rows."""
        cells = self._sheet.columns[k]
        n = _filled(cells)
        holds = np.array([cell not in {"", None} for cell in cells[:n]], bool)
        may_lack = self.volts is not None
        groups: dict[tuple[str, str], list[int]] = {}
        for row in range(n):
            groups.setdefault((self.devices[row], self.cycles[row]), []).append(row)
        values = np.full(n, np.nan)
        if may_lack and not holds.all():
            known = [int(row) for row in np.flatnonzero(holds)]
            values[known] = [self._sheet.number(cells[row], row, name.text) for row in known]
        else:
            values = self._sheet.numbers(cells[:n], name.text)
        for (device, cycle), group in groups.items():
            rows = np.array(group, np.intp)
            labels = None if self.labels is None else self.labels[rows]
            if name.direction is not None:
                labels = np.full(len(rows), name.direction, np.object_)
            pulses = None if self.pulses is None else self.pulses[rows]
            volts = None if self.volts is None else self.volts[rows]
            both = " ".join(filter(None, (device, name.device))) or "1"
            cycles = " ".join(filter(None, (cycle, name.cycle)))
            yield DeviceReadings(both, cycles, name, values[rows], rows, pulses, labels, volts)

    def _texts(self, columns: list[int | None], n: int) -> list[str]:
        known = [self._sheet.columns[k] for k in columns if k is not None]
        if not known:
            return [""] * n
        return [",".join(_label(cell) for cell in row) for row in zip(*known, strict=True)]

    def _directions(self, k: int) -> list[Direction | str]:
        return [str(cell).strip() for cell in self._sheet.columns[k]]

    def _counted(self, k: int) -> Array:
        cells, name = self._sheet.columns[k], self._names[k].text
        numbers = self._sheet.numbers(cells, name)
        wrong = np.flatnonzero((numbers < 0) | (numbers > _MOST_PULSE) | (numbers % 1 != 0))
        if len(wrong):
            rule = f"be a whole number from 0 to {_MOST_PULSE}"
            raise self._sheet.refusal(int(wrong[0]), name, rule, cells[wrong[0]])
        return numbers

    def _volts(self, k: int) -> Array:
        unit = self._names[k].unit
        cells = [0.0 if cell in {"", None, "-"} else cell for cell in self._sheet.columns[k]]
        return self._sheet.numbers(cells, self._names[k].text) * (unit.scale if unit else 1)


def _label(cell: Any) -> str:
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell).strip()
