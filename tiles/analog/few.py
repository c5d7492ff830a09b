"""Devices of any place, gathered into the lanes of one chunk, so that a few are moved together."""

import numpy as np

from crossmesh.common.compiled import inlined, part, use_full_width
from crossmesh.common.random import CHUNK, normal_at
from crossmesh.tiles.analog.chunks import (
    COUNT,
    NO_PULSES,
    NOISE,
    SCRATCH_ROWS,
    SEVERAL,
    W,
    prepare,
    pulse,
)
from crossmesh.tiles.analog.devices.kernels import HISTORY, has_history
from crossmesh.tiles.analog.parameters import value

_NOTHING = np.float32(0)


@inlined
def gather(few, constants, w, history, parameters, lane, i, j):
    """Load one device into a lane; ``prepare`` must follow when all lanes are loaded."""
    for p in range(parameters.place.shape[0]):
        few[p, lane] = value(parameters, p, parameters.place[p], i, j)
    few[W, lane] = w[i, j]
    if has_history(constants):
        few[HISTORY, lane] = history[i, j]


@inlined
def scatter(few, constants, w, history, lane, i, j):
    """Store what pulses have changed of the device of one lane."""
    w[i, j] = few[W, lane]
    if has_history(constants):
        history[i, j] = few[HISTORY, lane]


@inlined
def pulsed(scratch):
    """How many devices of a chunk have pulses."""
    n = np.int32(0)
    for j in range(CHUNK):
        n = np.int32(n + np.int32(scratch[COUNT, j] != _NOTHING))
    return n


@inlined
def set_aside(few, lines, n_few, scratch, i, first):
    """Take over those devices of a chunk that have pulses left; there must be room for them.

    Args:
        few: Area of a chunk.
        lines: ``(2, CHUNK)`` word line and bit line of each lane, written.
        n_few: Lanes that are in use.
        scratch: The chunk.
        i: Its word line.
        first: Its first bit line.

    Returns:
        Lanes that are in use then.
    """
    for j in range(CHUNK):
        if scratch[COUNT, j] != _NOTHING:
            for row in range(SCRATCH_ROWS):
                few[row, n_few] = scratch[row, j]
            lines[0, n_few], lines[1, n_few] = i, first + j
            n_few += 1
    return n_few


@part
def _draw(few, lines, example, draw, key):
    """Give every lane the number that its device has in a chunk."""
    use_full_width()
    for lane in range(CHUNK):
        few[NOISE, lane] = normal_at(lines[1, lane], lines[0, lane], example, draw, key[0], key[1])


@inlined
def move_few(few, w, history, constants, lines, n_few, example, draw, key):
    """Work off the pulses of the first ``n_few`` lanes, and store their devices.

    Args:
        few: Area of the chunk.
        w: Conductances.
        history: What else devices remember.
        constants: Of the model.
        lines: ``(2, CHUNK)`` word line and bit line of each lane.
        n_few: Lanes that are in use.
        example: Number of the example.
        draw: The first normal number of each device, among those that it has in this example.
        key: Of the noise.
    """
    for lane in range(n_few, CHUNK):
        few[COUNT, lane] = _NOTHING
    prepare(few, constants)
    left = np.uint32(n_few)
    while left != NO_PULSES:
        _draw(few, lines, example, draw, key)
        left = pulse(few, constants, SEVERAL)
        draw += 1
    for lane in range(n_few):
        scatter(few, constants, w, history, lane, lines[0, lane], lines[1, lane])
