"""Sequences of tokens: numbers of tokens become vectors."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.compiled import kernel
from crossmesh.common.random import Purpose, Stream
from crossmesh.tiles.digital.base import Array, Call, Function, Learned

_DRAW = 1  # weights on tiles take draw 0 of the same purpose


def _rows(x: Array) -> NDArray[np.int64]:
    """``(n,)`` token numbers of a value ``(n, 1)``."""
    return x[:, 0].astype(np.int64)


@kernel
def _add_rows(
    parameters: Array,  # (tokens, outputs), changed in place
    rows: NDArray[np.int64],  # (n,)
    d: Array,  # (n, outputs)
    rate: float,
) -> None:
    """Add each error to the row of its token, one after the other."""
    factor = np.float32(rate)
    for i in range(rows.size):
        row = rows[i]
        for j in range(parameters.shape[1]):
            parameters[row, j] += factor * d[i, j]


@dataclass(frozen=True, kw_only=True, slots=True)
class Embedding(Learned):
    """A learned vector for every token.

    Attributes:
        tokens: Number of different tokens.
        outputs: Length of the vectors.
        deviation: Standard deviation of the first parameters; 1 as in PyTorch.
    """

    needs_inputs: ClassVar[bool] = True
    passes_errors: ClassVar[bool] = False

    tokens: int
    outputs: int
    deviation: float = 1.0

    @property
    def shape(self) -> tuple[int, int]:
        """A row for every token."""
        return self.tokens, self.outputs

    def initial(self, stream: Stream) -> Array:
        """Normal."""
        normal = stream.normal(Purpose.INITIAL_WEIGHT, self.shape, draw=_DRAW)
        return normal * np.float32(self.deviation)

    def forward(self, inputs: Sequence[Array], out: Array, call: Call) -> None:
        """Look up."""
        out[:] = call.parameters[_rows(inputs[0])]

    def backward(
        self, d: Array, index: int, inputs: Sequence[Array], y: Array | None, call: Call
    ) -> Array:
        """There is none."""
        raise AssertionError("a token has no error")

    def parameter_error(self, d: Array, inputs: Sequence[Array], call: Call) -> Array:
        """The errors of each token's examples and steps, in their order."""
        error = np.zeros(self.shape, np.float32)
        _add_rows(error, _rows(inputs[0]), np.ascontiguousarray(d), 1.0)
        return error

    def learn(self, d: Array, inputs: Sequence[Array], call: Call, rate: float) -> None:
        """Only the rows of tokens that there are."""
        _add_rows(call.parameters, _rows(inputs[0]), np.ascontiguousarray(d), rate)


@dataclass(frozen=True, kw_only=True, slots=True)
class OneHot(Function):
    """A vector with a one in the place of the token, zeros elsewhere.

    Attributes:
        tokens: Number of different tokens.
    """

    passes_errors: ClassVar[bool] = False

    tokens: int

    def forward(self, inputs: Sequence[Array], out: Array, call: Call) -> None:
        """Set a one in every row."""
        out[:] = 0
        out[np.arange(len(out)), _rows(inputs[0])] = 1

    def backward(
        self, d: Array, index: int, inputs: Sequence[Array], y: Array | None, call: Call
    ) -> Array:
        """There is none."""
        raise AssertionError("a token has no error")


@dataclass(frozen=True, kw_only=True, slots=True)
class Position(Learned):
    """Adds a learned vector to every step of a sequence.

    Source: Gehring et al. 2017, arXiv 1705.03122, section 3.1.

    Attributes:
        steps: Length of the sequence.
        features: Length of the vectors.
        deviation: Standard deviation of the first parameters; 0.02 as in GPT-2 (Radford et al.,
            2019).
    """

    steps: int
    features: int
    deviation: float = 0.02

    @property
    def shape(self) -> tuple[int, int]:
        """A row for every step."""
        return self.steps, self.features

    def initial(self, stream: Stream) -> Array:
        """Normal."""
        normal = stream.normal(Purpose.INITIAL_WEIGHT, self.shape, draw=_DRAW)
        return normal * np.float32(self.deviation)

    def forward(self, inputs: Sequence[Array], out: Array, call: Call) -> None:
        """Add row t to step t of every example."""
        by_example = (-1, self.steps, self.features)
        np.add(inputs[0].reshape(by_example), call.parameters, out=out.reshape(by_example))

    def backward(
        self, d: Array, index: int, inputs: Sequence[Array], y: Array | None, call: Call
    ) -> Array:
        """The same error."""
        return d

    def parameter_error(self, d: Array, inputs: Sequence[Array], call: Call) -> Array:
        """The errors of each step, over the examples."""
        total: Array = np.add.reduce(d.reshape(-1, self.steps, self.features), axis=0)
        return total
