"""Naive oracles: what kernels must compute, one number at a time, in Python's own floats."""

import math

import numpy as np

from crossmesh.tiles.analog.parameters import Parameters

WORD = 0xFFFFFFFF


def parameters_of(device, shape, stream, part=0):
    """What ``device.sample`` draws, as a crossbar keeps it: ``(n_parameters, rows, cols)``."""
    kept = Parameters.packed(device.sample(shape, stream, part))
    return np.stack([kept.values(p) for p in range(device.n_parameters)])


def philox(counter, key, rounds=7):
    """Four words from four counter words and two key words, in integers without a size."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(rounds):
        p0, p1 = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & WORD, (p0 >> 32) ^ c3 ^ k1, p0 & WORD
        k0, k1 = (k0 + 0x9E3779B9) & WORD, (k1 + 0xBB67AE85) & WORD
    return c0, c1, c2, c3


def box_muller(word):
    """Two normals from a word: radius from its upper, signed angle from its lower 16 bits."""
    radius = math.sqrt(-2 * math.log(((word >> 16) + 0.5) / 2**16))
    angle = 2 * math.pi * ((word & 0x7FFF) + 0.5) / 2**16
    angle = -angle if word & 0x8000 else angle
    return radius * math.cos(angle), radius * math.sin(angle)


def has_formula(device):
    """Whether ``step`` knows a device; the rules of ``crossmesh.testing`` hold for all."""
    return getattr(device, "kind", "capacitor") in FACTORS


def step(device, parameters, w, up):
    """Mean change of one device by one pulse.

    Args:
        device: Description of the device.
        parameters: What ``device.sample`` drew for it, one number per parameter.
        w: Its normalised conductance.
        up: Direction of the pulse.
    """
    step_up, step_down, lower, upper, *own = (float(p) for p in parameters)
    size = step_up if up else -step_down
    model = getattr(device, "kind", "capacitor")
    return size * FACTORS[model](device, lower, upper, own, w, up)


def _constant_factor(device, lower, upper, own, w, up):
    return 1.0


def _linear_factor(device, lower, upper, own, w, up):
    slope_up, slope_down = own
    return 1 + (slope_up if up else slope_down) * w


def _soft_factor(device, lower, upper, own, w, up):
    bound = upper if up else lower
    return 1 - w / bound if bound else 0.0


def _exp_factor(device, lower, upper, own, w, up):
    z = 2 * device.a * w / (upper - lower) + device.b
    if up:
        return max(0.0, 1 - device.a_up * math.exp(device.gamma_up * z))
    return max(0.0, 1 - device.a_down * math.exp(-device.gamma_down * z))


def _table_factor(device, lower, upper, own, w, up):
    return _tabled(device, lower, upper, own, w, "up" if up else "down") * (1 if up else -1)


def _tabled(device, lower, upper, own, w, column):
    values = getattr(device.tables[round(own[0])], column)
    return float(np.interp(w, np.linspace(lower, upper, len(values)), values))


def _capacitor_factor(device, lower, upper, own, w, up):
    middle, half = (lower + upper) / 2, (upper - lower) / 2
    off = device.step_loss * (w - middle) / half
    return 1 - off if up else 1 + off


FACTORS = {
    "capacitor": _capacitor_factor,
    "constant_step": _constant_factor,
    "linear_step": _linear_factor,
    "soft_bounds": _soft_factor,
    "exp_step": _exp_factor,
    "jump_table": _table_factor,
}


def noise(device, parameters, w, up):
    """Standard deviation of the change of one device by one pulse."""
    mean = abs(step(device, parameters, w, up))
    if device.kind == "exp_step":
        return device.cycle_noise * (mean + device.noise_offset + device.noise_slope * abs(w))
    if device.kind == "jump_table":
        lower, upper, *own = (float(p) for p in parameters[2:])
        measured = _tabled(device, lower, upper, own, w, "up_noise" if up else "down_noise")
        return device.cycle_noise * float(parameters[0 if up else 1]) * measured
    if getattr(device, "multiplicative_noise", True):
        return device.cycle_noise * mean
    return device.cycle_noise * float(parameters[0 if up else 1])


def pulse(device, parameters, w, up):
    """Conductance of one device after one pulse without cycle noise."""
    moved = w + step(device, parameters, w, up)
    return min(max(moved, float(parameters[2])), float(parameters[3]))


def apply_trains(device, parameters, w, row_trains, column_trains):
    """Conductances after all examples: slot by slot, crosspoint by crosspoint, without noise.

    Args:
        device: Description of the devices.
        parameters: ``(n_parameters, rows, cols)``.
        w: ``(rows, cols)``; left as it is.
        row_trains: ``(examples, rows)`` words: bit t is slot t, the top bit the sign.
        column_trains: ``(examples, cols)``.
    """
    w = w.astype(float)
    for rows, columns in zip(row_trains, column_trains, strict=True):
        for i, row in enumerate(rows):
            for j, column in enumerate(columns):
                up = int(row) >> 31 == int(column) >> 31
                for t in range(31):
                    if int(row) >> t & 1 and int(column) >> t & 1:
                        w[i, j] = pulse(device, parameters[:, i, j], w[i, j], up)
    return w


def coincidences(row_train, column_train):
    """Slots in which both trains have a pulse."""
    return sum(int(row_train) >> t & int(column_train) >> t & 1 for t in range(31))


def _converted(value, converter, *, clip_first):
    """A number after a DAC (which clips, then rounds) or an ADC (which rounds, then clips)."""
    if converter is None:
        return value
    largest = 2 ** (converter.bits - 1) - 1  # levels on each side of zero
    levels = value / (converter.range / largest)
    if clip_first:
        levels = round(min(max(levels, -largest), largest))
    else:
        levels = min(max(round(levels), -largest), largest)
    return levels * converter.range / largest


def read(config, x, weights, *, backward=False):
    """One read of one vector without noise.

    Args:
        config: The periphery; its noises are left out.
        x: ``(inputs,)``.
        weights: ``(inputs, outputs)``.
        backward: Whether the read saturates instead of repeating.
    """
    limit = None if backward else config.input_range
    if limit is not None:
        x = [min(max(float(v), -limit), limit) for v in x]
    reduction = 1.0
    while True:
        scale = reduction
        if config.noise_management == "abs_max":
            scale *= max(abs(float(v)) for v in x)
        elif limit is not None:
            scale *= limit
        if scale == 0:
            return np.zeros(weights.shape[1])
        driven = [_converted(float(v) / scale, config.dac, clip_first=True) for v in x]
        products = [
            sum(v * float(w) for v, w in zip(driven, column, strict=True)) for column in weights.T
        ]
        saturated = config.adc is not None and max(map(abs, products)) >= config.adc.range
        repeats = config.bound_management == "iterative" and not backward
        if not (saturated and repeats and reduction <= config.largest_reduction):
            return scale * np.array([_converted(y, config.adc, clip_first=False) for y in products])
        reduction *= 2


def currents(g, resistance, drives, *, backward=False):
    """Currents into the sense amplifiers of an array with resistive wires, from Kirchhoff's laws.

    Every crosspoint is a node on its word line and one on its bit line, joined by the device.

    Args:
        g: ``(rows, cols)`` conductances.
        resistance: Of a segment of wire; one lies before each crosspoint of a word line, driven at
            the left, and behind each of a bit line, sensed at the bottom.
        drives: ``(rows,)`` voltages on the word lines.
        backward: Whether ``drives`` are ``(cols,)`` on the bit lines, from below, and the word
            lines are sensed, at the left.
    """
    rows, cols = g.shape
    n = rows * cols
    matrix, source = np.zeros((2 * n, 2 * n)), np.zeros(2 * n)

    def join(a, b, conductance, voltage=0.0):
        matrix[a, a] += conductance
        if b is None:
            source[a] += conductance * voltage
            return
        matrix[b, b] += conductance
        matrix[a, b] -= conductance
        matrix[b, a] -= conductance

    wire = 1 / resistance
    for i in range(rows):
        for j in range(cols):
            word, bit = i * cols + j, n + i * cols + j
            join(word, bit, g[i, j])
            left = word - 1 if j else None
            join(word, left, wire, 0.0 if backward else drives[i])
            below = bit + cols if i < rows - 1 else None
            join(bit, below, wire, drives[j] if backward else 0.0)
    v = np.linalg.solve(matrix, source)
    return wire * (v[:n:cols] if backward else v[n + (rows - 1) * cols :])


def transfer(g, resistance):
    """``(rows, cols)`` current of each bit line per voltage of each word line, for larger arrays.

    The same network as in ``currents``, eliminated bit line by bit line from the far end.
    """
    rows, cols = g.shape
    unit = np.eye(rows)
    line = 2 * unit - np.eye(rows, k=1) - np.eye(rows, k=-1)
    line[0, 0] = 1
    beyond = np.zeros((rows, rows))  # currents into the next segments, over the voltages here
    sensed = np.zeros((0, rows))
    for j in range(cols - 1, -1, -1):
        load = resistance * g[:, j]
        rise = np.linalg.inv(line + np.diag(load)) * load  # of this bit line
        here = np.diag(load) - load[:, np.newaxis] * rise + beyond
        step = np.linalg.inv(unit + here)  # over a segment of every word line
        sensed = np.vstack([rise[-1:] / resistance, sensed]) @ step
        beyond = here @ step
    return sensed.T
