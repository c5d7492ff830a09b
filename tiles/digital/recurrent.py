"""Cells of recurrent layers: from the sums of the gates and the state before to the state.

The matrix products with inputs and states lie outside, on tiles.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np

from crossmesh.tiles.digital.base import Array, Call, Function

_ONE = np.float32(1)
_HALF = np.float32(0.5)


@lru_cache(maxsize=8)
def _gate_scales(hidden: int) -> tuple[Array, Array]:
    """Factor and offset of each gate i, f, g, o around tanh: 1/2 and 1/2 make a logistic one."""
    factor = np.repeat(np.array([0.5, 0.5, 1, 0.5], np.float32), hidden)
    return factor, _ONE - factor


def _logistic(u: Array) -> Array:
    """``1 / (1 + exp(-u))``, by way of tanh, which cannot overflow; changes ``u`` in place."""
    u *= _HALF
    np.tanh(u, out=u)
    u *= _HALF
    u += _HALF
    return u


@dataclass(frozen=True, kw_only=True, slots=True)
class LstmCell(Function):
    """Long short-term memory: ``c = f c' + i g`` and ``h = o tanh(c)``.

    The input ``(n, 5 * hidden)`` has the sums of the gates i, f, g, o and the state c' before, the
    output ``(n, 2 * hidden)`` h and c. Source: Hochreiter and Schmidhuber 1997, Neural Computation
    9, 1735; with the forget gate f of Gers, Schmidhuber and Cummins 2000, Neural Computation 12,
    2451. Order of the gates as PyTorch's ``nn.LSTM``.

    Attributes:
        hidden: Values of each state.
    """

    needs_inputs: ClassVar[bool] = True

    hidden: int

    def forward(self, inputs: Sequence[Array], out: Array, call: Call) -> None:
        """State from the gates."""
        n, x = self.hidden, inputs[0]
        gates = self._gates(x)
        state = self._state(gates, x)
        out[:, n:] = state
        np.multiply(gates[:, 3 * n :], np.tanh(state, out=state), out=out[:, :n])

    def backward(
        self, d: Array, index: int, inputs: Sequence[Array], y: Array | None, call: Call
    ) -> Array:
        """Errors at the sums of the gates and at the state before; all are computed again."""
        n, x = self.hidden, inputs[0]
        gates = self._gates(x)
        i, f, g, o = (gates[:, k * n : (k + 1) * n] for k in range(4))
        bent = self._state(gates, x)
        np.tanh(bent, out=bent)
        result = np.empty_like(x)
        of_i, of_f, of_g, of_o, of_state = (result[:, k * n : (k + 1) * n] for k in range(5))
        error = d[:, :n] * o * (_ONE - bent * bent)
        error += d[:, n:]
        np.multiply(error * g, i * (_ONE - i), out=of_i)
        np.multiply(error * x[:, 4 * n :], f * (_ONE - f), out=of_f)
        np.multiply(error * i, _ONE - g * g, out=of_g)
        np.multiply(d[:, :n] * bent, o * (_ONE - o), out=of_o)
        np.multiply(error, f, out=of_state)
        return result

    def _gates(self, x: Array) -> Array:
        """``(n, 4 * hidden)``: all four in one go."""
        factor, offset = _gate_scales(self.hidden)
        gates = x[:, : 4 * self.hidden] * factor
        np.tanh(gates, out=gates)
        gates *= factor
        gates += offset
        return gates

    def _state(self, gates: Array, x: Array) -> Array:
        n = self.hidden
        state: Array = gates[:, n : 2 * n] * x[:, 4 * n :]
        state += gates[:, :n] * gates[:, 2 * n : 3 * n]
        return state


@dataclass(frozen=True, kw_only=True, slots=True)
class GruCell(Function):
    """Gated recurrent unit: ``n = tanh(x_n + r h_n)`` and ``h = (1 - z) n + z h'``.

    The input ``(n, 7 * hidden)`` has the sums of r, z, n from the input's side, those from the
    state's side, and the state h' before. Source: Cho et al. 2014, arXiv 1406.1078; equations and
    order of the gates as PyTorch's ``nn.GRU``, where r is applied behind the product.

    Attributes:
        hidden: Values of the state.
    """

    needs_inputs: ClassVar[bool] = True

    hidden: int

    def forward(self, inputs: Sequence[Array], out: Array, call: Call) -> None:
        """State from the gates."""
        x = inputs[0]
        _, z, new = self._gates(x)
        state = (_ONE - z) * new
        np.add(state, z * x[:, 6 * self.hidden :], out=out)

    def backward(
        self, d: Array, index: int, inputs: Sequence[Array], y: Array | None, call: Call
    ) -> Array:
        """Errors at all sums and at the state before; the gates are computed again."""
        n, x = self.hidden, inputs[0]
        r, z, new = self._gates(x)
        result = np.empty_like(x)
        parts = [result[:, k * n : (k + 1) * n] for k in range(7)]
        np.multiply(d * (_ONE - z), _ONE - new * new, out=parts[2])
        np.multiply(parts[2], r, out=parts[5])
        np.multiply(parts[2] * x[:, 5 * n : 6 * n], r * (_ONE - r), out=parts[0])
        np.multiply(d * (x[:, 6 * n :] - new), z * (_ONE - z), out=parts[1])
        result[:, 3 * n : 5 * n] = result[:, : 2 * n]
        np.multiply(d, z, out=parts[6])
        return result

    def _gates(self, x: Array) -> tuple[Array, Array, Array]:
        """Reset r, update z and the new state, ``(n, hidden)`` each."""
        n = self.hidden
        gates = _logistic(x[:, : 2 * n] + x[:, 3 * n : 5 * n])
        new: Array = gates[:, :n] * x[:, 5 * n : 6 * n]
        new += x[:, 2 * n : 3 * n]
        np.tanh(new, out=new)
        return gates[:, :n], gates[:, n:], new
