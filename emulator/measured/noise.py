"""Which part of a pulse response's noise stays, and which part is soon gone.

The noise of a pulse stays in the conductance, that of a reading (or of a write that settles) does
not: readings ``k`` pulses apart differ, beyond the mean response, with a variance
``k * cycle**2 + 2 * white**2``. Some noise lasts for a few pulses and then goes, so that the
variance grows faster at first; where it does, only readings further apart are compared.

A fitted mean response follows some of the noise that stays, and a conductance is drawn back to
it, so that cycle noise is found some 10 to 35 % low.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Both = tuple[Array, Array]  # for up pulses, for down pulses

# Distances between the readings that are compared, as parts of all pulses.
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
    """Tell both parts of the noise apart.

    Args:
        residuals: ``(devices, cycles, pulses)`` readings without their mean response, for each
            direction; NaN where there is none.
        places: ``(devices, pulses)`` mean responses, as a share of the device's range.

    Returns:
        For each direction; the same for both if noise lasts, since few readings that are far
        apart are independent.
    """
    pulses = min(residual.shape[2] for residual in residuals)
    near, middle, far = (_lags(pulses, *shares) for shares in (_NEAR, _MIDDLE, _FAR))
    if _growth(residuals, places, near) > _LASTING * _growth(residuals, places, middle):
        up, down = _paired(residuals, places, far)
        noise = _told_apart(up + down)
        return noise, noise
    up, down = _paired(residuals, places, sorted({*near, *middle}))
    return _told_apart(up), _told_apart(down)


def _lags(pulses: int, first: float, last: float) -> list[int]:
    """Up to eight distances between readings, as parts of all pulses; at least three."""
    low = max(1, round(first * pulses))
    high = max(low + 2, round(last * pulses))
    return sorted({round(lag) for lag in np.geomspace(low, high, 8)})


def _growth(residuals: Both, places: Both, lags: list[int]) -> float:
    """How fast the variance of differences grows with their lag, summed over devices."""
    return sum(float(_line(pairs)[0].sum()) for pairs in _paired(residuals, places, lags))


class _Pairs(NamedTuple):
    """Readings ``lag`` pulses apart: squares of their differences, summed over cycles.

    Attributes:
        lag: Pulses between them.
        squares: ``(devices, pairs)``.
        counts: ``(devices, pairs)`` cycles that have both.
        place: ``(devices, pairs)`` where between them they are, as a share of the range.
    """

    lag: int
    squares: Array
    counts: NDArray[np.intp]
    place: Array


def _paired(residuals: Both, places: Both, lags: list[int]) -> tuple[list[_Pairs], list[_Pairs]]:
    """Readings at each lag, for each direction."""
    up, down = (
        [_pairs(residual, place, lag) for lag in lags]
        for residual, place in zip(residuals, places, strict=True)
    )
    return up, down


def _pairs(residual: Array, place: Array, lag: int) -> _Pairs:
    squares = (residual[:, :, lag:] - residual[:, :, :-lag]) ** 2
    known = np.isfinite(squares)
    middle = (place[:, lag:] + place[:, :-lag]) / 2
    return _Pairs(lag, np.where(known, squares, 0).sum(axis=1), known.sum(axis=1), middle)


def _line(pairs: list[_Pairs]) -> tuple[Array, Array]:
    """Slope and half the intercept of variance over lag, neither below 0.

    A variance from overlapping lags has a relative error that grows with the lag.
    """
    lags = np.array([pair.lag for pair in pairs])
    counts = np.stack([pair.counts.sum(axis=1) for pair in pairs], axis=1)
    sums = np.stack([pair.squares.sum(axis=1) for pair in pairs], axis=1)
    variances = sums / np.maximum(counts, 1)
    weights = counts / lags / np.maximum(variances, 1e-200) ** 2
    weights /= weights.sum(axis=1, keepdims=True)
    mean_lag = (weights * lags).sum(axis=1)
    mean = (weights * variances).sum(axis=1)
    offset = lags - mean_lag[:, None]
    slope = (weights * offset * variances).sum(axis=1) / (weights * offset**2).sum(axis=1)
    slope = np.clip(slope, 0, mean / mean_lag)  # no steeper than a line through 0
    return slope, np.maximum(mean - slope * mean_lag, 0) / 2


def _told_apart(pairs: list[_Pairs]) -> Noise:
    cycle, white = np.sqrt(_line(pairs))
    return Noise(cycle, white, _profile(pairs, cycle, white))


def _profile(pairs: list[_Pairs], cycle: Array, white: Array) -> Array:
    """Cycle noise along the range, pooled over devices in units of what each one has.

    Readings tell little where most of their noise is white, so those of such devices weigh less,
    and the fewer they are, the flatter the profile is.
    """
    grid = np.linspace(0, 1, _POINTS)
    above, below = np.full((2, _POINTS), _PRIOR * sum(pair.lag for pair in pairs))
    noisy = cycle > 0
    unit, lasting = cycle[noisy, None] ** 2, 2 * white[noisy, None] ** 2
    for pair in pairs:
        counts = pair.counts[noisy]
        grown = (pair.squares[noisy] - counts * lasting) / unit
        weight = 1 / (1 + lasting / (pair.lag * unit)) ** 2
        near = np.exp(-(((grid[:, None] - pair.place[noisy].ravel()) / _WIDTH) ** 2) / 2)
        above += near @ (weight * grown).ravel()
        below += near @ (weight * pair.lag * counts).ravel()
    return np.asarray(np.sqrt(np.maximum(above, 0) / below))
