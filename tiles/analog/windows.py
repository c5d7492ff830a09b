"""Pulses of several examples that go together: what a chunk of devices does in one draw of noise.

A window is some consecutive examples of one call. Where pulse after pulse would give a device the
same mean and spread within 1 %, in the order in which its pulses come, it moves once, with
one normal number. Other devices are left alone, for their pulses to be taken example by example.
"""

import numpy as np

from crossmesh.common.compiled import inlined, part, popcount, use_full_width
from crossmesh.common.random import CHUNK
from crossmesh.tiles.analog.chunks import (
    FAR,
    LEAST_CURVED,
    NO_PULSES,
    NOISE,
    SMALL,
    W,
    deviation,
)
from crossmesh.tiles.analog.devices.kernels import (
    LOWER,
    UPPER,
    depends_on_state,
    pulse_slope,
    pulse_step,
)
from crossmesh.tiles.analog.update import BITS

LONG = 128  # examples of a window at most, so that 31 pulses of each are counted in 16 bits
SHORT = 32  # where steps depend on the state, which changes little meanwhile
DRAW = np.uint32(0xFFFFFFFF)  # number of a window's normal numbers among those of its first example

_NOTHING = np.float32(0)
_ONE = np.float32(1)
_HALF = np.float32(0.5)
_TWO = np.float32(2)
_SIXTH = np.float32(1 / 6)
_ROUGH = np.float32(0.01)  # of a spread, by which a mean may be off
_SHIFT = np.uint32(16)  # pulses down are counted in the upper half of a word
_LOWER_HALF = np.uint32(0xFFFF)


@inlined
def total(totals, orders, trains, chunks, chunk):
    """Add up the pulses that the devices of a chunk get in some examples, up and down apart.

    Args:
        totals: ``(CHUNK,)`` uint32, written: pulses up, and 65,536 times pulses down.
        orders: ``(CHUNK,)`` int32, written: pairs of a pulse up and a later one down, less pairs
            of a pulse down and a later one up; empty if they do not matter.
        trains: ``(n,)`` words of a word line.
        chunks: ``(chunks, n or more, CHUNK)`` words of bit lines.
        chunk: The chunk.

    Returns:
        All totals, or'ed: 0 if no device is pulsed.
    """
    for j in range(CHUNK):
        totals[j] = NO_PULSES
    for j in range(len(orders)):
        orders[j] = np.int32(0)
    for e in range(len(trains)):
        train = trains[e]
        if train == NO_PULSES:
            continue
        slots = np.uint32(train & BITS)
        for j in range(CHUNK):
            other, before = chunks[chunk, e, j], totals[j]
            pulses = np.uint32(popcount(np.uint32(slots & other)))
            is_up = np.int32(train ^ other) >= np.int32(0)
            shift = np.uint32(0) if is_up else _SHIFT
            totals[j] = np.uint32(before + np.uint32(pulses << shift))
            if len(orders):
                against = np.uint32(before >> np.uint32(_SHIFT - shift)) & _LOWER_HALF
                pairs = np.int32(np.uint32(against * pulses))
                orders[j] = np.int32(orders[j] + (np.int32(-pairs) if is_up else pairs))
    pulsed = NO_PULSES
    for j in range(CHUNK):
        pulsed = np.uint32(pulsed | totals[j])
    return pulsed


@part
def _step(scratch, constants, j, w, up):
    return pulse_step(constants, scratch, j, w, up)


@part
def _slope(scratch, constants, j, w, step, up):
    return pulse_slope(constants, scratch, j, w, step, up)


@part
def _along(scratch, constants, j, n, step, noise, spread, up):
    """How steps and noise in one direction change on the way of ``n`` pulses.

    Args:
        scratch: Area of the chunk.
        constants: Of the model.
        j: The device.
        n: Its pulses in this direction.
        step: Mean change by one of them.
        noise: Its standard deviation.
        spread: Standard deviation of what all pulses of both directions do; one more is looked at.
        up: The direction.

    Returns:
        Slope of the step; slope of the variance; by how much the mean may be off; and whether
        noise changes by less than ``SMALL`` and steps lead in the direction all the way.
    """
    w = scratch[W, j]
    probe = n * step + (spread if up else -spread)
    slope = _slope(scratch, constants, j, w, step, up)
    there = _step(scratch, constants, j, w + probe, up)
    changed = deviation(scratch, constants, j, w + probe, there, up) - noise
    steeper = _slope(scratch, constants, j, w + probe, there, up) - slope
    of_variance = _TWO * noise * changed / probe if n > _NOTHING else _NOTHING
    rough = abs(_HALF * n * steeper * probe)
    least = min(step, there) if up else min(-step, -there)
    is_even = (abs(changed) <= SMALL * noise) & (least >= _NOTHING)
    return slope, of_variance, rough, is_even


@part
def take(scratch, constants, totals, orders, alone):
    """Move the devices of a chunk whose pulses of a window may go together.

    Mean and variance are those of the pulses in their order, to second order in the change of
    steps and noise on the way: with ``u`` pulses up of mean ``a``, ``d`` down of mean ``b``, slopes
    ``a'`` and ``b'``, and of their pairs ``p`` up first and ``q`` down first, the mean moves by

        ``u a + d b + u (u - 1) / 2 a a' + d (d - 1) / 2 b b' + p a b' + q b a'``.

    Args:
        scratch: Area of the chunk, whose normal numbers are drawn; its conductances are changed.
        constants: Of the model.
        totals: Pulses of each device, and
        orders: their order, as ``total`` writes them.
        alone: ``(CHUNK,)`` uint32, written: totals of devices that are left alone, 0 for others.

    Returns:
        All of ``alone``, or'ed.
    """
    use_full_width()
    any_alone = NO_PULSES
    for j in range(CHUNK):
        n, w = totals[j], scratch[W, j]
        ups = np.float32(np.int32(n & _LOWER_HALF))
        downs = np.float32(np.int32(n >> _SHIFT))
        rise, fall = _step(scratch, constants, j, w, True), _step(scratch, constants, j, w, False)
        rise_noise = deviation(scratch, constants, j, w, rise, True)
        fall_noise = deviation(scratch, constants, j, w, fall, False)
        climb, drop = ups * rise, downs * fall
        rise_variance, fall_variance = rise_noise * rise_noise, fall_noise * fall_noise
        way, variance = climb + drop, ups * rise_variance + downs * fall_variance
        rough, together = (climb - drop) * LEAST_CURVED, n != NO_PULSES
        if depends_on_state(constants):
            spread = np.sqrt(variance)
            rise_slope, rise_variance_slope, rise_rough, is_even = _along(
                scratch, constants, j, ups, rise, rise_noise, spread, True
            )
            together &= is_even | (ups == _NOTHING)
            fall_slope, fall_variance_slope, fall_rough, is_even = _along(
                scratch, constants, j, downs, fall, fall_noise, spread, False
            )
            together &= is_even | (downs == _NOTHING)
            both = _HALF * ups * downs
            order = _HALF * np.float32(orders[j])
            up_first, down_first = both + order, both - order
            up_pairs = _HALF * ups * (ups - _ONE)
            down_pairs = _HALF * downs * (downs - _ONE)
            way += up_pairs * rise * rise_slope + down_pairs * fall * fall_slope
            way += up_first * rise * fall_slope + down_first * fall * rise_slope
            variance += rise_variance_slope * (up_pairs * rise + down_first * fall)
            variance += fall_variance_slope * (down_pairs * fall + up_first * rise)
            variance += _TWO * rise_variance * (up_pairs * rise_slope + up_first * fall_slope)
            variance += _TWO * fall_variance * (down_pairs * fall_slope + down_first * rise_slope)
            change = ups * rise_slope + downs * fall_slope
            rough += rise_rough + fall_rough + (climb - drop) * (change * change * _SIXTH)
        spread = np.sqrt(max(variance, _NOTHING))
        reach = FAR * spread
        together &= (w + climb + reach < scratch[UPPER, j]) & (w + drop - reach > scratch[LOWER, j])
        together &= rough <= _ROUGH * spread
        moved = min(
            max(w + (way + spread * scratch[NOISE, j]), scratch[LOWER, j]), scratch[UPPER, j]
        )
        scratch[W, j] = moved if together else w
        left = NO_PULSES if together else n
        alone[j] = left
        any_alone = np.uint32(any_alone | left)
    return any_alone
