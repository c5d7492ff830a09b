"""Laws of a few parameters beside the table, and which of them the data ask for.

A law gives the step ``f(x)`` at a conductance ``x``, 0 at one end of a device's range and 1 at the
other, in the direction of the pulses. As with the table, its mean response ``m[n + 1] = m[n] +
f(m[n])`` is brought closest to the readings.

Laws are compared by Bayes' information criterion. Noise that stays makes neighbouring readings
deviate alike, so what counts is how well each reading follows from those before it.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from crossmesh.emulator.characterisation.response import Response

Array = NDArray[np.float64]
Step = Callable[[Array, Array], Array]
StepAt = Callable[[Array], Array]

_ITERATIONS = 30
_ENOUGH = 1e-6  # gain of an iteration, relative, below which it was the last
_SHIFT = 1e-5  # of a parameter, to find its derivative
_LEAST = 1e-10  # residual that rounding leaves, squared, of the range
_RATIOS = np.array(
    [0.0, *np.logspace(-4, 3, 15)]
)  # variance of noise that stays over that of reading


class Law(NamedTuple):
    """A law of steps.

    Attributes:
        formula: As it is shown.
        step: The step at ``x`` for parameters ``(..., k)``; the first is where a device begins.
        guesses: Parameters to begin with, for a first step, where ``x`` begins and where it ends.
    """

    formula: str
    step: Step
    guesses: Callable[[Array, Array, Array], list[Array]]


def _constant(x: Array, p: Array) -> Array:
    return np.exp(p[..., 1]) + 0 * x


def _line(x: Array, p: Array) -> Array:
    return np.exp(p[..., 1]) * (p[..., 2] - x)


def _exponential(x: Array, p: Array) -> Array:
    return np.exp(p[..., 1]) * (np.exp(-np.clip(p[..., 2], -30, 30) * x) - p[..., 3])


def _power(x: Array, p: Array) -> Array:
    room = np.maximum(p[..., 2] - x, 1e-12)
    return np.asarray(np.exp(p[..., 1]) * room ** np.clip(p[..., 3], 0.05, 20))


LAWS: dict[str, Law] = {
    "constant_step": Law("a", _constant, lambda s, x, e: [np.stack([x, np.log(s)], 1)]),
    "soft_bounds": Law(
        "a (b - x)", _line,
        lambda s, x, e: [np.stack([x, np.log(a * s), e + 0.05], 1) for a in (3.0, 30.0)],
    ),
    "exponential": Law(
        "a (exp(-b x) - c)", _exponential,
        lambda s, x, e: [np.stack([x, np.log(3 * s), 0 * s + b, np.exp(-b * (e + 0.1))], 1)
                         for b in (1.0, 4.0)],
    ),
    "power": Law(
        "a (b - x)^c", _power,
        lambda s, x, e: [np.stack([x, np.log(3 * s), e + 0.1, 0 * s + c], 1) for c in (1.0, 2.0)],
    ),
}  # fmt: skip


class LawFit(NamedTuple):
    """A law, fitted to pulses of one direction.

    Attributes:
        name: Its name among ``LAWS``.
        parameters: ``(devices, k)``.
        mean: ``(devices, pulses)`` mean responses, as shares of the range in the direction.
    """

    name: str
    parameters: Array
    mean: Array

    def steps(self, x: Array) -> Array:
        """``(devices, points)`` steps at ``x`` of that shape, as shares of the range."""
        return LAWS[self.name].step(x, self.parameters[:, None])


def fit_law(name: str, x: Array, counts: Array) -> LawFit:
    """Fit a law to readings ``(devices, pulses)``, shares of the range that the pulses cross.

    Args:
        name: Its name among ``LAWS``.
        x: The readings; whatever where ``counts`` is 0.
        counts: How many each is the mean of.
    """
    x = np.where(counts > 0, x, 0.0)
    first, last, slope = _ends(x, counts)
    best: LawFit | None = None
    for guess in LAWS[name].guesses(slope, first, last):
        tried = _least_squares(name, guess, x, counts)
        if best is None:
            best = tried
            continue
        better = _rss(x, tried.mean, counts) < _rss(x, best.mean, counts)
        best = LawFit(name, np.where(better[:, None], tried.parameters, best.parameters),
                      np.where(better[:, None], tried.mean, best.mean))  # fmt: skip
    assert best is not None
    return best


def criterion(step: StepAt, x: Array, counts: Array, freedom: Array) -> float:
    """Bayes' information criterion ``-2 ln L + k ln n``, over all devices.

    ``L`` is the likelihood of each reading given those before it, by a Kalman filter: a pulse moves
    a device by its step and adds noise that stays, a reading adds noise that does not. The ratio
    of the two variances is the likeliest of a row, their size follows from the readings.

    Args:
        step: Steps ``(devices, ...)`` at conductances ``(devices, ...)``.
        x: ``(devices, pulses)`` readings.
        counts: ``(devices, pulses)`` how many each is the mean of.
        freedom: ``(devices,)`` parameters of the steps.
    """
    first = np.argmax(counts > 0, axis=1)
    ratios = np.tile(_RATIOS, 2)
    state = np.repeat(np.take_along_axis(x, first[:, None], axis=1), len(ratios), axis=1)
    typical = _ends(x, counts)[2][:, None]
    spread = np.ones_like(state) / np.take_along_axis(counts, first[:, None], axis=1)
    errors, logarithms = np.zeros_like(state), np.zeros_like(state)
    for n in range(1, x.shape[1]):
        going = (n > first)[:, None]
        here = np.maximum(step(state), 0)
        slope = 1 + (np.maximum(step(state + _SHIFT), 0) - here) / _SHIFT
        ahead = np.where(going, state + here, state)
        spread = np.where(going, slope**2 * spread + ratios * _relative(here / typical), spread)
        many = counts[:, n : n + 1] * going
        variance = spread + 1 / np.maximum(many, 1)
        error = np.where(many > 0, x[:, n : n + 1] - ahead, 0.0)
        errors += error**2 / variance
        logarithms += np.where(many > 0, np.log(variance), 0.0)
        gain = np.where(many > 0, spread / variance, 0.0)
        state, spread = ahead + gain * error, (1 - gain) * spread
    read = np.maximum((counts > 0).sum(axis=1) - 1, 1)[:, None]
    twice = (logarithms + read * np.log(errors / read + _LEAST)).min(axis=1)
    return float((twice + freedom * np.log(read[:, 0])).sum())


def _relative(step: Array) -> Array:
    """Variance of noise that stays: constant in the first half, as steps squared in the other."""
    return np.where(np.arange(step.shape[1]) < step.shape[1] // 2, 1.0, step**2)


def of_table(response: Response, *, up: bool) -> StepAt:
    """Steps of a table, as shares of its range in the direction of the pulses."""
    width = np.ptp(response.knots, axis=1)[:, None]
    steps = response.steps / width if up else -response.steps[:, ::-1] / width
    top = steps.shape[1] - 1

    def step(x: Array) -> Array:
        place = np.clip(x * top, 0, top)
        left = np.minimum(place.astype(np.intp), top - 1)
        below, above = (np.take_along_axis(steps, left + k, axis=1) for k in (0, 1))
        return np.asarray(below + (place - left) * (above - below))

    return step


def shares(readings: Array, response: Response, *, up: bool) -> tuple[Array, Array, Array]:
    """Readings ``(devices, pulses)`` and their mean as shares of the range, and their counts."""
    low, width = response.knots[:, :1], np.ptp(response.knots, axis=1)[:, None]
    counts = np.isfinite(readings).sum(axis=1).astype(float)
    means = np.nansum(readings, axis=1) / np.maximum(counts, 1)
    x, mean = (means - low) / width, (response.mean - low) / width
    return (x, mean, counts) if up else (1 - x, 1 - mean, counts)


def _ends(x: Array, counts: Array) -> tuple[Array, Array, Array]:
    """Where readings begin and end, and how far a pulse leads on average."""
    first, last, slope = [], [], []
    for values, many in zip(x, counts, strict=True):
        seen = np.flatnonzero(many)
        few = max(1, len(seen) // 20)
        first.append(values[seen[:few]].mean())
        last.append(values[seen[-few:]].mean())
        slope.append(max(last[-1] - first[-1], 1e-3) / max(seen[-1] - seen[0], 1))
    return np.array(first), np.array(last), np.array(slope)


def _respond(step: Step, parameters: Array, n_pulses: int) -> Array:
    """``(..., pulses)`` mean responses."""
    at = parameters[..., 0]
    mean = np.empty((*at.shape, n_pulses))
    for n in range(n_pulses):
        mean[..., n] = at
        at = np.minimum(at + np.maximum(step(at, parameters), 0), 2.0)
    return mean


def _rss(x: Array, mean: Array, counts: Array) -> Array:
    return np.asarray((counts * (x - mean) ** 2).sum(axis=1))


def _least_squares(name: str, start: Array, x: Array, counts: Array) -> LawFit:
    """Levenberg's method for all devices at once, with derivatives by differences."""
    step, (n, k) = LAWS[name].step, start.shape
    p, damping = start.copy(), np.full(n, 1e-2)
    mean = _respond(step, p, x.shape[1])
    cost = _rss(x, mean, counts)
    for _ in range(_ITERATIONS):
        shifted = p[:, None] + _SHIFT * np.eye(k)
        slopes = (_respond(step, shifted, x.shape[1]) - mean[:, None]) / _SHIFT
        weighted = slopes * counts[:, None]
        curvature = weighted @ slopes.transpose(0, 2, 1)
        scale = np.einsum("dii->di", curvature) + 1e-12
        system = curvature + damping[:, None, None] * np.eye(k) * scale[:, :, None]
        move = np.linalg.solve(system, (weighted @ (x - mean)[:, :, None]))[:, :, 0]
        tried = p + np.clip(move, -2.0, 2.0)
        response = _respond(step, tried, x.shape[1])
        new = _rss(x, response, counts)
        gain = np.where(np.isfinite(new), cost - new, -1.0)
        better = gain > 0
        p[better], mean[better] = tried[better], response[better]
        damping = np.clip(damping * np.where(better, 0.2, 8.0), 1e-9, 1e9)
        enough = (better & (gain <= _ENOUGH * cost)) | (~better & (damping > 1e6))
        cost = np.where(better, new, cost)
        if enough.all():
            break
    return LawFit(name, p, mean)
