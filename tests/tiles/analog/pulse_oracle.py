"""Pulse after pulse in NumPy: what devices of one kind do, each pulse with noise of its own."""

import math

import numpy as np


def after(device, start, pulses, n=40_000, seed=0):
    """Conductances of ``n`` devices after pulses, all from the same start.

    Args:
        device: Description of the devices, without spread between them.
        start: Normalised conductance.
        pulses: +1 or -1 each, in order.
        n: Devices.
        seed: Of the noise.

    Returns:
        ``(n,)`` conductances.
    """
    rng = np.random.default_rng(seed)
    w = np.full(n, start)
    lower, upper = device.limits
    memory = (
        float(device.history_at(np.array([[start]], np.float32))[0, 0])
        if (device.has_history)
        else 0.0
    )
    for direction in pulses:
        mean, noise = MODELS[getattr(device, "kind", "capacitor")](device, w, direction > 0, memory)
        w = np.clip(w + mean + noise * rng.standard_normal(n), lower, upper)
        if device.has_history and direction > 0:
            memory *= math.exp(-1 / device.memory_pulses)
    return w


def _steps(device):
    down = 0.0 if device.one_way else device.step * (1 - max(device.asymmetry, 0))
    return device.step * (1 + min(device.asymmetry, 0)), down


def _constant(device, w, up, memory):
    rise, fall = _steps(device)
    step = np.full_like(w, rise if up else -fall)
    return step, device.cycle_noise * np.abs(step)


def _relative(device, w, up, factor):
    rise, fall = _steps(device)
    step = (rise if up else -fall) * factor
    about = np.abs(step) if device.multiplicative_noise else rise if up else fall
    return step, device.cycle_noise * about


def _linear(device, w, up, memory):
    gamma, bound = (device.gamma_up, device.upper) if up else (device.gamma_down, device.lower)
    return _relative(device, w, up, 1 - gamma * w / bound)


def _soft(device, w, up, memory):
    bound = device.upper if up else device.lower
    return _relative(device, w, up, 1 - w / bound if bound else 0 * w)


def _exponential(device, w, up, memory):
    rise, fall = _steps(device)
    z = 2 * device.a * w / (device.upper - device.lower) + device.b
    if up:
        step = rise * np.maximum(0, 1 - device.a_up * np.exp(device.gamma_up * z))
    else:
        step = -fall * np.maximum(0, 1 - device.a_down * np.exp(-device.gamma_down * z))
    about = np.abs(step) + device.noise_offset + device.noise_slope * np.abs(w)
    return step, device.cycle_noise * about * (up or fall > 0)


def _table(device, w, up, memory):
    (table,) = device.tables
    points = np.linspace(table.lower, table.upper, len(table.up))
    means, noises = (table.up, table.up_noise) if up else (table.down, table.down_noise)
    return np.interp(w, points, means), device.cycle_noise * np.interp(w, points, noises)


def _pcm(device, w, up, memory):
    if not up:
        return np.zeros_like(w), 0.0
    forgetting, scale = math.exp(-1 / device.memory_pulses), device.full_scale_siemens
    memory *= forgetting
    mean = (
        device.mean_offset_siemens / scale
        + device.mean_slope * w
        + device.mean_memory_siemens / scale * memory
    )
    noise = device.cycle_noise * (
        device.noise_offset_siemens / scale
        + device.noise_slope * w
        + device.noise_memory_siemens / scale * memory
    )
    return np.maximum(mean, 0), np.where(mean > 0, noise, 0)


def _capacitor(device, w, up, memory):
    lower, upper = device.limits
    off = device.step_loss * (w - (lower + upper) / 2) / ((upper - lower) / 2)
    step = device.step_v * (1 - off) if up else -device.step_v * (1 + off)
    return step, device.cycle_noise * np.abs(step)


MODELS = {
    "constant_step": _constant,
    "linear_step": _linear,
    "soft_bounds": _soft,
    "exp_step": _exponential,
    "jump_table": _table,
    "pcm": _pcm,
    "capacitor": _capacitor,
}
