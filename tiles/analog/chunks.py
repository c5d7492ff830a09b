"""What pulses do to a chunk of devices of one word line: the inner loops of every update."""

import numpy as np

from crossmesh.common.compiled import inlined, part, use_full_width
from crossmesh.common.random import CHUNK, fill_normals
from crossmesh.tiles.analog.devices.kernels import (
    HISTORY,
    LOWER,
    PREPARED_DOWN,
    PREPARED_UP,
    UPPER,
    depends_on_state,
    has_history,
    is_prepared,
    is_smooth,
    prepared,
    pulse_noise,
    pulse_slope,
    pulse_step,
    remembered,
)
from crossmesh.tiles.analog.parameters import value

# The scratch area of one chunk of columns: the parameters of the devices come first, in the rows
# that their models name, and these rows last. One array with constant rows, and no views of it, is
# what lets compilers prove that the loops below can run as vectors.
SCRATCH_ROWS = 16
W, COUNT, NOISE = 13, 14, 15

# Numbers of pulses of a chunk, or'ed.
NO_PULSES, SINGLE, SEVERAL = np.uint32(0), np.uint32(1), np.uint32(3)

# What pulses that go together may differ by; see _pulse_all.
FAR = np.float32(4)  # standard deviations
SMALL = np.float32(0.1)
_CURVED = np.float32(0.02)
LEAST_CURVED = np.float32(1e-6)  # so that pulses without noise never go together

_NOTHING = np.float32(0)
_ONE = np.float32(1)
_HALF = np.float32(0.5)


@inlined
def _root(n):
    """Square root of a whole number, to 7e-4 of itself: a guess at 1 / root, improved once."""
    guess = np.int32(np.int32(0x5F1FFFF9) - (np.float32(n).view(np.int32) >> np.int32(1)))
    y = np.int32(guess).view(np.float32)
    return n * y * (np.float32(1.6819134) - np.float32(0.703952253) * (n * y * y))


@part
def _prepared(scratch, constants, j, up):
    return prepared(constants, scratch, j, up)


@part
def prepare(scratch, constants):
    """Compute what models want of devices that were just loaded."""
    use_full_width()
    if is_prepared(constants):
        for j in range(CHUNK):
            scratch[PREPARED_UP, j] = _prepared(scratch, constants, j, True)
            scratch[PREPARED_DOWN, j] = _prepared(scratch, constants, j, False)


@inlined
def load(scratch, constants, w, history, parameters, i, first, width):
    """Load ``width`` devices of a word line, from column ``first`` on."""
    for p in range(parameters.place.shape[0]):
        place = parameters.place[p]
        for j in range(width):
            scratch[p, j] = value(parameters, p, place, i, first + j)
    for j in range(width):
        scratch[W, j] = w[i, first + j]
        if has_history(constants):
            scratch[HISTORY, j] = history[i, first + j]
    prepare(scratch, constants)


@inlined
def store(scratch, constants, w, history, i, first, width):
    """Store what pulses have changed."""
    for j in range(width):
        w[i, first + j] = scratch[W, j]
        if has_history(constants):
            history[i, first + j] = scratch[HISTORY, j]


@part
def deviation(scratch, constants, j, w, step, up):
    """Standard deviation of what one pulse does to a device at ``w``, whose mean is ``step``."""
    return abs(pulse_noise(constants, scratch, j, w, step, up))


@part
def _pulse_once(scratch, constants):
    """Move every device of a chunk by one of its pulses; returns whether any has more."""
    use_full_width()
    any_left = NO_PULSES
    for j in range(CHUNK):
        n, w = scratch[COUNT, j], scratch[W, j]
        size, up = abs(n), n > _NOTHING
        step = pulse_step(constants, scratch, j, w, up)
        noise = deviation(scratch, constants, j, w, step, up)
        # Devices without pulses move by 0: a store that left them out would keep the next example
        # from taking the others from where they were just written.
        moved = w + min(size, _ONE) * (step + noise * scratch[NOISE, j])
        scratch[W, j] = min(max(moved, scratch[LOWER, j]), scratch[UPPER, j])
        if has_history(constants):
            moves = size > _NOTHING
            memory = remembered(constants, scratch, j, up)
            scratch[HISTORY, j] = memory if moves else scratch[HISTORY, j]
        left = max(size - _ONE, _NOTHING)
        any_left = np.uint32(any_left | np.uint32(left > _NOTHING))
        scratch[COUNT, j] = left if up else -left
    return any_left


@part
def _pulse_all(scratch, constants):
    """Move every device of a chunk by all of its pulses at once, or by one of them.

    Pulses go together where mean and spread then stay within 1 % of what pulse after pulse gives,
    in units of the spread, so never without noise: where no bound is within ``FAR`` deviations,
    and where step and noise change by less than ``SMALL`` from the first pulse to the last. That
    is accounted for to first order; of the mean, less than ``_CURVED`` spreads are left.

    Returns:
        Whether any has more.
    """
    use_full_width()
    any_left = NO_PULSES
    for j in range(CHUNK):
        n, w = scratch[COUNT, j], scratch[W, j]
        size, up = abs(n), n > _NOTHING
        step = pulse_step(constants, scratch, j, w, up)
        noise = deviation(scratch, constants, j, w, step, up)
        more = size - _ONE
        root = _root(size)
        way, spread = size * step, root * noise
        reach = abs(way) + FAR * spread
        together = (w + reach < scratch[UPPER, j]) & (w - reach > scratch[LOWER, j])
        curved = LEAST_CURVED
        if depends_on_state(constants):
            slope = pulse_slope(constants, scratch, j, w, step, up)
            change = more * slope  # of a small distance, by the other pulses
            together &= abs(change) < SMALL
            curved = max(curved, change * change)
            probe = more * step + (spread if up else -spread)
            there = step + slope * probe
            changed = deviation(scratch, constants, j, w + probe, there, up) - noise
            together &= abs(changed) <= SMALL * noise
            bend = _ONE + _HALF * change
            half_way = _HALF * more * step
            half = deviation(scratch, constants, j, w + half_way, step * bend, up)
            way, spread = way * bend, root * bend * half
        together &= abs(way) * curved <= _CURVED * spread
        together |= more <= _NOTHING
        way = way if together else step
        spread = spread if together else noise
        moved = w + (way + spread * scratch[NOISE, j])
        scratch[W, j] = min(max(moved, scratch[LOWER, j]), scratch[UPPER, j])
        left = n - (_ONE if up else -_ONE)
        left = _NOTHING if together else left
        any_left = np.uint32(any_left | np.uint32(left != _NOTHING))
        scratch[COUNT, j] = left
    return any_left


@inlined
def pulse(scratch, constants, numbers):
    """Move a chunk, given its numbers of pulses, or'ed; returns whether any device has more."""
    if numbers == SINGLE or not is_smooth(constants):
        return _pulse_once(scratch, constants)
    return _pulse_all(scratch, constants)


@inlined
def give_normals(scratch, noise, words, chunk, i, example, draw, key):
    """Give every device of a chunk a normal number of its own."""
    fill_normals(noise, words, chunk, i, example, draw, key[0], key[1])
    for j in range(CHUNK):
        scratch[NOISE, j] = noise[j]
