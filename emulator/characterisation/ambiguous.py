"""Sheets whose columns do not say which reading is which, refused with an example."""

import re

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.characterisation.names import Name
from crossmesh.emulator.characterisation.sheets import Sheet, listed

EXAMPLE = "such as device, direction, pulse, Conductance (uS)"
_TIMES = re.compile(r"time.*|t|x|seconds?|source", re.I)  # first column of waveforms
_CHANNEL = re.compile(r"(?:ch|chan|channel|trace)[\s_.]*\d+(?:\s*[(\[]m?V[)\]])?", re.I)


def check_apart(sheet: Sheet, names: list[Name]) -> None:
    """Refuse columns of one device, direction and cycle: nothing says what sets them apart."""
    first: dict[tuple[str, str | None, str], str] = {}
    for name in names:
        twin = first.setdefault((name.device, name.direction, name.cycle), name.text)
        if twin is not name.text:
            got = f"{twin} twice" if twin == name.text else f"{twin} and {name.text}"
            raise ConfigError(
                f"{sheet.path} must name its columns of readings apart, got {got}; name "
                "them by device (D1 G, D2 G), direction (G up, G down) or cycle (G cycle 1, "
                "G cycle 2), or take one by --column"
            )


def check_no_waveforms(sheet: Sheet) -> None:
    """Refuse what an oscilloscope writes: voltages of its channels over time."""
    for line in (sheet.names, *reversed(sheet.notes)):
        first, *others = [str(cell).strip() for cell in line] or [""]
        is_axis = first.lower() == "x-axis"
        channels = [cell for cell in others if _CHANNEL.fullmatch(cell)
                    or (is_axis and cell.isdecimal())]  # fmt: skip
        if (is_axis or _TIMES.fullmatch(first)) and channels:
            known = [name for name in sheet.names if name in channels]
            raise ConfigError(
                f"{sheet.path} must hold a reading after each pulse, got waveforms of an "
                f"oscilloscope ({listed([first, *channels])}); give a table {EXAMPLE}"
                + (f"; or name the channel that has it: --column 'current={known[-1]}' "
                   "--read-voltage 0.1" if known else "")
            )  # fmt: skip


def check_one(sheet: Sheet, pulse: int) -> None:
    """Refuse columns of pulse numbers for each column of readings, if they differ.

    Args:
        sheet: The sheet.
        pulse: The first column of pulse numbers.
    """
    names, columns = sheet.names, sheet.columns
    if any(
        name == names[pulse] and list(cells) != list(columns[pulse])
        for name, cells in zip(names, columns, strict=True)
    ):
        raise ConfigError(
            f"{sheet.path} must have one column {names[pulse]}, got several that differ; "
            f"give each device rows of its own in columns {EXAMPLE}"
        )
