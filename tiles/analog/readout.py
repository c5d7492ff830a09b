"""From devices to weights: what a read sees of the word lines that have just been pulsed."""

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.compiled import inlined, kernel
from crossmesh.common.random import CHUNK, fill_normals
from crossmesh.tiles.analog.update import BITS, is_driven

_NEVER = np.uint32(0)


@inlined
def _last(row_trains, column_trains, i, column):
    """The last example in which a device has had a pulse; -1: none."""
    for e in range(row_trains.shape[0] - 1, -1, -1):
        if row_trains[e, i] & column_trains[e, column] & BITS != _NEVER:
            return e
    return -1


@kernel
def driven(row_trains: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """``(rows,)`` word lines that have a pulse in any example."""
    lines = np.empty(row_trains.shape[1], np.bool_)
    for i in range(row_trains.shape[1]):
        lines[i] = is_driven(row_trains, i)
    return lines


@kernel
def redraw(
    seen: NDArray[np.float32],  # (rows, cols), written where devices were pulsed
    state: NDArray[np.float32],  # (rows, cols) normalised conductance
    reference: NDArray[np.float32],  # (rows, cols) that devices are read against; (0, 0): 0
    deviation: float,  # of the write noise
    row_trains: NDArray[np.uint32],  # (examples, rows)
    column_trains: NDArray[np.uint32],  # (examples, cols padded to CHUNK)
    first_example: int,  # numbers of examples key the noise
    key: NDArray[np.uint32],  # (2,)
) -> None:
    """Read pulsed devices again: state less reference, and write noise of the last pulses."""
    rows, cols = state.shape
    noise = np.zeros(CHUNK, np.float32)
    words = np.empty(CHUNK // 2, np.uint32)
    last = np.empty(CHUNK, np.int64)
    for i in range(rows):
        if not is_driven(row_trains, i):
            continue
        for first in range(0, cols, CHUNK):
            width = min(CHUNK, cols - first)
            latest = np.int64(-1)
            for j in range(width):
                last[j] = _last(row_trains, column_trains, i, first + j)
                latest = max(latest, last[j])
            while latest >= 0:
                if deviation > 0:
                    example = first_example + latest
                    fill_normals(noise, words, first // CHUNK, i, example, 0, key[0], key[1])
                before = np.int64(-1)
                for j in range(width):
                    if last[j] == latest:
                        value = state[i, first + j] + np.float32(deviation) * noise[j]
                        if reference.shape[0]:
                            value -= reference[i, first + j]
                        seen[i, first + j] = value
                    elif last[j] < latest:
                        before = max(before, last[j])
                latest = before


@kernel
def redraw_counted(
    seen: NDArray[np.float32],  # (rows, cols), written where devices were pulsed
    state: NDArray[np.float32],  # as in redraw, like the rest
    reference: NDArray[np.float32],
    deviation: float,
    counts: NDArray[np.int16],  # (n, cols) pulses
    first_row: int,  # of the n word lines that they are for
    example: int,
    key: NDArray[np.uint32],
) -> None:
    """Read devices again that have been pulsed by their own numbers of pulses."""
    noise = np.zeros(CHUNK, np.float32)
    words = np.empty(CHUNK // 2, np.uint32)
    for n in range(counts.shape[0]):
        i = first_row + n
        for j in range(counts.shape[1]):
            if deviation > 0 and j % CHUNK == 0:
                fill_normals(noise, words, j // CHUNK, i, example, 0, key[0], key[1])
            if counts[n, j]:
                value = state[i, j] + np.float32(deviation) * noise[j % CHUNK]
                if reference.shape[0]:
                    value -= reference[i, j]
                seen[i, j] = value


@kernel
def read_pair(
    weights: NDArray[np.float32],  # (rows, cols), written on touched word lines
    variance: NDArray[np.float32],  # (rows, cols) from read to read, written too; (0, 0): none
    plus: NDArray[np.float32],  # (rows, cols) as seen
    minus: NDArray[np.float32],  # (rows, cols) as seen
    noise_at_zero: float,  # of a device from read to read, at conductance 0
    noise_slope: float,  # its change per change of conductance
    touched: NDArray[np.bool_],  # (rows,) word lines to look at
) -> None:
    """Weights of pairs, and how far they scatter from read to read."""
    at_zero, slope = np.float32(noise_at_zero), np.float32(noise_slope)
    for i in range(weights.shape[0]):
        if not touched[i]:
            continue
        for j in range(weights.shape[1]):
            weights[i, j] = plus[i, j] - minus[i, j]
        if variance.shape[0]:
            for j in range(weights.shape[1]):
                a = at_zero + slope * plus[i, j]
                b = at_zero + slope * minus[i, j]
                variance[i, j] = a * a + b * b
