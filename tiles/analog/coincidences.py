"""What pulse trains do to devices: every coincidence moves one."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.compiled import inlined, kernel, popcount, use_full_width
from crossmesh.common.expand import expand
from crossmesh.common.random import CHUNK, fill_words, normal_pair
from crossmesh.tiles.analog.chunks import (
    COUNT,
    NO_PULSES,
    NOISE,
    SCRATCH_ROWS,
    give_normals,
    load,
    pulse,
    store,
)
from crossmesh.tiles.analog.few import move_few, pulsed, set_aside
from crossmesh.tiles.analog.parameters import Parameters
from crossmesh.tiles.analog.update import BITS

_SPAN = 128  # examples whose normal numbers are kept at a time
_GROUP = 32  # normal numbers that are drawn together


@inlined
def _coinciding(train, columns, e):
    """How many devices of a word line coincide with any bit line."""
    devices = np.int32(0)
    for j in range(columns.shape[1]):
        pulses = np.uint32(train & columns[e, j] & BITS)
        devices = np.int32(devices + np.int32(pulses != NO_PULSES))
    return devices


@inlined
def count(scratch, train, chunks, chunk, e):
    """Signed coincidences of one word line with a chunk of bit lines.

    Returns:
        All numbers of them, or'ed: 0 if there are none, 1 if no device has several.
    """
    counts = NO_PULSES
    for j in range(CHUNK):
        other = chunks[chunk, e, j]
        n = np.uint32(popcount(np.uint32(train & other & BITS)))
        counts = np.uint32(counts | n)
        size = np.float32(np.int32(n))
        scratch[COUNT, j] = size if np.int32(train ^ other) >= np.int32(0) else -size
    return counts


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
    """Move every device once per coincidence, example after example.

    Pulses of one device in one example go together where it makes no difference; see ``chunks``.
    """
    use_full_width()
    rows, cols = w.shape
    n_examples = row_trains.shape[0]
    scratch = np.zeros((SCRATCH_ROWS, CHUNK), np.float32)
    few = np.zeros((SCRATCH_ROWS, CHUNK), np.float32)
    lines, n_few = np.zeros((2, CHUNK), np.uint32), 0  # of the devices that are set aside
    noise = np.empty(CHUNK, np.float32)
    words = np.empty(CHUNK // 2, np.uint32)
    span = min(n_examples, _SPAN)
    n_chunks = column_trains.shape[1] // CHUNK
    chunks = np.empty((n_chunks, span, CHUNK), np.uint32)
    n_groups = span * (column_trains.shape[1] // _GROUP) + 1
    drawn_words = np.empty((n_groups, _GROUP // 2), np.uint32)
    drawn = np.empty((n_groups, _GROUP), np.float32)
    in_order = drawn.reshape(-1)
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
            group = 0
            for e in range(n):
                begin[e] = group * _GROUP
                train = row_trains[start + e, i]
                if train == NO_PULSES:
                    continue
                wanted = (_coinciding(train, column_trains, start + e) + _GROUP - 1) // _GROUP
                for block in range((wanted + 1) // 2):
                    fill_words(words, block, i, first_example + start + e, 0, key[0], key[1])
                    for lane in range(_GROUP // 2):
                        drawn_words[group + 2 * block, lane] = words[lane]
                        drawn_words[group + 2 * block + 1, lane] = words[lane + _GROUP // 2]
                group += wanted
            if group == 0:
                continue
            for at in range(group):
                for lane in range(_GROUP // 2):
                    x, y = normal_pair(drawn_words[at, lane])
                    drawn[at, lane] = x
                    drawn[at, lane + _GROUP // 2] = y
            for chunk in range(n_chunks):
                first = chunk * CHUNK
                width = min(CHUNK, cols - first)
                loaded = False
                for e in range(n):
                    train = row_trains[start + e, i]
                    if train == NO_PULSES:
                        continue
                    numbers = count(scratch, train, chunks, chunk, e)
                    if numbers == NO_PULSES:
                        continue
                    if not loaded:
                        load(scratch, constants, w, history, parameters, i, first, width)
                        loaded = True
                    example = first_example + start + e
                    begin[e] = expand(scratch, NOISE, scratch, COUNT, in_order, begin[e], CHUNK)
                    left, draw = pulse(scratch, constants, numbers), 1
                    if left != NO_PULSES and n_examples == 1:
                        if n_few + pulsed(scratch) > CHUNK:
                            move_few(few, w, history, constants, lines, n_few, example, 1, key)
                            n_few = 0
                        n_few = set_aside(few, lines, n_few, scratch, i, first)
                        left = NO_PULSES
                    while left != NO_PULSES:
                        give_normals(scratch, noise, words, chunk, i, example, draw, key)
                        left = pulse(scratch, constants, numbers)
                        draw += 1
                if loaded:
                    store(scratch, constants, w, history, i, first, width)
    if n_few:
        move_few(few, w, history, constants, lines, n_few, first_example, 1, key)
