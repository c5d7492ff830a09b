"""The bias of a layer as parameters beside its tiles, added behind the ADCs.

So does the ``digital_bias`` of aihwkit (Rasch et al. 2021, arXiv 2104.02184), which is its default.
"""

import numpy as np
from numpy.typing import NDArray

from crossmesh.tiles.digital.base import Array


def add_bias(y: Array, parameters: Array) -> None:
    """Add a bias to every vector.

    Args:
        y: ``(vectors, outputs)``, changed in place.
        parameters: ``(1, outputs)``.
    """
    np.add(y, parameters, out=y)


def learn_bias(parameters: Array, d: Array, rate: float) -> None:
    """Change a bias by ``rate`` times its error.

    Args:
        parameters: ``(1, outputs)``, changed in place.
        d: ``(vectors, outputs)`` minus the gradient of the loss.
        rate: Learning rate.
    """
    parameters[0] = parameters[0] + rate * bias_error(d)


def bias_error(d: Array) -> NDArray[np.float64]:
    """``(outputs,)`` error of a bias: the sum over all vectors, of float64."""
    total: NDArray[np.float64] = np.add.reduce(d, axis=0, dtype=np.float64)
    return total
