"""Which part of a pulse response's noise stays, and which part is soon gone.

The noise of a pulse stays in the conductance, that of a reading (or of a write that settles) does
not: readings ``k`` pulses apart differ, beyond the mean response, with a variance
``k * cycle**2 + 2 * white**2``, however many of the pulses between have no reading. Some noise
lasts for a few pulses and then goes, so that the variance grows faster at first; where it does,
only readings further apart are compared.

A fitted mean response follows some of the noise that stays, and a conductance is drawn back to
it, so that cycle noise is found some 10 to 35 % low.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Both = tuple[Array, Array]  # for up pulses, for down pulses

# Distances between the readings that are compared, in readings, as parts of all of them.
_NEAR, _MIDDLE, _FAR = (0.0, 0.01), (0.01, 0.04), (0.03, 0.085)
_LASTING = 2.5  # how many times faster a variance grows at first if noise lasts for a few pulses
_WIDTH = 0.15  # of the range, over which noise is taken to be alike
_PRIOR = 50.0  # readings' worth of noise that is the same all over the range
_POINTS = 17  # of a profile


class Noise(NamedTuple):
    """Noise of devices under pulses of one direction.

    Attributes:
        cycle: ``(devices,)`` standard deviation of the change by a pulse.
        white: ``(devices,)`` standard deviation of a reading.
        profile: ``(points,)`` standard deviation of the change at equidistant conductances of a
            device's range, relative to its ``cycle``; the same for all devices.
    """

    cycle: Array
    white: Array
    profile: Array


def estimate_noise(residuals: Both, places: Both) -> tuple[Noise, Noise]:
    """Separate the two parts of the noise.

    Args:
        residuals: ``(devices, cycles, pulses)`` readings without their mean response, for each
            direction; NaN where there is none.
        places: ``(devices, pulses)`` mean responses, as a share of the device's range.

    Returns:
        For each direction; the same for both if noise lasts, since few readings that are far
        apart are independent.
    """
    read = [_read(residual, place) for residual, place in zip(residuals, places, strict=True)]
    fewest = int(min(way.counts.max(axis=1).min() for way in read))
    near, middle, far = (_gaps(fewest, *shares) for shares in (_NEAR, _MIDDLE, _FAR))
    if _growth(read, near) > _LASTING * _growth(read, middle):
        up, down = ([_pairs(way, gap) for gap in far] for way in read)
        noise = _told_apart(up + down)
        return noise, noise
    up, down = ([_pairs(way, gap) for gap in sorted({*near, *middle})] for way in read)
    return _told_apart(up), _told_apart(down)


class _Readings(NamedTuple):
    """Readings of one direction without the gaps between them; NaN behind the last.

    Attributes:
        residual: ``(devices, cycles, readings)`` without their mean response.
        pulse: ``(devices, cycles, readings)`` number of the pulse before each.
        place: ``(devices, cycles, readings)`` mean response, as a share of the range.
        counts: ``(devices, cycles)`` how many there are.
    """

    residual: Array
    pulse: Array
    place: Array
    counts: NDArray[np.intp]


def _read(residual: Array, place: Array) -> _Readings:
    """Move the readings of each cycle together."""
    known = np.isfinite(residual)
    order = np.argsort(~known, axis=2, kind="stable")[:, :, : int(known.sum(axis=2).max())]
    every = np.broadcast_to(place[:, None], residual.shape)
    packed = np.take_along_axis(residual, order, axis=2)
    return _Readings(
        packed,
        np.where(np.isfinite(packed), order, np.nan),
        np.take_along_axis(every, order, axis=2),
        known.sum(axis=2),
    )


def _gaps(readings: int, first: float, last: float) -> list[int]:
    """Up to eight distances, counted in readings, as parts of all readings; at least three."""
    low = max(1, round(first * readings))
    high = max(low + 2, round(last * readings))
    return sorted({round(gap) for gap in np.geomspace(low, high, 8)})


def _growth(read: list[_Readings], gaps: list[int]) -> float:
    """How fast the variance of differences grows with their lag, summed over devices."""
    return sum(float(_line([_pairs(way, gap) for gap in gaps])[0].sum()) for way in read)


class _Pairs(NamedTuple):
    """Readings so many readings apart, those of all cycles one after the other.

    Attributes:
        lags: ``(devices, pairs)`` pulses between them; 0 where there is no pair.
        squares: ``(devices, pairs)`` of their differences; 0 where there is no pair.
        counts: ``(devices, pairs)`` whether there is one.
        place: ``(devices, pairs)`` where between them they are, as a share of the range.
    """

    lags: Array
    squares: Array
    counts: NDArray[np.bool_]
    place: Array

    @property
    def mean_lag(self) -> Array:
        """``(devices,)`` pulses between the readings of a pair."""
        return np.asarray(self.lags.sum(axis=1) / np.maximum(self.counts.sum(axis=1), 1))


def _pairs(read: _Readings, gap: int) -> _Pairs:
    squares = (read.residual[:, :, gap:] - read.residual[:, :, :-gap]) ** 2
    known = np.isfinite(squares)
    lags = read.pulse[:, :, gap:] - read.pulse[:, :, :-gap]
    middle = (read.place[:, :, gap:] + read.place[:, :, :-gap]) / 2
    lags, squares = np.where(known, lags, 0), np.where(known, squares, 0)
    shape = len(known), -1  # the cycles one after the other
    return _Pairs(
        lags.reshape(shape), squares.reshape(shape), known.reshape(shape), middle.reshape(shape)
    )


def _line(pairs: list[_Pairs]) -> tuple[Array, Array]:
    """Slope and half the intercept of variance over lag, neither below 0.

    A variance from overlapping lags has a relative error that grows with the lag.
    """
    lags = np.stack([np.maximum(pair.mean_lag, 1) for pair in pairs], axis=1)
    counts = np.stack([pair.counts.sum(axis=1) for pair in pairs], axis=1)
    sums = np.stack([pair.squares.sum(axis=1) for pair in pairs], axis=1)
    variances = sums / np.maximum(counts, 1)
    weights = counts / lags / np.maximum(variances, 1e-100) ** 2
    weights /= weights.sum(axis=1, keepdims=True)
    mean_lag = (weights * lags).sum(axis=1)
    mean = (weights * variances).sum(axis=1)
    offset = lags - mean_lag[:, None]
    spread = np.maximum((weights * offset**2).sum(axis=1), 1e-12)  # 0 if all lags are one
    slope = (weights * offset * variances).sum(axis=1) / spread
    slope = np.clip(slope, 0, mean / mean_lag)  # no steeper than a line through 0
    return slope, np.maximum(mean - slope * mean_lag, 0) / 2


def _told_apart(pairs: list[_Pairs]) -> Noise:
    cycle, white = np.sqrt(_line(pairs))
    return Noise(cycle, white, _profile(pairs, cycle, white))


def _profile(pairs: list[_Pairs], cycle: Array, white: Array) -> Array:
    """Cycle noise along the range, pooled over devices in units of what each one has.

    Readings say little where most of their noise is white, so those of such devices weigh less,
    and the fewer they are, the flatter the profile is.
    """
    grid = np.linspace(0, 1, _POINTS)
    above, below = np.full((2, _POINTS), _PRIOR * sum(pair.mean_lag.mean() for pair in pairs))
    noisy = cycle > 0
    unit, lasting = cycle[noisy, None] ** 2, 2 * white[noisy, None] ** 2
    for pair in pairs:
        counts, lags = pair.counts[noisy], pair.lags[noisy]
        grown = (pair.squares[noisy] - counts * lasting) / unit
        weight = 1 / (1 + lasting / (np.maximum(lags, 1) * unit)) ** 2
        near = np.exp(-(((grid[:, None] - pair.place[noisy].ravel()) / _WIDTH) ** 2) / 2)
        above += near @ (weight * grown).ravel()
        below += near @ (weight * lags).ravel()
    return np.asarray(np.sqrt(np.maximum(above, 0) / below))
