"""Attention scores: what each step of a sequence takes from the others.

Source: Vaswani et al. 2017, arXiv 1706.03762, section 3.2.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np

from crossmesh.tiles.digital.base import Array, Call, Function


@lru_cache(maxsize=8)
def _later(steps: int) -> Array:
    """``(steps, steps)``: minus infinity where a column's step is later than its row's, else 0."""
    return np.triu(np.full((steps, steps), -np.inf, np.float32), 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Scores(Function):
    """``softmax(q k^T / sqrt(n)) v`` for each head of n features.

    The input ``(examples * steps, 3 * features)`` has queries, keys and values side by side.

    Attributes:
        heads: Number of heads, which divides the features.
        causal: Whether a step sees only itself and those before it.
        steps: Length of the sequence.
    """

    needs_inputs: ClassVar[bool] = True

    heads: int
    causal: bool
    steps: int

    @property
    def work(self) -> float:
        """Per three features taken, two products with every step, each multiplied and added."""
        return 4 * self.steps / 3

    def forward(self, inputs: Sequence[Array], out: Array, call: Call) -> None:
        """Weigh the values of the steps by the likeness of their keys to the query."""
        queries, keys, values = self._parts(inputs[0])
        seen = np.matmul(self._shares(queries, keys), values)
        by_head = out.reshape(-1, self.steps, self.heads, values.shape[-1])  # a view, of any out
        by_head[:] = seen.transpose(0, 2, 1, 3)

    def backward(
        self, d: Array, index: int, inputs: Sequence[Array], y: Array | None, call: Call
    ) -> Array:
        """Back through the products and the softmax, whose output is computed again."""
        queries, keys, values = self._parts(inputs[0])
        shares = self._shares(queries, keys)
        seen = d.reshape(-1, self.steps, self.heads, values.shape[-1]).transpose(0, 2, 1, 3)
        result = np.empty_like(inputs[0])
        to_queries, to_keys, to_values = self._parts(result)
        to_values[:] = np.matmul(shares.swapaxes(2, 3), seen)
        error = np.matmul(seen, values.swapaxes(2, 3))
        error -= (error * shares).sum(axis=3, keepdims=True)
        error *= shares
        error *= self._scale(keys)
        to_queries[:] = np.matmul(error, keys)
        to_keys[:] = np.matmul(error.swapaxes(2, 3), queries)
        return result

    def _parts(self, x: Array) -> Array:
        """Views ``(3, examples, heads, steps, features of a head)``."""
        n = x.shape[1] // (3 * self.heads)
        return x.reshape(-1, self.steps, 3, self.heads, n).transpose(2, 0, 3, 1, 4)

    def _shares(self, queries: Array, keys: Array) -> Array:
        """``(examples, heads, steps, steps)``: rows of queries, whose sum is 1."""
        shares: Array = np.matmul(queries, keys.swapaxes(2, 3))
        shares *= self._scale(keys)
        if self.causal:
            shares += _later(self.steps)
        shares -= np.maximum.reduce(shares, axis=3, keepdims=True)
        np.exp(shares, out=shares)
        shares /= np.add.reduce(shares, axis=3, keepdims=True)
        return shares

    @staticmethod
    def _scale(keys: Array) -> np.float32:
        return np.float32(keys.shape[-1] ** -0.5)
