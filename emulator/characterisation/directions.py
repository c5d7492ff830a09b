"""Which pulses raise a conductance: by words, by their voltage, or by where readings turn."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from crossmesh.emulator.characterisation.names import Direction, direction_of
from crossmesh.emulator.characterisation.series import DeviceReadings
from crossmesh.emulator.characterisation.sheets import Sheet
from crossmesh.emulator.characterisation.turning import trend, turns

Array = NDArray[np.float64]
Labels = NDArray[np.object_]

_SHORTEST = 3  # readings of a run, if pulses of both directions are numbered together


class PulseRun(NamedTuple):
    """DeviceReadings of one device after a row of pulses of one direction.

    Attributes:
        direction: Of the pulses.
        cycle: Which row of such pulses it is.
        pulses: ``(readings,)`` numbers of the pulses.
        values: ``(readings,)`` conductances.
    """

    direction: Direction
    cycle: str
    pulses: Array
    values: Array


def runs_of(
    sheet: Sheet, found: list[DeviceReadings], source: str | None
) -> tuple[dict[str, list[PulseRun]], str]:
    """The runs of each device.

    Args:
        sheet: The sheet, for errors.
        found: DeviceReadings in the order of the sheet; their values are conductances.
        source: What tells the direction: ``turn``, a column, or None for whatever does.

    Returns:
        Runs by device, and what told the direction.

    Raises:
        ConfigError: If a direction is a word that is none.
    """
    if source != "turn" and all(part.labels is not None for part in found):
        labelled, told = _by_words(sheet, found), ""
    elif source != "turn" and (by_level := _by_level(found)) is not None:
        labelled, told = by_level
    else:
        labelled, told = _by_turns(found), "where readings turn"
    runs: dict[str, list[PulseRun]] = {}
    for part in labelled:
        runs.setdefault(part.device, []).extend(_runs(sheet, part))
    return runs, told


def _by_words(sheet: Sheet, found: list[DeviceReadings]) -> list[DeviceReadings]:
    words = {word: direction_of(word) for part in found for word in set(_labels(part))}
    if None in words.values() and len(words) == 2:  # two words of the laboratory's own
        return _sorted_by_trend(found)
    for part in found:
        for row, word in zip(part.rows, _labels(part), strict=True):
            if words[word] is None:
                name = next((n for n in sheet.names if n.lower() == "direction"), "direction")
                rule = "be up or down (or LTP and LTD, set and reset, 1 and -1)"
                raise sheet.refusal(int(row), name, rule, word)
    return [part._replace(labels=_objects([words[word] for word in _labels(part)]))
            for part in found]  # fmt: skip


def _objects(labels: Sequence[object]) -> Labels:
    array = np.empty(len(labels), np.object_)
    array[:] = labels
    return array


def _by_level(found: list[DeviceReadings]) -> tuple[list[DeviceReadings], str] | None:
    """By the voltage of pulses, if there are two of them, or two signs."""
    volts = [np.zeros(len(part.values)) if part.volts is None else part.volts for part in found]
    several = np.unique(np.concatenate(volts))
    several = several[several != 0]
    by_sign = len(several) > 0 and several[0] < 0 < several[-1]
    if not by_sign and len(several) != 2:
        return None
    parts, levels = [], []
    for part, own in zip(found, volts, strict=True):
        kinds = np.sign(own) if by_sign else own
        last = np.maximum.accumulate(np.where(kinds != 0, np.arange(len(kinds)), -1))
        labels = np.where(last >= 0, kinds[last], 0.0).astype(object)  # a reading's: the last pulse
        parts.append(_cut(part._replace(labels=labels), labels != 0))
        levels.append(own[labels != 0])
    named = _sorted_by_trend(parts)
    up = {float(v) for part, own in zip(named, levels, strict=True)
          for v, way in zip(own, _labels(part), strict=True) if way == "up" and v}  # fmt: skip
    shown = f"{min(up):+.3g} V" if len(up) == 1 else "positive" if min(up) > 0 else "negative"
    return named, f"the voltage of pulses, of which {shown} raises the conductance"


def _labels(part: DeviceReadings) -> Labels:
    assert part.labels is not None  # of a series whose directions are told
    return part.labels


def _cut(part: DeviceReadings, kept: NDArray[np.bool_]) -> DeviceReadings:
    arrays = {name: None if (a := getattr(part, name)) is None else a[kept]
              for name in ("values", "rows", "pulses", "labels", "volts")}  # fmt: skip
    return part._replace(**arrays)  # type: ignore[arg-type]  # they are its arrays


def _sorted_by_trend(found: list[DeviceReadings]) -> list[DeviceReadings]:
    """Call the label up under which conductances rise more."""
    travel: dict[object, float] = {}
    for part in found:
        labels = _labels(part)
        span = np.nanmax(part.values) - np.nanmin(part.values)
        for start, stop in _pieces(labels):
            known = part.values[start:stop][np.isfinite(part.values[start:stop])]
            if len(known) > 1:
                label = labels[start]
                travel[label] = travel.get(label, 0.0) + trend(known) / max(span, 1e-300)
    up = max(travel, key=lambda label: travel[label]) if travel else None
    return [part._replace(labels=_objects(["up" if label == up else "down"
                                           for label in _labels(part)]))
            for part in found]  # fmt: skip


def _pieces(labels: Sequence[object] | Labels) -> Iterator[tuple[int, int]]:
    """First and end of each stretch of equal labels."""
    start = 0
    for k in range(1, len(labels) + 1):
        if k == len(labels) or labels[k] != labels[start]:
            yield start, k
            start = k


def _by_turns(found: list[DeviceReadings]) -> list[DeviceReadings]:
    """By where readings turn; those of devices with as many readings turn together."""
    groups: dict[tuple[object, ...], list[int]] = {}
    for k, part in enumerate(found):
        groups.setdefault((part.cycle, len(part.values), *_restarts(part)), []).append(k)
    labels: dict[int, Labels] = {}
    for members in groups.values():
        every = np.array([_normalised(found[k].values) for k in members])
        mean = np.nanmean(every, axis=0) if len(every) > 1 else every[0]
        cuts = [0, *_restarts(found[members[0]]), len(mean)]
        ways = np.concatenate([_ways(mean[a:b]) for a, b in itertools.pairwise(cuts)])
        labels |= dict.fromkeys(members, ways)
    return [part._replace(labels=labels[k]) for k, part in enumerate(found)]


def _restarts(part: DeviceReadings) -> list[int]:
    """Where pulses are counted anew."""
    if part.pulses is None:
        return []
    return [int(k) + 1 for k in np.flatnonzero(np.diff(part.pulses) <= 0)]


def _normalised(values: Array) -> Array:
    low, high = values.min(), values.max()
    return np.asarray((values - low) / (high - low if high > low else 1.0))


def _ways(mean: Array) -> Labels:
    cuts = [0, *(k + 1 for k in turns(mean)), len(mean)]
    ways = [["up" if trend(mean[a:b]) > 0 else "down"] * (b - a)
            for a, b in itertools.pairwise(cuts)]  # fmt: skip
    return _objects([way for part in ways for way in part])


def _runs(sheet: Sheet, part: DeviceReadings) -> Iterable[PulseRun]:
    """A series as runs, its pulses counted if the file does not."""
    if part.pulses is None:
        yield from _counted(part)
        return
    labels, pulses = _labels(part), part.pulses
    order = np.argsort(pulses, kind="stable")
    pieces = list(_pieces(labels[order]))
    is_numbered_through = len(np.unique(pulses)) == len(pulses) and all(
        stop - start >= min(_SHORTEST, len(pulses)) for start, stop in pieces
    )
    pairs = set(zip(labels, pulses, strict=True))
    if is_numbered_through:
        stretches = [order[start:stop] for start, stop in pieces]
    elif len(pairs) == len(pulses):
        stretches = [np.flatnonzero(labels == way) for way in dict.fromkeys(labels)]
    else:
        cuts = sorted({0, *_restarts(part), *(start for start, _ in _pieces(labels)), len(labels)})
        stretches = [np.arange(a, b) for a, b in itertools.pairwise(cuts)]
        if len(stretches) == 1 or any(len(s) < _SHORTEST for s in stretches):
            _refuse_repeat(sheet, part.rows, list(zip(labels, pulses, strict=True)))
    counts: dict[Direction, int] = {}
    for rows in stretches:
        way: Direction = labels[rows[0]]
        counts[way] = counts.get(way, 0) + 1
        yield PulseRun(way, f"{part.cycle} {counts[way]}", pulses[rows], part.values[rows])


def _refuse_repeat(
    sheet: Sheet, rows: NDArray[np.intp], pairs: Sequence[tuple[object, float]]
) -> None:
    seen: set[tuple[object, float]] = set()
    for row, pair in zip(rows, pairs, strict=True):
        if pair in seen:
            rule = "be unique for this device and direction (or tell them apart by a column cycle)"
            raise sheet.refusal(int(row), "pulse", rule, f"{pair[1]:g}")
        seen.add(pair)


def _counted(part: DeviceReadings) -> Iterable[PulseRun]:
    """Runs of a series whose pulses have no numbers: one pulse a reading, unless volts tell.

    DeviceReadings after the same pulse are averaged.
    """
    labels = _labels(part)
    counts: dict[Direction, int] = {}
    for start, stop in _pieces(labels):
        way: Direction = labels[start]
        values = part.values[start:stop]
        pulses = np.arange(1.0, 1 + len(values))
        if part.volts is not None and (part.volts[start:stop] != 0).any():
            pulses = np.cumsum(part.volts[start:stop] != 0).astype(float)
        known = np.isfinite(values)
        if not known.any():
            continue
        numbers, place = np.unique(pulses[known], return_inverse=True)
        means = np.bincount(place, values[known]) / np.bincount(place)
        counts[way] = counts.get(way, 0) + 1
        yield PulseRun(way, f"{part.cycle} {counts[way]}", numbers, means)
