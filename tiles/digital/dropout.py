"""Dropout: values set to zero at random in training.

Source: Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov 2014, JMLR 15, 1929; the values
that are kept are scaled up in training instead of down in tests.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.compiled import kernel
from crossmesh.common.random import LANES, Purpose, Stream, of_example, philox
from crossmesh.tiles.digital.base import Array, Call, Function

_WORDS = 4 * LANES  # columns that are drawn together


@kernel
def _draw_mask(
    mask: Array,  # (examples * positions, features), written: 0, or what a value is multiplied by
    settings: tuple[int, float],  # a value is kept if its word is at least the first; its factor
    first_example: int,
    positions: int,
    key: NDArray[np.uint32],  # (2,)
) -> None:
    least, kept = np.uint32(settings[0]), np.float32(settings[1])
    words = np.empty(_WORDS, np.uint32)
    k0 = key[0]
    for row in range(mask.shape[0]):
        example, k1 = of_example(first_example + row // positions, key[1])
        position = np.uint32(row % positions)
        for first in range(0, mask.shape[1], _WORDS):
            for lane in range(LANES):
                counter = np.uint32(first // 4 + lane)
                a, b, c, d = philox(counter, position, example, np.uint32(0), k0, k1)
                words[lane] = a
                words[lane + LANES] = b
                words[lane + 2 * LANES] = c
                words[lane + 3 * LANES] = d
            for j in range(min(_WORDS, mask.shape[1] - first)):
                mask[row, first + j] = kept if words[j] >= least else np.float32(0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Dropout(Function):
    """Sets values to zero at random in training, and scales up the others.

    Attributes:
        rate: Share that is set to zero.
        number: Number of the layer, which keys its random numbers.
        positions: Positions of the value.
    """

    rate: float
    number: int
    positions: int = 1

    def forward(self, inputs: Sequence[Array], out: Array, call: Call) -> None:
        """Multiply by the mask; copy in tests."""
        x = inputs[0]
        if call.is_training and self.rate:
            np.multiply(x, self._mask(x.shape, call), out=out)
        else:
            out[:] = x

    def backward(
        self, d: Array, index: int, inputs: Sequence[Array], y: Array | None, call: Call
    ) -> Array:
        """Multiply by the same mask."""
        return d * self._mask(d.shape, call) if call.is_training and self.rate else d

    def _mask(self, shape: tuple[int, ...], call: Call) -> Array:
        """What each value is multiplied by: a function of its example, position and column."""
        mask = np.empty(shape, np.float32)
        settings = min(round(self.rate * 2**32), 2**32 - 1), 1 / (1 - self.rate)
        key = Stream(seed=call.seed, owner=self.number).key(Purpose.DROPOUT)
        _draw_mask(mask, settings, call.first_example, self.positions, key)
        return mask
