"""What pulses do to devices: coincidences of trains, or numbers of pulses that are given.

Examples are applied one after the other, each pulse by the device's own model.

Cycle noise enters once per ``GROUP`` consecutive examples of a call, as one normal number with the
summed variance of their coincidences. That is exact where the step does not depend on the state
and no bound is met within the group, and off by second order in the step otherwise; a lone
coincidence in a group is always exact. It makes the update about three times as fast.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.compiled import inlined, kernel, popcount
from crossmesh.common.random import CHUNK, fill_normals
from crossmesh.tiles.analog.devices.kernels import (
    HISTORY,
    LOWER,
    UPPER,
    depends_on_state,
    has_history,
    pulse_noise,
    pulse_step,
    remembered,
    train_step,
)
from crossmesh.tiles.analog.parameters import Parameters, value
from crossmesh.tiles.analog.update import BITS, is_driven

GROUP = 8
_ZERO = np.uint32(0)
_NOTHING = np.float32(0)

# The scratch area of one chunk of columns: the parameters of the devices come first, in the rows
# that their models name, and these rows last. One array with constant rows, and no views of it, is
# what lets compilers prove that the loops below can run as vectors.
_SCRATCH_ROWS = 16  # HISTORY is row 12
_W, _VARIANCE, _COUNT = 13, 14, 15


@inlined
def _count(scratch, train, column_trains, e, first):
    """Signed coincidences of one word line with a chunk of bit lines; returns the largest."""
    most = np.int32(0)
    for j in range(CHUNK):
        other = column_trains[e, first + j]
        n = np.int32(popcount(np.uint32(train & other & BITS)))
        most = max(most, n)
        size = np.float32(n)
        scratch[_COUNT, j] = size if np.int32(train ^ other) >= np.int32(0) else -size
    return most


@inlined
def _pulse(scratch, constants, most):
    """Move a chunk by its coincidences, mean steps only; collect the variance."""
    one = np.float32(1)
    for k in range(most if depends_on_state(constants) else 1):
        for j in range(CHUNK):
            n = scratch[_COUNT, j]
            size = abs(n)
            if depends_on_state(constants):
                size = min(max(size - np.float32(k), np.float32(0)), one)
            w = min(max(scratch[_W, j], scratch[LOWER, j]), scratch[UPPER, j])
            up = n >= np.float32(0)
            step = pulse_step(constants, scratch, j, w, up)
            noise = pulse_noise(constants, scratch, j, w, step, up)
            if depends_on_state(constants):
                scratch[_W, j] = w + size * step
            else:
                scratch[_W, j] = w + train_step(constants, scratch, j, size, step)
            if has_history(constants) and size > np.float32(0):
                scratch[HISTORY, j] = remembered(constants, scratch, j, up)
            scratch[_VARIANCE, j] += size * (noise * noise)


@inlined
def _load(scratch, constants, w, history, parameters, i, first, width):
    for p in range(parameters.place.shape[0]):
        place = parameters.place[p]
        for j in range(width):
            scratch[p, j] = value(parameters, p, place, i, first + j)
    for j in range(width):
        scratch[_W, j] = w[i, first + j]
        scratch[_VARIANCE, j] = np.float32(0)
        if has_history(constants):
            scratch[HISTORY, j] = history[i, first + j]


@inlined
def _store(scratch, constants, w, history, i, first, width):
    for j in range(width):
        w[i, first + j] = scratch[_W, j]
        if has_history(constants):
            history[i, first + j] = scratch[HISTORY, j]


@inlined
def _settle(scratch, noise):
    """Add the noise of a group and hold the bounds."""
    for j in range(CHUNK):
        w = scratch[_W, j] + np.sqrt(scratch[_VARIANCE, j]) * noise[j]
        scratch[_W, j] = min(max(w, scratch[LOWER, j]), scratch[UPPER, j])
        scratch[_VARIANCE, j] = np.float32(0)


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
    rows, cols = w.shape
    n_examples = row_trains.shape[0]
    scratch = np.zeros((_SCRATCH_ROWS, CHUNK), np.float32)
    noise = np.empty(CHUNK, np.float32)
    words = np.empty(CHUNK // 2, np.uint32)
    for i in range(rows):
        if not is_driven(row_trains, i):
            continue
        for chunk in range(column_trains.shape[1] // CHUNK):
            first = chunk * CHUNK
            width = min(CHUNK, cols - first)
            loaded = False
            for start in range(0, n_examples, GROUP):
                pulsed = False
                for e in range(start, min(start + GROUP, n_examples)):
                    train = row_trains[e, i]
                    if train == _ZERO:
                        continue
                    most = _count(scratch, train, column_trains, e, first)
                    if most == np.int32(0):
                        continue
                    if not loaded:
                        _load(scratch, constants, w, history, parameters, i, first, width)
                        loaded = True
                    pulsed = True
                    _pulse(scratch, constants, most)
                if pulsed:
                    example = first_example + start
                    fill_normals(noise, words, chunk, i, example, 0, key[0], key[1])
                    _settle(scratch, noise)
            if loaded:
                _store(scratch, constants, w, history, i, first, width)


@inlined
def _move(scratch, constants, noise, k):
    """Move every device of a chunk that has more than ``k`` pulses by the next of them."""
    for j in range(CHUNK):
        n, before = scratch[_COUNT, j], scratch[_W, j]
        up, moves = n > np.float32(0), abs(n) > np.float32(k)
        step = pulse_step(constants, scratch, j, before, up)
        deviation = pulse_noise(constants, scratch, j, before, step, up)
        w = before + (step + deviation * noise[j])
        w = min(max(w, scratch[LOWER, j]), scratch[UPPER, j])
        scratch[_W, j] = w if moves else before
        if has_history(constants):
            memory = remembered(constants, scratch, j, up)
            scratch[HISTORY, j] = memory if moves else scratch[HISTORY, j]


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
                is_device = j < width
                scratch[_COUNT, j] = np.float32(counts[n, first + j]) if is_device else _NOTHING
            for k in range(most):
                fill_normals(noise, words, first // CHUNK, i, example, k, key[0], key[1])
                _move(scratch, constants, noise, k)
            _store(scratch, constants, w, history, i, first, width)
