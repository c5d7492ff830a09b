"""Writing devices pulse by pulse, and the refresh of pairs whose devices are full."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.compiled import inlined, kernel
from crossmesh.common.random import normal_pair, of_example, philox
from crossmesh.tiles.analog.devices.kernels import (
    HISTORY,
    LOWER,
    PREPARED_DOWN,
    PREPARED_UP,
    UPPER,
    has_history,
    is_prepared,
    prepared,
    pulse_noise,
    pulse_step,
    remembered,
)
from crossmesh.tiles.analog.parameters import Parameters, value

_ROWS = 16


class Reset(NamedTuple):
    """Whether devices are reset before they are written.

    Attributes:
        is_made: Whether they are, to their lower bounds.
        history: What a device just reset remembers.
    """

    is_made: bool
    history: float


class PairSide(NamedTuple):
    """The plus or the minus devices of pairs.

    Attributes:
        state: ``(rows, cols)`` normalised conductance.
        history: ``(rows, cols)`` what else devices remember, or ``(0, 0)``.
        parameters: What differs from device to device.
    """

    state: NDArray[np.float32]
    history: NDArray[np.float32]
    parameters: Parameters


class RefreshSettings(NamedTuple):
    """When pairs are refreshed and how; conductances are normalised.

    Attributes:
        saturation: Conductance from which a device is full.
        difference: Pairs whose devices differ by as much are left as they are.
        reset: Conductance after a reset, above the lower bound.
        reset_noise: Its standard deviation from reset to reset.
        fresh_history: What a device just reset remembers.
        max_pulses: Pulses of a rewrite at most.
        smaller: Pairs whose smaller conductance is not above it are left as they are.
        is_exact: Whether the difference is written as it is, without pulses.
    """

    saturation: float
    difference: float
    reset: float
    reset_noise: float
    fresh_history: float
    max_pulses: int
    smaller: float
    is_exact: bool


@inlined
def _normal(i, j, example, draw, key):
    word, k1 = of_example(example, key[1])
    drawn = philox(np.uint32(j), np.uint32(i), word, np.uint32(draw), key[0], k1)
    return normal_pair(drawn[0])[0]


@inlined
def _load(device, constants, parameters, memory, i, j):
    for p in range(parameters.place.shape[0]):
        device[p, 0] = value(parameters, p, parameters.place[p], i, j)
    if is_prepared(constants):
        for up, row in ((True, PREPARED_UP), (False, PREPARED_DOWN)):
            device[row, 0] = prepared(constants, device, 0, up)
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
    reset: Reset,
    max_pulses: int,
    example: int,  # which keys the noise
    key: NDArray[np.uint32],  # (2,)
) -> None:
    """Write every device: a RESET to its lower bound if asked for, then pulse by pulse."""
    device = np.zeros((_ROWS, 1), np.float32)
    for i in range(state.shape[0]):
        for j in range(state.shape[1]):
            memory = np.float32(reset.history)
            if has_history(constants) and not reset.is_made:
                memory = history[i, j]
            _load(device, constants, parameters, memory, i, j)
            g = device[LOWER, 0] if reset.is_made else state[i, j]
            g = _pulsed_to(wanted[i, j], g, device, constants, max_pulses, (i, j), key, example, 0)
            state[i, j] = g
            if has_history(constants):
                history[i, j] = device[HISTORY, 0]


@kernel
def rewrite_full(
    plus: PairSide,  # changed in place, as minus
    minus: PairSide,
    constants: Any,
    settings: RefreshSettings,
    checked: NDArray[np.bool_],  # (rows,) word lines to look at
    example: int,  # which keys the noise
    key: NDArray[np.uint32],  # (2,)
) -> int:
    """Reset the pairs that are full and rewrite their difference, pulse by pulse.

    Returns:
        Pairs rewritten.
    """
    count = 0
    max_pulses = settings.max_pulses
    g_plus, g_minus = plus.state, minus.state
    states, histories = (g_plus, g_minus), (plus.history, minus.history)
    parameters = plus.parameters, minus.parameters
    device = np.zeros((_ROWS, 1), np.float32)
    saturated, largest = np.float32(settings.saturation), np.float32(settings.difference)
    for i in range(checked.shape[0]):
        if not checked[i]:
            continue
        for j in range(g_plus.shape[1]):
            difference = g_plus[i, j] - g_minus[i, j]
            if max(g_plus[i, j], g_minus[i, j]) < saturated or abs(difference) >= largest:
                continue
            if min(g_plus[i, j], g_minus[i, j]) <= np.float32(settings.smaller):
                continue
            count += 1
            for part in range(2):
                wanted = difference if part == 0 else -difference
                _load(device, constants, parameters[part], settings.fresh_history, i, j)
                first = part * (1 + max_pulses)  # draws of this device
                spread = np.float32(settings.reset_noise) * _normal(i, j, example, first, key)
                floor = device[LOWER, 0] + np.float32(settings.reset)
                g = min(max(floor + spread, device[LOWER, 0]), device[UPPER, 0])
                if settings.is_exact:
                    g = min(floor + max(wanted, np.float32(0)), device[UPPER, 0])
                elif wanted > np.float32(0):
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
                states[part][i, j] = g
                if has_history(constants):
                    histories[part][i, j] = device[HISTORY, 0]
    return count
