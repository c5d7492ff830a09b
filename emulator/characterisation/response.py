"""The mean change per pulse at each conductance, from a noisy pulse response.

A regression of changes on conductances is biased, since noise of the reading is in both. Here the
pulse number, which has no noise, explains the conductance instead: steps ``f`` at equidistant
knots make a mean response ``m``, ``m[n + 1] = m[n] + f(m[n])``, and are those whose response comes
closest to the data. A second difference of ``f`` costs as much as its size is unlikely, so that
steps that fall on a straight line, as those of soft bounds do, cost nothing.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_KNOTS = 33
_CURVATURE = 6.0  # typical change of the slope of f over the range, in mean steps per range
_ITERATIONS = 40
_ENOUGH = 1e-5  # gain of an iteration, relative, below which it was the last
_PASSES = 3
_NUMBERS = 4_000_000  # of derivatives held at a time


class Response(NamedTuple):
    """Mean responses of devices to pulses of one direction.

    Attributes:
        mean: ``(devices, pulses)`` mean conductance after each pulse, up to the last that was read;
            from there on that of the last.
        knots: ``(devices, knots)`` equidistant conductances over the range of the data.
        steps: ``(devices, knots)`` mean change by a pulse at the knots, never against it.
        freedom: ``(devices,)`` effective number of parameters.
    """

    mean: Array
    knots: Array
    steps: Array
    freedom: Array

    def change(self, device: int, w: Array) -> Array:
        """Mean change of a device by a pulse at conductances ``w``."""
        return np.asarray(np.interp(w, self.knots[device], self.steps[device]))


def fit_response(y: Array, counts: Array, lowest: Array, highest: Array, *, up: bool) -> Response:
    """Fit the mean response of every device.

    Args:
        y: ``(devices, pulses)`` conductance after each pulse; whatever where ``counts`` is 0.
        counts: ``(devices, pulses)`` readings that each one is the mean of.
        lowest: ``(devices,)`` where the knots begin.
        highest: ``(devices,)`` where they end.
        up: Direction of the pulses.
    """
    width = (highest - lowest)[:, None]
    x = (y - lowest[:, None]) / width
    rising = np.where(counts > 0, x if up else 1 - x, 0.0)
    n, size = y.shape[0], max(1, _NUMBERS // (y.shape[1] * (_KNOTS + 1)))
    parts = [_fit_rising(rising[i : i + size], counts[i : i + size]) for i in range(0, n, size)]
    mean, steps, freedom = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    if not up:
        mean, steps = 1 - mean, -steps[:, ::-1]
    last = counts.shape[1] - 1 - np.argmax(counts[:, ::-1] > 0, axis=1)
    mean = np.take_along_axis(mean, np.minimum(np.arange(y.shape[1]), last[:, None]), axis=1)
    knots = lowest[:, None] + width * np.linspace(0, 1, _KNOTS)
    return Response(lowest[:, None] + width * mean, knots, width * steps, freedom)


def _fit_rising(x: Array, counts: Array) -> tuple[Array, Array, Array]:
    """Mean response, steps ``(devices, knots)`` and effective parameters for a range of 0 to 1."""
    start, typical = _first_guess(x, counts)
    parameters = np.column_stack([start, np.repeat(typical[:, None], _KNOTS, axis=1)])
    noise = _white_noise(x, counts)
    for _ in range(_PASSES):
        weight = noise * (_KNOTS - 1) ** 3 / (_CURVATURE * typical) ** 2
        parameters, mean = _least_squares(parameters, x, counts, weight)
        typical = np.sqrt((parameters[:, 1:] ** 2).mean(axis=1)) + 1e-12
        noise = _slow_noise(x - mean, counts)
    return mean, parameters[:, 1:], _freedom(parameters, counts, weight)


def _freedom(parameters: Array, counts: Array, weight: Array) -> Array:
    """``(devices,)`` trace of the matrix that takes readings to the mean response."""
    derivatives = _respond(parameters, counts.shape[1])[1]
    curvature = (derivatives * counts[:, :, None]).transpose(0, 2, 1) @ derivatives
    ridge = 1e-9 * np.einsum("dii->d", curvature)[:, None, None] * np.eye(1 + _KNOTS)
    shrunk = np.linalg.solve(curvature + weight[:, None, None] * _roughness() + ridge, curvature)
    return np.asarray(np.einsum("dii->d", shrunk))


def _roughness() -> Array:
    rough = np.zeros((_KNOTS - 2, 1 + _KNOTS))
    rough[:, 1:] = np.diff(np.eye(_KNOTS), n=2, axis=0)
    return np.asarray(rough.T @ rough)


def _first_guess(x: Array, counts: Array) -> tuple[Array, Array]:
    """Where each device starts, and a typical step: half of the way over the pulses it takes."""
    start, typical = [], []
    for values, weights in zip(x, counts, strict=True):
        seen = np.flatnonzero(weights)
        level = values[seen]
        few = max(1, len(seen) // 20)
        first, last = np.median(level[:few]), np.median(level[-few:])
        half = seen[np.argmax(level >= (first + last) / 2)] + 1
        start.append(first)
        typical.append(max(abs(last - first), 1e-3) / 2 / half)
    return np.array(start), np.array(typical)


def _white_noise(x: Array, counts: Array) -> Array:
    """``(devices,)`` variance from one reading to the next, its floor that of rounding."""
    known = counts > 0
    order = np.argsort(~known, axis=1, kind="stable")
    seen = np.take_along_axis(known, order, axis=1)
    squares = np.where(seen[:, 1:], np.diff(np.take_along_axis(x, order, axis=1), axis=1), 0) ** 2
    return np.asarray(squares.sum(axis=1) / np.maximum(seen[:, 1:].sum(axis=1), 1) / 2 + 1e-10)


def _slow_noise(residual: Array, counts: Array) -> Array:
    """``(devices,)`` what the variance of one reading is worth, as noise that lasts averages less.

    Sums of a block's readings vary more than readings if neighbours deviate alike.
    """
    size = max(1, residual.shape[1] // 20)
    n = residual.shape[1] // size * size
    seen = np.where(counts > 0, residual, 0.0)[:, :n].reshape(len(residual), -1, size)
    many = (counts[:, :n] > 0).reshape(seen.shape).sum(axis=2)
    variance = (seen.sum(axis=2) ** 2).sum(axis=1) / np.maximum(many.sum(axis=1), 1)
    return np.asarray(np.maximum(variance, _white_noise(residual, counts)))


def _least_squares(
    parameters: Array, x: Array, counts: Array, weight: Array
) -> tuple[Array, Array]:
    """Levenberg's method for all devices at once, with steps held at 0 or above.

    Args:
        parameters: ``(devices, 1 + knots)`` start and steps to begin with.
        x: ``(devices, pulses)`` data.
        counts: ``(devices, pulses)`` weight of each.
        weight: ``(devices,)`` of the squared second differences of the steps.

    Returns:
        The best parameters, and the mean responses ``(devices, pulses)``.
    """
    penalty = weight[:, None, None] * _roughness()
    damping = np.full(len(x), 1e-3)
    parameters = parameters.copy()
    mean, derivatives = _respond(parameters, x.shape[1])
    cost = _cost(parameters, x - mean, counts, penalty)
    going = np.arange(len(x))
    for _ in range(_ITERATIONS):
        here, many = parameters[going], counts[going]
        normal = _normal(here, (x - mean)[going], derivatives[going], many, penalty[going])
        tried = _moved(here, *normal, damping[going])
        response = _respond(tried, x.shape[1])
        tried_cost = _cost(tried, x[going] - response[0], many, penalty[going])
        gain = cost[going] - tried_cost
        better = going[gain > 0]
        parameters[better], cost[better] = tried[gain > 0], tried_cost[gain > 0]
        mean[better], derivatives[better] = (array[gain > 0] for array in response)
        damping[going] *= np.where(gain > 0, 0.2, 10.0)
        going = going[(gain > _ENOUGH * cost[going]) | ((gain <= 0) & (damping[going] < 1e3))]
        if not len(going):
            break
    return parameters, mean


def _respond(parameters: Array, n_pulses: int) -> tuple[Array, Array]:
    """Mean responses and their derivatives ``(devices, pulses, 1 + knots)``."""
    n_devices, top = len(parameters), _KNOTS - 1
    steps = np.ascontiguousarray(parameters[:, 1:])
    rises = np.diff(steps, axis=1, append=0)
    first = np.arange(n_devices) * _KNOTS  # of each device's steps among all
    mean = np.empty((n_devices, n_pulses))
    left = np.empty((n_devices, n_pulses), np.intp)
    share = np.empty((n_devices, n_pulses))
    at = parameters[:, 0]
    for n in range(n_pulses):
        mean[:, n] = at
        position = np.minimum(np.maximum(at * top, 0), top)
        knot = np.minimum(position.astype(np.intp), top - 1)
        left[:, n] = knot
        share[:, n] = part = position - knot
        place = first + knot
        at = at + steps.take(place) + part * rises.take(place)
    inside = (mean > 0) & (mean < 1)
    slope = np.take_along_axis(rises, left, axis=1)
    growth = (1 + inside * slope * top)[:, :, None]
    derivatives = np.zeros((n_devices, n_pulses, 1 + _KNOTS))
    derivatives[:, :1, 0] = 1
    device, pulse = np.ogrid[:n_devices, : n_pulses - 1]
    derivatives[device, pulse + 1, 1 + left[:, :-1]] = 1 - share[:, :-1]
    derivatives[device, pulse + 1, 2 + left[:, :-1]] = share[:, :-1]
    for n in range(n_pulses - 1):
        derivatives[:, n + 1] += derivatives[:, n] * growth[:, n]
    return mean, derivatives


def _cost(parameters: Array, residual: Array, counts: Array, penalty: Array) -> Array:
    rough = np.einsum("di,dij,dj->d", parameters, penalty, parameters)
    return np.asarray((counts * residual**2).sum(axis=1) + rough)


def _normal(
    parameters: Array, residual: Array, derivatives: Array, counts: Array, penalty: Array
) -> tuple[Array, Array]:
    """Half the gradient and half the curvature of the cost."""
    weighted = derivatives * counts[:, :, None]
    gradient = np.einsum("dij,dj->di", penalty, parameters)
    gradient -= np.einsum("dnp,dn->dp", weighted, residual)
    return gradient, weighted.transpose(0, 2, 1) @ derivatives + penalty


def _moved(parameters: Array, gradient: Array, curvature: Array, damping: Array) -> Array:
    """Where a damped step leads; steps at 0 that would become negative stay there."""
    held = (parameters <= 0) & (gradient > 0)
    held[:, 0] = False  # the start may lie anywhere
    free = ~held
    system = curvature * (free[:, :, None] & free[:, None, :])
    diagonal = np.arange(system.shape[1])
    scale = np.einsum("dii->di", curvature)
    system[:, diagonal, diagonal] += damping[:, None] * scale + held + 1e-12
    moved = parameters - np.linalg.solve(system, (gradient * free)[:, :, None])[:, :, 0]
    moved[:, 1:] = np.maximum(moved[:, 1:], 0)
    return moved
