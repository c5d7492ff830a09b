"""The phase-change memories of the 2PCM+3T1C cells: two for each cell, in differential."""

from collections.abc import Callable
from itertools import zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.random import Purpose
from crossmesh.tiles.analog.array import Array
from crossmesh.tiles.analog.cells.pcm_3t1c.memory import PcmMemory
from crossmesh.tiles.analog.on_board import BoardPlane
from crossmesh.tiles.analog.pulser import Site

PLUS, MINUS = 0, 1  # parts, in random numbers
_DRAWS = 16  # for one transfer


class MemoryPairs:
    """``F * (G_plus - G_minus)`` at every crosspoint, in units of a weight of 1.

    Args:
        pcm: Parameters of the memories.
        gain: Factor F.
        unit_siemens: Conductance of a weight of 1.
        site: Shape, random numbers and settings.

    Attributes:
        weights: ``(rows, cols)`` as the memories have drifted.
        variance: ``(rows, cols)`` from read to read, or None.
    """

    def __init__(self, pcm: PcmMemory, gain: float, unit_siemens: float, site: Site) -> None:
        self._pcm = pcm
        self._site = site
        self._per_siemens = np.float32(gain) / np.float32(unit_siemens)
        self._siemens = np.float32(unit_siemens) / np.float32(gain)
        self._noise = np.float32(gain * pcm.read_noise_siemens) / np.float32(unit_siemens)
        self.written = [np.zeros(site.shape, np.float32) for _ in (PLUS, MINUS)]
        self.weights = np.zeros(site.shape, np.float32)
        self._planes: list[BoardPlane] = []  # plus and minus, if they lie on a board
        if site.board is not None and site.board.holds("memories"):
            self._planes = [site.board.plane("memories", k, site.shape) for k in (PLUS, MINUS)]
        fluctuates = pcm.fluctuates and not self._planes
        self._drifts = pcm.drift > 0 and not self._planes
        self.variance = np.zeros(site.shape, np.float32) if fluctuates else None

    def write(
        self, rows: slice, target: Array, draws: Callable[[int], Callable[[int], Array]]
    ) -> None:
        """Write the memories of some word lines by RESET and SET.

        Args:
            rows: The word lines.
            target: ``(rows, cols)`` weights to aim at.
            draws: Standard normal numbers of each memory, by the number of the draw.
        """
        siemens = target * self._siemens
        for part, sign in ((PLUS, 1), (MINUS, -1)):
            if self._planes:
                plane = self._planes[part]
                plane.write(rows, np.clip(sign * siemens, 0, self._pcm.range_siemens))
                written = plane.siemens[rows]
            else:
                written = self._pcm.written(sign * siemens, draws(part))
            self.written[part][rows] = written * self._per_siemens
        self.weights[rows] = self.written[PLUS][rows] - self.written[MINUS][rows]

    def draws(self, rows: slice, index: int, part: int) -> Callable[[int], Array]:
        """Random numbers of a transfer of some word lines, by the number of the draw."""
        shape = (rows.stop - rows.start, self.weights.shape[1])
        stream = self._site.stream

        def normal(draw: int) -> Array:
            number, first = index * _DRAWS + draw, (rows.start, 0)
            return stream.normal(Purpose.TRANSFER, shape, draw=number, part=part, first=first)

        return normal

    def product(self, x: Array, *, backward: bool) -> Array:
        """Product of ``(vectors, inputs)`` with the weights, made by a board."""
        plus, minus = (plane.product(x, backward=backward) for plane in self._planes)
        return self._per_siemens * (plus - minus)

    def load(self, plus: NDArray[Any], minus: NDArray[Any]) -> None:
        """Take over memories as they were written."""
        for written, given, plane in zip_longest(self.written, (plus, minus), self._planes):
            written[:] = given
            if plane is not None:
                plane.restore(given * self._siemens)
                written[:] = plane.siemens * self._per_siemens
        np.subtract(self.written[PLUS], self.written[MINUS], out=self.weights)

    def drift(self, age_s: NDArray[np.float64]) -> None:
        """Let the memories drift.

        Args:
            age_s: ``(rows, 1)`` seconds since each word line was written.
        """
        if self._drifts:
            plus, minus = self.drifted(age_s)
            np.subtract(plus, minus, out=self.weights)

    def drifted(self, age_s: NDArray[np.float64]) -> tuple[Array, Array]:
        """Both memories, for as long as they have not been written."""
        plus, minus = self.written
        if not self._drifts or not age_s.any():
            return plus, minus
        return self._drifted(PLUS, age_s), self._drifted(MINUS, age_s)

    def _drifted(self, part: int, age_s: NDArray[np.float64]) -> Array:
        """Memories that have drifted; their exponents are drawn again each time, never kept."""
        written, site = self.written[part], self._site
        normal = site.stream.normal(Purpose.RETENTION, site.shape, draw=1 + part)
        exponents = self._pcm.exponents(written * self._siemens, normal)
        return written * self._pcm.left(exponents, age_s)

    def fluctuate(self, rows: slice) -> None:
        """Variance from read to read of some word lines; drift leaves it as it was written."""
        if self.variance is not None:
            slope = np.float32(self._pcm.read_noise_slope)
            self.variance[rows] = sum(
                np.square(self._noise + slope * g[rows]) for g in self.written
            )
