"""What pulses do to devices: coincidences of trains, or numbers of pulses that are given."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.compiled import inlined, kernel, part, popcount, use_full_width
from crossmesh.common.expand import expand
from crossmesh.common.random import CHUNK, fill_normals
from crossmesh.tiles.analog.devices.kernels import (
    HISTORY,
    LOWER,
    UPPER,
    depends_on_state,
    has_history,
    is_smooth,
    pulse_noise,
    pulse_step,
    remembered,
)
from crossmesh.tiles.analog.parameters import Parameters, value
from crossmesh.tiles.analog.update import BITS

_ZERO = np.uint32(0)
_NOTHING = np.float32(0)
_ONE = np.float32(1)
_HALF = np.float32(0.5)
_FAR = np.float32(4)  # standard deviations
_SMALL = np.float32(0.1)
_CURVED = np.float32(0.02)
_SPAN = 128  # examples whose normal numbers are kept at a time

# The scratch area of one chunk of columns: the parameters of the devices come first, in the rows
# that their models name, and these rows last. One array with constant rows, and no views of it, is
# what lets compilers prove that the loops below can run as vectors.
_SCRATCH_ROWS = 16  # HISTORY is row 12
_W, _COUNT, _NOISE = 13, 14, 15


@inlined
def _coinciding(train, chunks, chunk, e):
    """How many devices of a word line coincide with a chunk of bit lines."""
    devices = np.int32(0)
    for j in range(CHUNK):
        pulses = np.uint32(train & chunks[chunk, e, j] & BITS)
        devices = np.int32(devices + np.int32(pulses != _ZERO))
    return devices


@inlined
def _count(scratch, train, chunks, chunk, e):
    """Signed coincidences of one word line with a chunk of bit lines.

    Returns:
        How many devices have any, and how many have several.
    """
    devices, several = np.int32(0), np.int32(0)
    for j in range(CHUNK):
        other = chunks[chunk, e, j]
        n = np.int32(popcount(np.uint32(train & other & BITS)))
        devices = np.int32(devices + np.int32(n != np.int32(0)))
        several = np.int32(several + np.int32(n > np.int32(1)))
        size = np.float32(n)
        scratch[_COUNT, j] = size if np.int32(train ^ other) >= np.int32(0) else -size
    return devices, several


@inlined
def _root(n):
    """Square root of a whole number, to 7e-4 of itself: a guess at 1 / root, improved once."""
    guess = np.int32(np.int32(0x5F1FFFF9) - (np.float32(n).view(np.int32) >> np.int32(1)))
    y = np.int32(guess).view(np.float32)
    return n * y * (np.float32(1.6819134) - np.float32(0.703952253) * (n * y * y))


@inlined
def _load(scratch, constants, w, history, parameters, i, first, width):
    for p in range(parameters.place.shape[0]):
        place = parameters.place[p]
        for j in range(width):
            scratch[p, j] = value(parameters, p, place, i, first + j)
    for j in range(width):
        scratch[_W, j] = w[i, first + j]
        if has_history(constants):
            scratch[HISTORY, j] = history[i, first + j]


@inlined
def _store(scratch, constants, w, history, i, first, width):
    for j in range(width):
        w[i, first + j] = scratch[_W, j]
        if has_history(constants):
            history[i, first + j] = scratch[HISTORY, j]


@part
def _change(scratch, constants, j, w, up):
    """Mean and deviation of what one pulse does to a device at ``w``."""
    step = pulse_step(constants, scratch, j, w, up)
    return step, pulse_noise(constants, scratch, j, w, step, up)


@part
def _pulse_once(scratch, constants):
    """Move every device of a chunk by one of its pulses; returns how many have more."""
    use_full_width()
    pulsed = np.int32(0)
    for j in range(CHUNK):
        n, w = scratch[_COUNT, j], scratch[_W, j]
        size, up = abs(n), n > _NOTHING
        step, noise = _change(scratch, constants, j, w, up)
        # Devices without pulses move by 0: a store that left them out would keep the next example
        # from taking the others from where they were just written.
        moved = w + min(size, _ONE) * (step + noise * scratch[_NOISE, j])
        scratch[_W, j] = min(max(moved, scratch[LOWER, j]), scratch[UPPER, j])
        if has_history(constants):
            moves = size > _NOTHING
            memory = remembered(constants, scratch, j, up)
            scratch[HISTORY, j] = memory if moves else scratch[HISTORY, j]
        left = max(size - _ONE, _NOTHING)
        pulsed = np.int32(pulsed + np.int32(left > _NOTHING))
        scratch[_COUNT, j] = left if up else -left
    return pulsed


@part
def _pulse_all(scratch, constants):
    """Move every device of a chunk by all of its pulses at once, or by one of them.

    Pulses go together where mean and spread then stay within 1 % of what pulse after pulse gives,
    in units of the spread, so never without noise: where no bound is within ``_FAR`` deviations,
    and where step and noise change by less than ``_SMALL`` from the first pulse to the last. That
    is accounted for to first order; of the mean, less than ``_CURVED`` spreads are left.

    Returns:
        How many devices have more.
    """
    use_full_width()
    pulsed = np.int32(0)
    for j in range(CHUNK):
        n, w = scratch[_COUNT, j], scratch[_W, j]
        size, up = abs(n), n > _NOTHING
        step, noise = _change(scratch, constants, j, w, up)
        more = size - _ONE
        root = _root(size)
        way, spread = size * step, root * abs(noise)
        reach = abs(way) + _FAR * spread
        together = (w + reach < scratch[UPPER, j]) & (w - reach > scratch[LOWER, j])
        together &= (spread > _NOTHING) | (way == _NOTHING)
        if depends_on_state(constants):
            probe = abs(more * step) + spread
            probe = probe if up else -probe
            probe = probe if probe != _NOTHING else _ONE
            there, noise_there = _change(scratch, constants, j, w + probe, up)
            change = more * (there - step) / probe  # of a small distance, by the other pulses
            noise_change = noise_there - noise
            together &= abs(change) < _SMALL
            together &= abs(way) * change * change <= _CURVED * spread
            together &= abs(noise_change) <= _SMALL * abs(noise)
            bend = _ONE + _HALF * change
            way = way * bend
            spread = root * bend * (noise + noise_change * (_HALF * more * step / probe))
        together |= more <= _NOTHING
        way = way if together else step
        spread = spread if together else noise
        moved = w + (way + spread * scratch[_NOISE, j])
        scratch[_W, j] = min(max(moved, scratch[LOWER, j]), scratch[UPPER, j])
        left = _NOTHING if together else more
        pulsed = np.int32(pulsed + np.int32(left > _NOTHING))
        scratch[_COUNT, j] = left if up else -left
    return pulsed


@inlined
def _pulse(scratch, constants, several):
    """Move a chunk; returns how many devices have more pulses."""
    if several == np.int32(0) or not is_smooth(constants):
        return _pulse_once(scratch, constants)
    return _pulse_all(scratch, constants)


@inlined
def _draw(scratch, noise, words, chunk, i, example, draw, key):
    """Give every device of a chunk a normal number of its own."""
    fill_normals(noise, words, chunk, i, example, draw, key[0], key[1])
    for j in range(CHUNK):
        scratch[_NOISE, j] = noise[j]


@kernel
def apply_trains(
    w: NDArray[np.float32],  # (rows, cols) normalised conductance, changed in place
    history: NDArray[np.float32],  # (rows, cols) what else devices remember; (0, 0) if nothing
    parameters: Parameters,  # of the devices
    constants: Any,
    row_trains: NDArray[np.uint32],  # (examples, rows)
    column_trains: NDArray[np.uint32],  # (examples, cols padded to CHUNK)
    first_example: int,
    key: NDArray[np.uint32],  # (2,) of the cycle noise
) -> None:
    """Move every device once per coincidence, example after example."""
    use_full_width()
    rows, cols = w.shape
    n_examples = row_trains.shape[0]
    scratch = np.zeros((_SCRATCH_ROWS, CHUNK), np.float32)
    noise = np.empty(CHUNK, np.float32)
    words = np.empty(CHUNK // 2, np.uint32)
    span = min(n_examples, _SPAN)
    n_chunks = column_trains.shape[1] // CHUNK
    chunks = np.empty((n_chunks, span, CHUNK), np.uint32)
    drawn = np.empty(span * (column_trains.shape[1] + CHUNK), np.float32)
    begin = np.empty(span + 1, np.int64)
    for start in range(0, n_examples, _SPAN):
        n = min(_SPAN, n_examples - start)
        for chunk in range(n_chunks):
            for e in range(n):
                for j in range(CHUNK):
                    chunks[chunk, e, j] = column_trains[start + e, chunk * CHUNK + j]
        for i in range(rows):
            # Normal numbers of a word line and an example go to its devices in order, each to one
            # that coincides.
            begin[:] = 0
            for chunk in range(n_chunks):
                for e in range(n):
                    train = row_trains[start + e, i]
                    if train != _ZERO:
                        begin[e + 1] += _coinciding(train, chunks, chunk, e)
            for e in range(n):
                begin[e + 1] = begin[e] + (begin[e + 1] + CHUNK - 1) // CHUNK * CHUNK
            at = begin[n]
            if at == 0:
                continue
            for e in range(n):
                for block in range((begin[e + 1] - begin[e]) // CHUNK):
                    example = first_example + start + e
                    fill_normals(noise, words, block, i, example, 0, key[0], key[1])
                    for j in range(CHUNK):
                        drawn[begin[e] + block * CHUNK + j] = noise[j]
            for chunk in range(n_chunks):
                first = chunk * CHUNK
                width = min(CHUNK, cols - first)
                loaded = False
                for e in range(n):
                    train = row_trains[start + e, i]
                    if train == _ZERO:
                        continue
                    devices, several = _count(scratch, train, chunks, chunk, e)
                    if devices == np.int32(0):
                        continue
                    if not loaded:
                        _load(scratch, constants, w, history, parameters, i, first, width)
                        loaded = True
                    example = first_example + start + e
                    begin[e] = expand(scratch, _NOISE, scratch, _COUNT, drawn, begin[e], CHUNK)
                    draw = 0
                    while devices > np.int32(0):
                        if draw:
                            _draw(scratch, noise, words, chunk, i, example, draw, key)
                        devices = _pulse(scratch, constants, several)
                        draw += 1
                if loaded:
                    _store(scratch, constants, w, history, i, first, width)


@kernel
def apply_counts(
    w: NDArray[np.float32],  # (rows, cols) normalised conductance, changed in place
    history: NDArray[np.float32],  # (rows, cols) what else devices remember; (0, 0) if nothing
    parameters: Parameters,  # of the devices
    constants: Any,
    counts: NDArray[np.int16],  # (n, cols) signed pulses
    first_row: int,  # of the n word lines that they are for
    example: int,
    key: NDArray[np.uint32],  # (2,) of the cycle noise
) -> None:
    """Move every device by its own number of pulses, one after the other."""
    use_full_width()
    cols = w.shape[1]
    scratch = np.zeros((_SCRATCH_ROWS, CHUNK), np.float32)
    noise = np.empty(CHUNK, np.float32)
    words = np.empty(CHUNK // 2, np.uint32)
    for n in range(counts.shape[0]):
        i = first_row + n
        for first in range(0, cols, CHUNK):
            width = min(CHUNK, cols - first)
            most = 0
            for j in range(width):
                most = max(most, abs(int(counts[n, first + j])))
            if most == 0:
                continue
            _load(scratch, constants, w, history, parameters, i, first, width)
            for j in range(CHUNK):
                scratch[_COUNT, j] = np.float32(counts[n, first + j]) if j < width else _NOTHING
            devices, several, draw = np.int32(1), np.int32(1), 0
            while devices > np.int32(0):
                _draw(scratch, noise, words, first // CHUNK, i, example, draw, key)
                devices = _pulse(scratch, constants, several)
                draw += 1
            _store(scratch, constants, w, history, i, first, width)
