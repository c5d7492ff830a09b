"""Measurements of pulse responses from the files that laboratories and instruments write."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.characterisation.conductances import (
    in_siemens,
    relative_note,
    shown_unit,
)
from crossmesh.emulator.characterisation.directions import PulseRun, runs_of
from crossmesh.emulator.characterisation.names import Direction, Name, direction_of
from crossmesh.emulator.characterisation.series import FileOptions, named, series_of
from crossmesh.emulator.characterisation.sheets import MOST_CELLS, Sheet, listed, read_sheet, short

Array = NDArray[np.float64]
Runs = dict[str, list[PulseRun]]  # of each device

FEWEST, FEW, MOST = 3, 10, 10_000  # pulses of a device in one direction
_CELLS = 4  # of a row of a table of readings


class PulseMeasurement(NamedTuple):
    """Conductances after pulses, in ``unit``; NaN where there is no reading.

    Attributes:
        names: Names of the devices.
        up: ``(devices, cycles, pulses)`` after each of a row of up pulses.
        down: ``(devices, cycles, pulses)`` after each of a row of down pulses.
        unit: Unit of the conductances, or nothing.
        notes: How the files were read, and what was left out, a sentence each.
    """

    names: list[str]
    up: Array
    down: Array
    unit: str = ""
    notes: tuple[str, ...] = ()


class _File(NamedTuple):
    """Runs of the devices of a file, in ``unit``, what told their directions, columns not read.

    ``relative`` says what scale is missing.
    """

    path: Path
    runs: Runs
    scale: float
    unit: str
    told: str
    not_read: list[str]
    relative: list[str]


def read_measurement(*paths: Path, asked: FileOptions | None = None) -> PulseMeasurement:
    """Read a measurement.

    Args:
        paths: Its files: of different devices, or of up and of down pulses.
        asked: What options say of them; by default nothing.

    Raises:
        ConfigError: With one line that names the file, the place in it, the rule and the value.
    """
    asked = asked or FileOptions()
    files = [_read(path, way, asked) for path, way in zip(paths, _ways(paths, asked), strict=True)]
    units = {file.unit for file in files}
    if len({file.unit == "" for file in files}) > 1:
        raise ConfigError(f"{files[0].path} and others must have one unit, got {sorted(units)}")
    runs = _joined(files)
    _check_both(paths[0], runs)
    kept, notes = _with_both(paths[0], runs)
    notes = [f"directions told by {t}" for t in dict.fromkeys(f.told for f in files) if t] + notes
    if lost := list(dict.fromkeys(name for file in files for name in file.not_read)):
        notes.append(
            f"not read: columns {listed(lost)}; say what one is by --column device='{lost[0]}' "
            "(or cycle, direction, pulse)"
        )
    notes += dict.fromkeys(note for file in files for note in file.relative)
    return _measurement(paths[0], kept, files[0], notes)


def _ways(paths: Sequence[Path], asked: FileOptions) -> list[Direction | None]:
    """The direction that the name of each file tells, where files are of one direction each."""
    ways = [direction_of(path.stem) for path in paths]
    is_told = len(paths) > 1 and {"up", "down"} == set(ways)
    if asked.direction_from == "file" and not is_told:
        raise ConfigError(
            "--direction-from file must have files named by their direction, such as "
            f"reram-set.csv and reram-reset.csv, got {listed([path.name for path in paths])}"
        )
    return ways if is_told and asked.direction_from in {None, "file"} else [None] * len(ways)


def _read(path: Path, way: Direction | None, asked: FileOptions) -> _File:
    sheet = read_sheet(path)
    found = series_of(sheet, asked)
    names = named(sheet, asked) if sheet.names else []
    found = in_siemens(sheet, names, found, asked)
    unit = shown_unit(found, asked, path)
    if way is not None and all(part.labels is None for part in found):
        found = [part._replace(labels=np.full(len(part.values), way, object)) for part in found]
    source = "turn" if asked.direction_from == "turn" else None
    runs, told = runs_of(sheet, found, source)
    return _File(path, runs, unit.scale, unit.text, told if way is None else "",
                 _not_read(sheet, names, {part.name.text for part in found}),
                 relative_note(found, asked))  # fmt: skip


def _not_read(sheet: Sheet, names: Sequence[Name], read: set[str]) -> list[str]:
    """Columns whose cells differ but whose names do not say what they are."""
    if not read & set(sheet.names):  # a row is a device
        return []
    return [name.text for name, cells in zip(names, sheet.columns, strict=True)
            if name.role is None and name.text not in read and len(set(cells)) > 1]  # fmt: skip


def _joined(files: Sequence[_File]) -> Runs:
    """The runs of all files, in the unit of the first.

    A device of one name in two files is one if each has one direction.
    """
    joined: Runs = {}
    for file in files:
        for name, runs in file.runs.items():
            mine = [run._replace(values=run.values / files[0].scale) for run in runs]
            there = joined.get(name, [])
            if {run.direction for run in there} & {run.direction for run in runs}:
                joined[f"{file.path.stem} {name}" if name != "1" else file.path.stem] = mine
            else:
                joined[name] = there + mine
    return joined


def _check_both(path: Path, runs: Runs) -> None:
    """Refuse readings after pulses of one direction only, and say what is missing."""
    ways = {run.direction for mine in runs.values() for run in mine}
    n = sum(len(run.values) for mine in runs.values() for run in mine)
    if len(ways) == 1 and n >= 2 * FEWEST:
        (there,) = ways
        missing = "down" if there == "up" else "up"
        raise ConfigError(
            f"{path} must have {missing} pulses too, got {there} pulses alone; give both files "
            f"(crossmesh devices fit {there}.csv {missing}.csv), or name the column that tells "
            "them apart by --direction-from"
        )


def _with_both(path: Path, runs: Runs) -> tuple[Runs, list[str]]:
    """Devices that were read after enough pulses of both directions, and which were not."""
    kept, lacking, few = {}, {}, []
    for name, mine in runs.items():
        longest = {way: max((len(run.values) for run in mine if run.direction == way), default=0)
                   for way in ("up", "down")}  # fmt: skip
        way = min(longest, key=lambda w: longest[w])
        if longest[way] >= FEWEST:
            kept[name] = mine
            few += [name] if longest[way] < FEW else []
        else:
            lacking[name] = (way, longest[way])
    if not kept:
        name, (way, n) = next(iter(lacking.items()))
        raise ConfigError(f"{path} must have at least {FEWEST} {way} pulses for each device, "
                          f"got {n} for device {short(name)}")  # fmt: skip
    notes = []
    if lacking:
        name, (way, n) = next(iter(lacking.items()))
        notes.append(f"left out: {len(lacking)} device(s) with fewer than {FEWEST} pulses in a "
                     f"direction, first {short(name)} with {n} {way} pulses")  # fmt: skip
    if few:
        notes.append(f"few levels: {len(few)} device(s) with fewer than {FEW} pulses in a "
                     f"direction, first {short(few[0])}; read their noises with care")  # fmt: skip
    return kept, notes


def _measurement(path: Path, runs: Runs, file: _File, notes: list[str]) -> PulseMeasurement:
    up, down = (_laid_out(path, runs, way) for way in ("up", "down"))
    for k, name in enumerate(runs):
        both = np.concatenate([up[k].ravel(), down[k].ravel()])
        if np.nanmax(both) == np.nanmin(both):
            raise ConfigError(
                f"{path} must have conductances that change, "
                f"got {np.nanmax(both):g} throughout for device {short(name)}"
            )
    return PulseMeasurement(list(runs), up, down, file.unit, tuple(notes))


def _laid_out(path: Path, runs: Runs, way: str) -> Array:
    """``(devices, cycles, pulses)`` readings by pulse, NaN where there is none."""
    by_device = [[run for run in mine if run.direction == way] for mine in runs.values()]
    spans = [_span(mine) for mine in by_device]
    for name, (first, stop) in zip(runs, spans, strict=True):
        if stop - first > MOST:
            raise ConfigError(
                f"{path} must have at most {MOST} pulses in a direction, got {stop - first} "
                f"for device {short(name)}"
            )
    shape = len(runs), max(map(len, by_device)), max(stop - first for first, stop in spans)
    if np.prod(shape, dtype=float) > MOST_CELLS // _CELLS:
        rule = f"must have at most {MOST_CELLS // _CELLS:,} devices x cycles x pulses"
        got = " x ".join(f"{n:,}" for n in shape)
        raise ConfigError(f"{path} {rule} in a direction, got {got}")
    laid = np.full(shape, np.nan)
    for d, mine in enumerate(by_device):
        for c, run in enumerate(mine):
            first = spans[d][0] if _counts_alike(mine) else int(run.pulses.min())
            laid[d, c, run.pulses.astype(int) - first] = run.values
    return laid


def _counts_alike(runs: Sequence[PulseRun]) -> bool:
    """Whether the rows of pulses of a device all begin at about the same number."""
    firsts = [run.pulses.min() for run in runs]
    return bool(max(firsts) - min(firsts) < min(np.ptp(run.pulses) for run in runs) + 1)


def _span(runs: Sequence[PulseRun]) -> tuple[int, int]:
    """The first pulse that was read in any cycle, and the one behind the last."""
    if _counts_alike(runs):
        return int(min(run.pulses.min() for run in runs)), int(
            max(run.pulses.max() for run in runs)) + 1  # fmt: skip
    return 0, int(max(np.ptp(run.pulses) for run in runs)) + 1
