"""Per-device parameters in 16 bits each: half the memory, and half of what an update reads.

Each parameter of an array is stored as one of 65,536 levels between its smallest and its largest
value over the devices of that array. The error is below 1e-5 of that range, where the spread
between devices that it describes is tenths of a mean; a parameter that all devices share is exact.
"""

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from interconnect.compiled import inlined, kernel

_HIGHEST = 65535


class Parameters(NamedTuple):
    """The parameters of an array of devices.

    Attributes:
        levels: ``(rows, n_parameters, cols)``, word line by word line, so that what an update of
            one needs lies close together.
        least: ``(n_parameters,)`` value of level 0.
        step: ``(n_parameters,)`` difference between levels.
    """

    levels: NDArray[np.uint16]
    least: NDArray[np.float32]
    step: NDArray[np.float32]

    @classmethod
    def packed(cls, values: NDArray[np.float32]) -> Self:
        """From ``(n_parameters, rows, cols)`` values."""
        least = values.min(axis=(1, 2))
        step = (values.max(axis=(1, 2)) - least) / np.float32(_HIGHEST)
        n, rows, cols = values.shape
        levels = np.empty((rows, n, cols), np.uint16)
        for p in range(n):
            levels[:, p] = np.rint((values[p] - least[p]) / (step[p] or np.float32(1)))
        return cls(levels, least, step)

    def values(self, parameter: int) -> NDArray[np.float32]:
        """``(rows, cols)`` values of one parameter, as kernels see them."""
        out = np.empty((self.levels.shape[0], self.levels.shape[2]), np.float32)
        _unpack(self, parameter, out)
        return out


@inlined
def value(parameters: Parameters, p: int, i: int, j: int) -> float:
    """Parameter ``p`` of the device at row ``i`` and column ``j``."""
    level = np.float32(np.int32(parameters.levels[i, p, j]))
    return parameters.least[p] + parameters.step[p] * level


@kernel
def _unpack(parameters: Parameters, p: int, out: NDArray[np.float32]) -> None:
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = value(parameters, p, i, j)
