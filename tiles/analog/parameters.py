"""Per-device parameters in 16 bits each: half the memory, and half of what an update reads.

Each parameter of an array is stored as one of 65,536 levels between its smallest and its largest
value over the devices of that array. The error is below 1e-5 of that range, where the spread
between devices that it describes is tenths of a mean; a parameter that all devices share is exact,
and takes no memory beside that of the others.
"""

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.compiled import inlined, kernel

_HIGHEST = 65535


class Parameters(NamedTuple):
    """The parameters of an array of devices.

    Attributes:
        levels: ``(rows, places, cols)``, word line by word line, so that what an update of one
            needs lies close together; a place for every parameter that differs between devices,
            and at least one.
        least: ``(n_parameters,)`` value of level 0.
        step: ``(n_parameters,)`` difference between levels, 0 where all devices are alike.
        place: ``(n_parameters,)`` place of its levels; any, where all devices are alike.
    """

    levels: NDArray[np.uint16]
    least: NDArray[np.float32]
    step: NDArray[np.float32]
    place: NDArray[np.uint32]

    @classmethod
    def packed(cls, values: NDArray[np.float32]) -> Self:
        """From ``(n_parameters, rows, cols)`` values."""
        least = values.min(axis=(1, 2))
        step = (values.max(axis=(1, 2)) - least) / np.float32(_HIGHEST)
        varying = np.flatnonzero(step)
        place = np.zeros(len(values), np.uint32)
        place[varying] = np.arange(len(varying))
        _, rows, cols = values.shape
        levels = np.zeros((rows, max(1, len(varying)), cols), np.uint16)
        for p in varying:
            levels[:, place[p]] = np.rint((values[p] - least[p]) / step[p])
        return cls(levels, least, step, place)

    def values(self, parameter: int) -> NDArray[np.float32]:
        """``(rows, cols)`` values of one parameter, as kernels see them."""
        out = np.empty((self.levels.shape[0], self.levels.shape[2]), np.float32)
        _unpack(self, parameter, out)
        return out


def level_bytes(n_varying: int) -> int:
    """Bytes per device that the levels of so many differing parameters take."""
    return np.dtype(np.uint16).itemsize * max(1, n_varying)


@inlined
def value(parameters: Parameters, p: int, place: int, i: int, j: int) -> float:
    """Parameter ``p``, whose ``place`` is given, of the device at row ``i`` and column ``j``."""
    level = np.float32(np.int32(parameters.levels[i, place, j]))
    return parameters.least[p] + parameters.step[p] * level


@kernel
def _unpack(parameters: Parameters, p: int, out: NDArray[np.float32]) -> None:
    place = parameters.place[p]
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = value(parameters, p, place, i, j)
