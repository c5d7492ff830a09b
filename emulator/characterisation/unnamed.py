"""Tables without names of columns: what each column holds, by its place and its numbers."""

import numpy as np

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.characterisation.ambiguous import EXAMPLE
from crossmesh.emulator.characterisation.cells import is_number, number_of
from crossmesh.emulator.characterisation.sheets import Sheet
from crossmesh.emulator.characterisation.turning import turns


def named_by_place(sheet: Sheet) -> Sheet:
    """Names for columns without: up and down, pulse and conductance, or one with both ways."""
    width = len(sheet.columns)
    first = sheet.columns[0]
    if not all(is_number(cell, sheet.decimal) for cell in first[:3]):
        return sheet._replace(names=["device", *map(str, range(1, width))])
    if width == 1:
        return sheet._replace(names=["conductance"])
    if width == 2:
        return sheet._replace(names=["pulse", "conductance"] if _counts(sheet) else ["up", "down"])
    raise ConfigError(f"{sheet.path} without names of columns must have two (up, down), "
                      f"got {width}; give it a first line {EXAMPLE}")  # fmt: skip


def _counts(sheet: Sheet) -> bool:
    """Whether the first of two columns counts pulses, of which the second rises and falls."""
    cells = [number_of(cell, sheet.decimal) for cell in sheet.columns[1]]
    values = np.array(cells, float)  # NaN for what is no number
    return is_count(sheet, 0) and bool(np.isfinite(values).all()) and len(turns(values)) > 0


def is_count(sheet: Sheet, k: int) -> bool:
    """Whether a column counts its rows, from 0 or 1."""
    counts = np.array([number_of(cell, sheet.decimal) for cell in sheet.columns[k]], float)
    return len(counts) > 3 and bool(np.all(np.diff(counts) == 1)) and counts[0] in {0, 1}
