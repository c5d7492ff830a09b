"""Writing devices pulse by pulse, and the refresh of pairs whose devices are full."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.compiled import inlined, kernel
from crossmesh.common.random import normal_pair, of_example, philox
from crossmesh.tiles.analog.devices.kernels import (
    HISTORY,
    LOWER,
    UPPER,
    has_history,
    pulse_noise,
    pulse_step,
    remembered,
)
from crossmesh.tiles.analog.parameters import Parameters, value

_ROWS = 16


@inlined
def _normal(i, j, example, draw, key):
    word, k1 = of_example(example, key[1])
    drawn = philox(np.uint32(j), np.uint32(i), word, np.uint32(draw), key[0], k1)
    return normal_pair(drawn[0])[0]


@inlined
def _load(device, parameters, memory, i, j):
    for p in range(parameters.place.shape[0]):
        device[p, 0] = value(parameters, p, parameters.place[p], i, j)
    device[HISTORY, 0] = np.float32(memory)


@inlined
def _pulsed_to(wanted, g, device, constants, max_pulses, at, key, example, first):
    """Pulse a device until half a step or less is missing; its noise has draws from ``first``."""
    i, j = at
    for k in range(max_pulses):
        up = wanted > g
        step = pulse_step(constants, device, 0, g, up)
        if abs(wanted - g) < np.float32(0.5) * abs(step) or step == np.float32(0):
            break
        noise = pulse_noise(constants, device, 0, g, step, up)
        g += step + noise * _normal(i, j, example, first + k, key)
        g = min(max(g, device[LOWER, 0]), device[UPPER, 0])
        if has_history(constants):
            device[HISTORY, 0] = remembered(constants, device, 0, up)
    return g


@kernel
def pulse_to(
    wanted: NDArray[np.float32],  # (rows, cols)
    state: NDArray[np.float32],  # (rows, cols), changed in place
    history: NDArray[np.float32],  # (rows, cols), or (0, 0)
    parameters: Parameters,
    constants: Any,
    reset: tuple[bool, float],  # whether devices are reset first, and their history then
    max_pulses: int,
    example: int,  # which keys the noise
    key: NDArray[np.uint32],  # (2,)
) -> None:
    """Write every device: a RESET to its lower bound if asked for, then pulse by pulse."""
    device = np.zeros((_ROWS, 1), np.float32)
    for i in range(state.shape[0]):
        for j in range(state.shape[1]):
            memory = np.float32(reset[1])
            if has_history(constants) and not reset[0]:
                memory = history[i, j]
            _load(device, parameters, memory, i, j)
            g = device[LOWER, 0] if reset[0] else state[i, j]
            g = _pulsed_to(wanted[i, j], g, device, constants, max_pulses, (i, j), key, example, 0)
            state[i, j] = g
            if has_history(constants):
                history[i, j] = device[HISTORY, 0]


@kernel
def rewrite_full(
    plus: tuple[NDArray[np.float32], NDArray[np.float32]],  # state and history, (rows, cols) each
    minus: tuple[NDArray[np.float32], NDArray[np.float32]],
    parameters: tuple[Parameters, Parameters],  # of the plus and the minus devices
    constants: Any,
    full: tuple[float, float],  # conductance from which a device is full; largest difference
    reset: tuple[float, float],  # conductance above the lower bound, and its spread
    limits: tuple[float, int],  # history of a device just reset; most pulses of a rewrite
    checked: NDArray[np.bool_],  # (rows,) word lines to look at
    example: int,  # which keys the noise
    key: NDArray[np.uint32],  # (2,)
) -> int:
    """Reset the pairs that are full and rewrite their difference, pulse by pulse.

    Returns:
        Pairs rewritten.
    """
    count = 0
    fresh, max_pulses = limits
    device = np.zeros((_ROWS, 1), np.float32)
    saturated, largest = np.float32(full[0]), np.float32(full[1])
    for i in range(checked.shape[0]):
        if not checked[i]:
            continue
        for j in range(plus[0].shape[1]):
            difference = plus[0][i, j] - minus[0][i, j]
            if max(plus[0][i, j], minus[0][i, j]) < saturated or abs(difference) >= largest:
                continue
            count += 1
            for part in range(2):
                devices = plus if part == 0 else minus
                wanted = difference if part == 0 else -difference
                _load(device, parameters[part], fresh, i, j)
                first = part * (1 + max_pulses)  # draws of this device
                spread = np.float32(reset[1]) * _normal(i, j, example, first, key)
                floor = device[LOWER, 0] + np.float32(reset[0])
                g = min(max(floor + spread, device[LOWER, 0]), device[UPPER, 0])
                if wanted > np.float32(0):
                    g = _pulsed_to(
                        floor + wanted,
                        g,
                        device,
                        constants,
                        max_pulses,
                        (i, j),
                        key,
                        example,
                        first + 1,
                    )
                devices[0][i, j] = g
                if has_history(constants):
                    devices[1][i, j] = device[HISTORY, 0]
    return count
