"""Refresh of differential pairs: resetting full devices and rewriting their difference."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiles.compiled import inlined, kernel
from tiles.devices.law import (
    HISTORY,
    LOWER,
    UPPER,
    has_history,
    pulse_noise,
    pulse_step,
    remembered,
)
from tiles.parameters import Parameters, value
from tiles.random import normal_pair, philox

_ROWS = 16


@inlined
def _normal(i, j, example, draw, key):
    word = philox(np.uint32(j), np.uint32(i), np.uint32(example), np.uint32(draw), key[0], key[1])
    return normal_pair(word[0])[0]


@inlined
def _set_to(wanted, reset, parameters, law, fresh, at, key, example, part, max_pulses):
    """Reset a device and pulse it up towards ``wanted``; returns its state and history."""
    i, j = at
    device = np.zeros((_ROWS, 1), np.float32)
    for p in range(parameters.levels.shape[1]):
        device[p, 0] = value(parameters, p, i, j)
    device[HISTORY, 0] = np.float32(fresh)
    lower, upper = device[LOWER, 0], device[UPPER, 0]
    first = 64 * part  # draws of this device
    g = lower + np.float32(reset[0]) + np.float32(reset[1]) * _normal(i, j, example, first, key)
    g = min(max(g, lower), upper)
    for k in range(max_pulses):
        step = pulse_step(law, device, 0, g, True)
        if wanted - g < np.float32(0.5) * step or step <= np.float32(0):
            break
        noise = pulse_noise(law, device, 0, g, step)
        g += step + noise * _normal(i, j, example, first + 1 + k, key)
        g = min(max(g, lower), upper)
        if has_history(law):
            device[HISTORY, 0] = remembered(law, device, 0, True)
    return g, device[HISTORY, 0]


@kernel
def rewrite_full(
    plus: tuple[NDArray[np.float32], NDArray[np.float32]],  # state and history, (rows, cols) each
    minus: tuple[NDArray[np.float32], NDArray[np.float32]],
    parameters: tuple[Parameters, Parameters],  # of the plus and the minus devices
    law: Any,
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
                wanted = max(difference if part == 0 else -difference, np.float32(0))
                floor = value(parameters[part], LOWER, i, j) + np.float32(reset[0])
                g, memory = _set_to(
                    wanted + floor if wanted > np.float32(0) else np.float32(-1e30), reset,
                    parameters[part], law, fresh, (i, j), key, example, part, max_pulses,
                )  # fmt: skip
                devices[0][i, j] = g
                if has_history(law):
                    devices[1][i, j] = memory
    return count
