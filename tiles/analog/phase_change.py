"""Statistics of a million phase-change memories: programming error and drift exponents.

Joshi et al., Nat. Commun. 11, 2473 (2020), doi 10.1038/s41467-020-16108-9, as in aihwkit's
``PCMLikeNoiseModel``. Conductances ``g`` are relative to 25 uS.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
SCALE_SIEMENS = 25e-6
_SMALLEST = 1e-6  # logarithms below it say nothing


def scatter(g: Array) -> Array:
    """Standard deviation of a written conductance about its target, in siemens."""
    parabola = (-1.1731e-6 * g + 1.9650e-6) * g + 0.26348e-6
    return np.maximum(parabola, 0).astype(np.float32)


def exponents(g: Array) -> tuple[Array, Array]:
    """Mean and standard deviation, from memory to memory, of the drift exponent."""
    logarithm = np.log(np.maximum(g, _SMALLEST))
    mean: Array = np.clip(-0.0155 * logarithm + 0.0244, 0.049, 0.1)
    spread: Array = np.clip(-0.0125 * logarithm - 0.0059, 0.008, 0.045)
    return mean, spread
