"""Kernels of the capacitor cells: their leak, and the weight that they and the pairs make."""

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.compiled import inlined, kernel
from crossmesh.tiles.analog.parameters import Parameters, value

SLOPE, THRESHOLD, KEPT = range(3)  # parameters of a cell beside those of its steps


@inlined
def _overdrive(v, softness):
    """``v`` above the threshold, 0 below it, with a quadratic onset between."""
    within = (v + softness) * (v + softness) * (np.float32(0.25) / softness)
    return v if v > softness else (within if v > -softness else np.float32(0))


@kernel
def leak(
    voltage: NDArray[np.float32],  # (rows, cols), changed in place
    cells: Parameters,  # SLOPE, THRESHOLD, KEPT
    asymptote: float,
) -> None:
    """Let every capacitor leak for as long as ``KEPT`` stands for."""
    end = np.float32(asymptote)
    place = cells.place[KEPT]
    for i in range(voltage.shape[0]):
        for j in range(voltage.shape[1]):
            voltage[i, j] = end + (voltage[i, j] - end) * value(cells, KEPT, place, i, j)


@kernel
def read_cells(
    weights: NDArray[np.float32],  # (rows, cols), written on touched word lines
    pairs: NDArray[np.float32],  # (rows, cols) weight that the phase-change memories hold
    voltage: NDArray[np.float32],  # (rows, cols)
    cells: Parameters,  # SLOPE, THRESHOLD, KEPT
    shared: NDArray[np.float32],  # (rows,) weight of the shared cell
    polarity: NDArray[np.float32],  # (rows,) 1 or -1
    softness: float,
    touched: NDArray[np.bool_],  # (rows,) word lines to look at
) -> None:
    """``W = pair + p * (g - g_shared)``."""
    soft = np.float32(softness)
    slope, threshold = cells.place[SLOPE], cells.place[THRESHOLD]
    for i in range(weights.shape[0]):
        if not touched[i]:
            continue
        for j in range(weights.shape[1]):
            over = _overdrive(voltage[i, j] - value(cells, THRESHOLD, threshold, i, j), soft)
            g = value(cells, SLOPE, slope, i, j) * over
            weights[i, j] = pairs[i, j] + polarity[i] * (g - shared[i])
