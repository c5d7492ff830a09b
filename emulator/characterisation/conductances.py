"""Conductances from what was measured: conductances, resistances, or currents and a voltage."""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.characterisation.names import Name
from crossmesh.emulator.characterisation.series import DeviceReadings, FileOptions
from crossmesh.emulator.characterisation.sheets import Sheet
from crossmesh.emulator.characterisation.units import (
    Unit,
    common_unit,
    unit_of,
    whole_siemens,
)

Array = NDArray[np.float64]

_OFTEN = 0.2  # of the rows, in which the lowest voltage is one of reading,
_LOWER = 0.7  # of that of pulses, which it must be below
_ALIKE = 0.01  # relative, of two voltages
_OF_PULSES = re.compile("pulse|vp|amp|prog|write|set", re.I)  # names of voltages that are not held


def in_siemens(
    sheet: Sheet, names: Sequence[Name], found: list[DeviceReadings], asked: FileOptions
) -> list[DeviceReadings]:
    """Readings as conductances: in siemens, or as in the file if it names no unit.

    Raises:
        ConfigError: If currents have no read voltage, or a resistance is not above 0.
    """
    currents = any(part.name.role == "current" for part in found)
    volts = _read_volts(sheet, names, found, asked) if currents else None
    if currents and volts is None:
        if (apart := _pulses_and_reads(found)) is not None:
            return apart
        raise ConfigError(
            f"{sheet.path} must tell the voltage at which its currents were read: a column "
            "Vread (V), a line above the table (Vread,0.1), or --read-voltage 0.1"
        )
    whole = whole_siemens(asked.unit) or 1.0
    return [
        part._replace(values=_conductance(sheet, part, volts) * (1.0 if _has_unit(part) else whole))
        for part in found
    ]


def _has_unit(part: DeviceReadings) -> bool:
    """Whether its readings are siemens, and not numbers of a scale that the file does not tell."""
    unit = part.name.unit
    return not _is_relative(part) and (unit is not None or part.name.role != "conductance")


def _is_relative(part: DeviceReadings) -> bool:
    return part.name.unit is not None and part.name.unit.base == "1"


def _conductance(sheet: Sheet, part: DeviceReadings, volts: Array | None) -> Array:
    scale = part.name.unit.scale if part.name.unit else 1.0
    if part.name.role == "current":
        assert volts is not None
        return np.abs(part.values * scale / volts[part.rows])
    if part.name.role == "resistance":
        wrong = np.flatnonzero(part.values <= 0)
        if len(wrong):
            k = int(wrong[0])
            cell = f"{part.values[k]:g}"
            raise sheet.refusal(int(part.rows[k]), part.name.text, "be above 0", cell)
        return 1 / (part.values * scale)
    return part.values * scale


def _read_volts(
    sheet: Sheet, names: Sequence[Name], found: list[DeviceReadings], asked: FileOptions
) -> Array | None:
    """``(rows,)`` the voltage of each reading: the option, a column, a line above, or None."""
    n = len(sheet.rows)
    if asked.read_voltage is not None:
        return np.full(n, asked.read_voltage)
    column = next((k for k, name in enumerate(names) if name.role == "read_voltage"), None)
    if column is not None:
        unit = names[column].unit
        volts = sheet.numbers(sheet.columns[column], names[column].text)
        if not volts.all():
            row = int(np.flatnonzero(volts == 0)[0])
            raise sheet.refusal(row, names[column].text, "not be 0", sheet.columns[column][row])
        return volts * (unit.scale if unit else 1)
    if (told := sheet.read_voltage) is not None:
        return np.full(n, told)
    for k, name in enumerate(names):  # one voltage throughout, beside that of pulses or alone
        is_held = name.role == "pulse_voltage" and not _OF_PULSES.search(name.text)
        if is_held and len(set(sheet.columns[k])) == 1:
            held = sheet.number(sheet.columns[k][0], 0, name.text)
            if held:
                return np.full(n, held * (name.unit.scale if name.unit else 1))
    return None


def _pulses_and_reads(found: list[DeviceReadings]) -> list[DeviceReadings] | None:
    """Those of a log in which pulses and readings have one column of voltages, if it is one.

    The lowest voltage is that of readings.
    """
    parts = []
    for part in found:
        if part.volts is None or not part.volts.any():
            return None
        size = np.abs(part.volts)
        lowest = size[size > 0].min()
        reads = np.isclose(size, lowest, rtol=_ALIKE)
        pulses = size[~reads & (size > 0)]
        if reads.mean() < _OFTEN or not len(pulses) or lowest > _LOWER * pulses.min():
            return None
        scale = part.name.unit.scale if part.name.unit else 1.0
        values = np.where(reads, np.abs(part.values) * scale / lowest, np.nan)
        parts.append(part._replace(values=values, volts=np.where(reads, 0.0, part.volts)))
    return parts


def shown_unit(found: Sequence[DeviceReadings], asked: FileOptions, path: object) -> Unit:
    """The unit in which conductances are shown; of scale 1 where the file names none.

    Raises:
        ConfigError: If some columns name a unit and others do not.
    """
    has_unit = {_has_unit(part) for part in found}
    if len(has_unit) > 1:
        texts = sorted({part.name.text for part in found})
        raise ConfigError(f"{path} must name the unit of all conductances or of none, got {texts}")
    wanted = unit_of(asked.unit)
    if whole_siemens(asked.unit):
        if has_unit == {True}:
            rule = "be one of conductance, such as µS, where the file has units"
            raise ConfigError(f"--unit must {rule}, got {asked.unit}")
        return _best_unit(found)
    if has_unit == {False}:
        return Unit("S", 1.0, asked.unit)
    if wanted is not None and wanted.base == "S":
        return wanted
    if asked.unit:
        raise ConfigError(f"--unit must be one of conductance, such as µS, got {asked.unit}")
    units = [part.name.unit for part in found]
    if units[0] is not None and units[0].base == "S" and units[0].scale != 1:
        return units[0]
    return _best_unit(found)


def _best_unit(found: Sequence[DeviceReadings]) -> Unit:
    return common_unit(max(float(np.nanmax(part.values, initial=0.0)) for part in found))


def relative_note(found: Sequence[DeviceReadings], asked: FileOptions) -> list[str]:
    """What to give where readings are shares of a conductance that the file does not tell."""
    name = next((part.name.text for part in found if _is_relative(part)), None)
    if name is None or asked.unit:
        return []
    return [f"{name} is relative: give the conductance of 1 for figures in siemens, such as "
            "--unit '12.5 µS', or --unit G0 for quanta of conductance"]  # fmt: skip
