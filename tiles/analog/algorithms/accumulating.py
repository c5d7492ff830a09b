"""Kernels of digital memory beside a tile: it adds up, and whole pulses are taken out."""

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.compiled import kernel, popcount, use_full_width
from crossmesh.tiles.analog.update import BITS


@kernel
def accumulate(
    buffer: NDArray[np.float32],  # (n,) of a line, in pulses; changed in place
    read: NDArray[np.float32],  # (n,)
    scale: float,  # pulses per unit of what is read
    longest: int,
    forget: bool,
    momentum: float,
    cap: float,  # largest buffer where writes do not forget; 0: any
    counts: NDArray[np.int16],  # (n,) pulses, written
) -> bool:
    """Add what is read to a line of the buffer, and take whole pulses out; whether there are any.

    Every value is compared alone, as a digital unit beside the tile would do.
    """
    any_pulses = False
    s, keep = np.float32(scale), np.float32(momentum)
    most, bound = np.float32(longest), np.float32(cap)
    for j in range(buffer.shape[0]):
        h = buffer[j] + s * read[j]
        n = np.float32(0)
        if abs(h) >= np.float32(1):
            n = min(max(np.trunc(h), -most), most)
            if forget:
                h = h * keep
            else:
                h = h - (np.float32(1) - keep) * n
                if bound > np.float32(0):
                    h = min(max(h, -bound), bound)
            any_pulses = True
        buffer[j] = h
        counts[j] = np.int16(n)
    return any_pulses


@kernel
def add_and_count(
    accumulator: NDArray[np.float32],  # (rows, cols), changed in place
    x: NDArray[np.float32],  # (rows,)
    d: NDArray[np.float32],  # (cols,)
    rate: float,
    granularity: float,  # what makes one pulse
    longest: int,
    rows: NDArray[np.bool_],  # (rows,) word lines that are due
    columns: NDArray[np.float32],  # (cols,) 1 for bit lines that are due, and 0
    counts: NDArray[np.int16],  # (rows, cols) pulses, written
) -> bool:
    """Add an outer product, and take whole pulses out of lines; whether there are any."""
    use_full_width()
    step, most = np.float32(granularity), np.float32(longest)
    any_pulses = False
    for i in range(accumulator.shape[0]):
        driven = np.float32(rate) * x[i]
        over = np.int32(0)
        for j in range(accumulator.shape[1]):
            value = accumulator[i, j] + driven * d[j]
            accumulator[i, j] = value
            counts[i, j] = np.int16(0)
            over = np.int32(over | np.int32(abs(value) >= step))
        if not rows[i] or over == np.int32(0):  # most lines: no division of theirs is needed
            continue
        pulsed = np.int32(0)
        for j in range(accumulator.shape[1]):
            value = accumulator[i, j]
            n = min(max(np.trunc(value / step), -most), most) * columns[j]
            accumulator[i, j] = value - n * step
            counts[i, j] = np.int16(n)
            pulsed |= np.int32(n)
        any_pulses |= pulsed != np.int32(0)
    return any_pulses


@kernel
def count_coincidences(
    trains: NDArray[np.uint32],  # (n,) of lines that are driven one after the other
    others: NDArray[np.uint32],  # (n, m) or more: trains of the lines that cross each of them
    counts: NDArray[np.int16],  # (n, m) pulses of each device, written: above 0 up, below 0 down
) -> None:
    """What the trains of two sides do to the devices of lines."""
    for i in range(counts.shape[0]):
        for j in range(counts.shape[1]):
            n = np.int32(popcount(np.uint32(trains[i] & others[i, j] & BITS)))
            up = np.int32(trains[i] ^ others[i, j]) >= np.int32(0)
            counts[i, j] = np.int16(n if up else -n)
