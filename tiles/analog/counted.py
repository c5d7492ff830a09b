"""What numbers of pulses that are given do to devices, of which often only a few are pulsed."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.compiled import kernel, use_full_width
from crossmesh.common.random import CHUNK
from crossmesh.tiles.analog.chunks import (
    COUNT,
    NO_PULSES,
    SCRATCH_ROWS,
    SEVERAL,
    give_normals,
    load,
    pulse,
    store,
)
from crossmesh.tiles.analog.few import gather, move_few
from crossmesh.tiles.analog.parameters import Parameters

_NOTHING = np.float32(0)
_FEW = 6  # one device in so many of a word line is worth moving them all


@kernel
def pulses_of(counts: NDArray[np.int16]) -> int:
    """Pulses of all devices together; ``counts`` is ``(n, cols)``."""
    pulses = 0
    for i in range(counts.shape[0]):
        of_line = np.int32(0)
        for j in range(counts.shape[1]):
            n = np.int32(counts[i, j])
            of_line = np.int32(of_line + (n if n > np.int32(0) else np.int32(-n)))
        pulses += int(of_line)
    return pulses


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
    """Move every device by its own number of pulses, one after the other.

    Devices of word lines with few pulses are worked on together, wherever they are.
    """
    use_full_width()
    cols = w.shape[1]
    scratch, few = np.zeros((2, SCRATCH_ROWS, CHUNK), np.float32)
    noise = np.empty(CHUNK, np.float32)
    words = np.empty(CHUNK // 2, np.uint32)
    lines = np.zeros((2, CHUNK), np.uint32)  # of the few devices
    n_few = 0
    for n in range(counts.shape[0]):
        i = first_row + n
        pulsed = np.int32(0)
        for j in range(cols):
            pulsed = np.int32(pulsed + np.int32(counts[n, j] != np.int16(0)))
        if pulsed == np.int32(0):
            continue
        if pulsed * _FEW < cols:
            for j in range(cols):
                if counts[n, j] != np.int16(0):
                    if n_few == CHUNK:
                        move_few(few, w, history, constants, lines, n_few, example, 0, key)
                        n_few = 0
                    lines[0, n_few], lines[1, n_few] = i, j
                    gather(few, constants, w, history, parameters, n_few, i, j)
                    few[COUNT, n_few] = counts[n, j]
                    n_few += 1
            continue
        for first in range(0, cols, CHUNK):
            width = min(CHUNK, cols - first)
            load(scratch, constants, w, history, parameters, i, first, width)
            for j in range(CHUNK):
                scratch[COUNT, j] = np.float32(counts[n, first + j]) if j < width else _NOTHING
            left, draw = SEVERAL, 0
            while left != NO_PULSES:
                give_normals(scratch, noise, words, first // CHUNK, i, example, draw, key)
                left = pulse(scratch, constants, SEVERAL)
                draw += 1
            store(scratch, constants, w, history, i, first, width)
    move_few(few, w, history, constants, lines, n_few, example, 0, key)
