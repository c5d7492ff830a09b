"""How well a mean response describes its readings."""

import numpy as np
from numpy.typing import NDArray

from crossmesh.emulator.characterisation.response import Response

Array = NDArray[np.float64]


def goodness(
    responses: tuple[Response, Response], readings: tuple[Array, Array], white: Array
) -> dict[str, float]:
    """Figures of a fit; see docs/devices.md for their formulas.

    Args:
        responses: Mean responses, up and down.
        readings: ``(devices, cycles, pulses)`` each, NaN where there is none.
        white: ``(devices,)`` noise of a reading.
    """
    low = np.minimum(*(r.mean.min(axis=1) for r in responses))
    width = np.maximum(*(r.mean.max(axis=1) for r in responses)) - low
    found, squares = {}, []
    for way, response, read in zip(("up", "down"), responses, readings, strict=True):
        residual = read - response.mean[:, None]
        about = read - np.nanmean(read, axis=(1, 2), keepdims=True)
        found[f"r2_{way}"] = 1 - float(np.nansum(residual**2) / np.nansum(about**2))
        squares.append(((residual / width[:, None, None]) ** 2)[np.isfinite(residual)])
    return {
        **found,
        "residual": float(np.sqrt(np.concatenate(squares).mean())),
        "reading_noise": float(np.sqrt(((white / width) ** 2).mean())),
    }
