"""Where readings that rise and fall by turns do so."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_SWING = 0.5  # of the range of all readings, which one way must have at least
_PARTS, _WIDEST = 12, 40  # of two neighbouring ways, and most readings, whose slope is taken
_NEAR = 0.05  # of a way, by which turns may differ from those of ways of equal length
_CLEAR = 3.0  # standard deviations of a reading by which an extremum must stand out


def trend(values: Array) -> float:
    """Mean of the last third of some readings less that of the first."""
    few = max(1, len(values) // 3)
    return float(values[-few:].mean() - values[:few].mean())


def turns(values: Array) -> list[int]:
    """Last reading of every way but the last, where readings rise and fall by turns.

    Parts of equal length are preferred if readings there are as far out as at their extremes,
    within their noise.

    >>> turns(np.array([0.0, 1, 2, 3, 2, 1, 0, 1, 2]))
    [3, 6]
    """
    swing = _SWING * (values.max() - values.min())
    if swing == 0:
        return []
    found: list[int] = []
    low = high = 0
    way = 0
    for k, value in enumerate(values):
        low = k if value < values[low] else low
        high = k if value > values[high] else high
        if way >= 0 and values[high] - value > swing:
            found += [high] if way else []
            way, low = -1, k
        elif way <= 0 and value - values[low] > swing:
            found += [low] if way else []
            way, high = 1, k
        if way < 0:
            high = low
        elif way > 0:
            low = high
    return _evened(values, _sharpened(values, found))


def _sharpened(values: Array, found: list[int]) -> list[int]:
    """Each turn where the slopes before and behind it differ most.

    A device saturates before its pulses are reversed and then moves fastest, so that its extreme
    reading may be any of many that are as far out.
    """
    cuts = [-1, *found, len(values) - 1]
    sharp = []
    for before, turn, behind in zip(cuts, cuts[1:], cuts[2:], strict=False):
        size = int(np.clip((behind - before) // _PARTS, 2, _WIDEST))
        first, last = before + size, behind - size + 1
        if last <= first:
            sharp.append(turn)
            continue
        ramp = np.arange(size) - (size - 1) / 2
        slopes = np.correlate(values, ramp, "valid")  # slopes[k]: of the readings from k on
        places = np.arange(first, last + 1)
        bend = slopes[places - size + 1] - slopes[places]
        bend *= 1 if values[turn] > values[min(behind, turn + size)] else -1
        sharp.append(int(places[np.argmax(bend)]))
    return sharp


def _evened(values: Array, found: list[int]) -> list[int]:
    n, parts = len(values), len(found) + 1
    if not found or n % parts:
        return found
    even = [n // parts * (k + 1) - 1 for k in range(len(found))]
    noise = 1.4826 * np.median(np.abs(np.diff(values, 2))) / np.sqrt(6) if n > 2 else 0.0
    away = np.abs(values[even] - values[found])
    is_near = np.abs(np.subtract(even, found)) <= max(1, _NEAR * n / parts)
    return even if np.all(is_near & (away <= _CLEAR * np.sqrt(2) * noise)) else found
