"""Rectangles and color scales."""

from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.collections import PolyCollection
from matplotlib.colors import Colormap, ListedColormap, LogNorm, Normalize
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Numbers = NDArray[Any]  # whole or real

DECADES = 100.0  # ratio of the largest to the smallest from which a scale is logarithmic
_FURTHEST = 1e4  # ratio of the ends of a logarithmic scale of colors
_IDLE = "0.88"


def polygons(corners: Floats, **looks: Any) -> PolyCollection:
    """``(n, corners, 2)`` polygons in the units of the axes."""
    return PolyCollection(corners, **looks)  # type: ignore[arg-type]  # also takes one array


def rectangles(x: Numbers, y: Numbers, width: Numbers | float, height: Numbers | float) -> Floats:
    """``(n, 4, 2)`` corners of rectangles with their lower ends at ``x`` and ``y``."""
    x, y, width, height = np.broadcast_arrays(x, y, width, height)
    across = np.stack([x, x + width, x + width, x], axis=-1)
    return np.stack([across, np.stack([y, y, y + height, y + height], axis=-1)], axis=-1)


def strips(start: Floats, stop: Floats, width: float) -> Floats:
    """``(n, 4, 2)`` corners of lines of a width in the units of the axes, ``(n, 2)`` their ends."""
    along = stop - start
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)
    half = width / 2 * across / np.linalg.norm(along, axis=1, keepdims=True)
    return np.stack([start - half, stop - half, stop + half, start + half], axis=1)


def norm_of(values: Floats) -> Normalize | None:
    """Colors for values as they lie: from zero, or over decades; None if all are zero."""
    positive = values[values > 0]
    if not len(positive):
        return None
    low, high = float(positive.min()), float(positive.max())
    if high / low < DECADES:
        return Normalize(0, high)
    return LogNorm(max(low, high / _FURTHEST), high)


def shades(name: str, palest: float) -> Colormap:
    """A color map without its palest end, and grey for what is idle."""
    colors = ListedColormap(colormaps[name](np.linspace(palest, 1, 256)))
    return colors.with_extremes(bad=_IDLE)
