"""What pulse trains of several examples do to devices of many small steps."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.compiled import inlined, kernel, use_full_width
from crossmesh.common.random import CHUNK
from crossmesh.tiles.analog.chunks import (
    NO_PULSES,
    SCRATCH_ROWS,
    give_normals,
    load,
    prepare,
    pulse,
    store,
)
from crossmesh.tiles.analog.coincidences import count
from crossmesh.tiles.analog.devices.kernels import depends_on_state
from crossmesh.tiles.analog.few import gather, scatter
from crossmesh.tiles.analog.parameters import Parameters
from crossmesh.tiles.analog.windows import DRAW, LONG, SHORT, take, total


@inlined
def _take_others(
    scratch, constants, w, history, parameters, trains, columns, i, first_example, key, others, room
):
    """Move some devices of a word line example by example, a chunk of them at a time.

    Args:
        scratch: Area of a chunk.
        constants: Of the model.
        w: Conductances.
        history: What else devices remember.
        parameters: Of the devices.
        trains: ``(n,)`` words of the word line.
        columns: ``(n, cols)`` words of bit lines.
        i: The word line.
        first_example: Number of the first example.
        key: Of the noise.
        others: Columns of the devices.
        room: Space for their trains, a normal number of each, and the words for these.
    """
    packed, noise, words = room
    for first in range(0, len(others), CHUNK):
        n_lanes = min(CHUNK, len(others) - first)
        for lane in range(n_lanes):
            gather(scratch, constants, w, history, parameters, lane, i, others[first + lane])
        for e in range(len(trains)):
            for lane in range(CHUNK):
                is_used = lane < n_lanes
                packed[0, e, lane] = columns[e, others[first + lane]] if is_used else NO_PULSES
        prepare(scratch, constants)
        for e in range(len(trains)):
            numbers = count(scratch, trains[e], packed, 0, e)
            left, draw = numbers, 0
            while left != NO_PULSES:
                give_normals(scratch, noise, words, first // CHUNK, i, first_example + e, draw, key)
                left = pulse(scratch, constants, numbers)
                draw += 1
        for lane in range(n_lanes):
            scatter(scratch, constants, w, history, lane, i, others[first + lane])


@kernel
def apply_windows(
    w: NDArray[np.float32],  # these and all others as in coincidences.apply_trains
    history: NDArray[np.float32],
    parameters: Parameters,
    constants: Any,
    row_trains: NDArray[np.uint32],
    column_trains: NDArray[np.uint32],
    first_example: int,
    key: NDArray[np.uint32],
) -> None:
    """Move every device by its coincidences, a window of examples at a time.

    Devices for which that would make a difference are moved once per coincidence, example after
    example.
    """
    use_full_width()
    rows, cols = w.shape
    n_examples, padded = column_trains.shape
    scratch = np.zeros((SCRATCH_ROWS, CHUNK), np.float32)
    noise = np.empty(CHUNK, np.float32)
    words = np.empty(CHUNK // 2, np.uint32)
    span = min(n_examples, SHORT if depends_on_state(constants) else LONG)
    chunks = np.empty((padded // CHUNK, span, CHUNK), np.uint32)
    totals = np.empty(CHUNK, np.uint32)
    orders = np.empty(CHUNK if depends_on_state(constants) else 0, np.int32)
    alone = np.zeros(CHUNK, np.uint32)
    others = np.empty(padded, np.int64)
    room = np.empty((1, span, CHUNK), np.uint32), noise, words
    for start in range(0, n_examples, span):
        stop = min(start + span, n_examples)
        for chunk in range(len(chunks)):
            for e in range(start, stop):
                for j in range(CHUNK):
                    chunks[chunk, e - start, j] = column_trains[e, chunk * CHUNK + j]
        for i in range(rows):
            trains = row_trains[start:stop, i]
            n_others = 0
            for chunk in range(len(chunks)):
                if total(totals, orders, trains, chunks, chunk) == NO_PULSES:
                    continue
                first = chunk * CHUNK
                width = min(CHUNK, cols - first)
                load(scratch, constants, w, history, parameters, i, first, width)
                give_normals(scratch, noise, words, chunk, i, first_example + start, DRAW, key)
                if take(scratch, constants, totals, orders, alone) != NO_PULSES:
                    for j in range(width):
                        others[n_others] = first + j
                        n_others += alone[j] != NO_PULSES
                store(scratch, constants, w, history, i, first, width)
            if n_others:
                _take_others(
                    scratch, constants, w, history, parameters, trains, column_trains[start:stop],
                    i, first_example + start, key, others[:n_others], room,
                )  # fmt: skip
