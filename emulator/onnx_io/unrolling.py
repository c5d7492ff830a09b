"""Recurrent layers step by step, of linear layers and operators."""

from dataclasses import dataclass

import numpy as np

from crossmesh.emulator.onnx_io.combining import combine
from crossmesh.emulator.onnx_io.joining import concatenated
from crossmesh.emulator.onnx_io.matrices import linear
from crossmesh.emulator.onnx_io.parts import sliced, taken
from crossmesh.emulator.onnx_io.pointwise import PLAIN, SET, SIMPLE, function_layer, mapped, number
from crossmesh.emulator.onnx_io.sketch import Sketch
from crossmesh.emulator.onnx_io.values import Array, Constant, Refusal, Use, View, module_of


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What a recurrent layer computes at a step.

    Attributes:
        operator: ``LSTM``, ``GRU`` or ``RNN``.
        activations: Functions of its gates.
        usual: The functions that such a layer has by default.
        before_reset: Whether the product of a GRU comes before its reset.
        couples: Whether the gates of an LSTM that let in and forget are one.
        clip: Largest number before a function; 0: any.
    """

    operator: str
    activations: tuple[str, ...]
    usual: tuple[str, ...]
    before_reset: bool
    couples: bool
    clip: float

    @property
    def is_usual(self) -> bool:
        """Whether a layer of ours computes it."""
        is_gru = self.operator == "GRU" and not self.before_reset
        return self.activations == self.usual and not (is_gru or self.couples or self.clip)


def unrolled(
    sketch: Sketch, use: Use, view: View, cell: Cell, direction: int
) -> tuple[View, View, View | None]:
    """All states ``(steps, examples, features)``, the last one, and the last one of the cells."""
    step = _Steps(sketch, use, cell, direction)
    projected = step.projected(view)
    hidden = step.state(5, projected)
    cells = step.state(6, projected) if cell.operator == "LSTM" else None
    states = []
    for t in range(view.shape[0]):
        gates = taken(sketch, projected, 0, [t], ())
        hidden, cells = step.next(gates, hidden, cells)
        states.append(hidden.expanded([0]))
    whole = concatenated(sketch, states, 0)
    assert isinstance(whole, View)
    assert isinstance(hidden, View)
    return whole, hidden, cells if isinstance(cells, View) else None


class _Steps:
    """One direction of a recurrent layer."""

    def __init__(self, sketch: Sketch, use: Use, cell: Cell, direction: int) -> None:
        self._sketch, self._cell = sketch, cell
        self._weights = use.needed(1)[direction], use.needed(2)[direction]
        self._n = self._weights[1].shape[-1]
        self._use, self._direction = use, direction
        bias = use.constant(3)
        rows = len(self._weights[0])
        both = np.zeros(2 * rows, np.float32) if bias is None else bias[direction]
        self._biases = np.split(both, 2)
        self._name = module_of(use.name_of(1)) or sketch.hint or use.operator.lower()
        peepholes = use.constant(7)
        self._peepholes = (
            None if peepholes is None or not peepholes.any()
            else np.split(peepholes[direction], 3)
        )  # fmt: skip

    def projected(self, view: View) -> View:
        """Products of all steps with the weights of the inputs, biases added."""
        bias = self._biases[0].copy()
        if self._cell.operator != "GRU":
            bias = bias + self._biases[1]
        weight, named = Constant(self._weights[0]), Constant(bias)
        return linear(self._sketch, view, 2, weight, named, f"{self._name}-input")

    def state(self, i: int, like: View) -> View | Constant:
        """What the states are at first, ``(examples, features)``."""
        if not self._use.has(i):
            return Constant(np.zeros((1, self._n), np.float32))
        value = self._use.tensor(i)
        axis = 1 if self._use.attributes.get("layout", 0) else 0
        if isinstance(value, Constant):
            return Constant(value.array.take(self._direction, axis))
        return taken(self._sketch, value, axis, [self._direction], ())

    def next(
        self, gates: View, hidden: View | Constant, cells: View | Constant | None
    ) -> tuple[View, View | None]:
        """The states behind a step."""
        if self._cell.operator == "LSTM":
            assert cells is not None
            return self._lstm(gates, hidden, cells)
        if self._cell.operator == "GRU":
            return self._gru(gates, hidden), None
        return self._apply(0, self._sum(gates, self._product(hidden, 0, 1, has_bias=False))), None

    def _product(
        self, hidden: View | Constant, first: int, last: int, *, has_bias: bool
    ) -> View | Constant:
        """Products of the state with some of the gates' weights; one set of tiles for all steps."""
        rows = slice(first * self._n, last * self._n)
        weight = self._weights[1][rows]
        bias = self._biases[1][rows] if has_bias else None
        if isinstance(hidden, Constant):
            product: Array = hidden.array @ weight.T
            return Constant(product if bias is None else product + bias)
        named = Constant(weight, f"{self._name}.{self._direction}.hidden.{first}")
        offset = None if bias is None else Constant(bias)
        return linear(self._sketch, hidden, 1, named, offset, f"{self._name}-hidden")

    def _sum(self, a: View | Constant, b: View | Constant) -> View:
        return combine(self._sketch, "add", [a, b])

    def _times(self, a: View | Constant, b: View | Constant) -> View:
        return combine(self._sketch, "multiply", [a, b])

    def _part(self, tensor: View | Constant, i: int) -> View | Constant:
        """One of the gates."""
        if isinstance(tensor, Constant):
            return Constant(tensor.array[:, i * self._n : (i + 1) * self._n])
        return sliced(self._sketch, tensor, 1, i * self._n, (i + 1) * self._n)

    def _apply(self, i: int, view: View, *, is_clipped: bool = True) -> View:
        name = self._cell.activations[i]
        if self._cell.clip and is_clipped:
            bound = number(self._cell.clip)
            view = mapped(self._sketch, view, "clip", {"low": -bound, "high": bound})
        if name in PLAIN:
            return function_layer(self._sketch, view, PLAIN[name])
        if name in SIMPLE:
            return mapped(self._sketch, view, SIMPLE[name])
        if name in SET:
            operator, attributes = SET[name]
            return mapped(
                self._sketch, view, operator, {own: usual for _, own, usual in attributes}
            )
        raise Refusal(f"activation {name}")

    def _peeped(self, view: View, cells: View | Constant, i: int) -> View:
        if self._peepholes is None:
            return view
        return self._sum(view, self._times_constant(cells, self._peepholes[i]))

    def _times_constant(self, tensor: View | Constant, factor: Array) -> View | Constant:
        if isinstance(tensor, Constant):
            return Constant(tensor.array * factor)
        return self._times(tensor, Constant(factor))

    def _lstm(
        self, gates: View, hidden: View | Constant, cells: View | Constant
    ) -> tuple[View, View]:
        whole = self._sum(gates, self._product(hidden, 0, 4, has_bias=False))
        i, o, f, c = (self._part(whole, k) for k in range(4))
        assert isinstance(i, View)
        assert isinstance(o, View)
        assert isinstance(f, View)
        assert isinstance(c, View)
        into = self._apply(0, self._peeped(i, cells, 0))
        if self._cell.couples:
            forget = mapped(self._sketch, into, "affine", {"factor": -1.0, "offset": 1.0})
        else:
            forget = self._apply(0, self._peeped(f, cells, 2))
        new = self._sum(self._times(forget, cells), self._times(into, self._apply(1, c)))
        out = self._apply(0, self._peeped(o, new, 1))
        return self._times(out, self._apply(2, new, is_clipped=False)), new

    def _gru(self, gates: View, hidden: View | Constant) -> View:
        if self._cell.before_reset:
            product = self._product(hidden, 0, 3, has_bias=True)
            parts = [self._part(product, k) for k in range(3)]
        else:
            product = self._product(hidden, 0, 2, has_bias=True)
            parts = [self._part(product, k) for k in range(2)]
        update = self._apply(0, self._sum(self._part(gates, 0), parts[0]))
        reset = self._apply(0, self._sum(self._part(gates, 1), parts[1]))
        if self._cell.before_reset:
            behind = self._times(reset, parts[2])
        else:
            behind_reset = self._times(reset, hidden)
            made = self._product(behind_reset, 2, 3, has_bias=True)
            assert isinstance(made, View)
            behind = made
        new = self._apply(1, self._sum(self._part(gates, 2), behind))
        keep = mapped(self._sketch, update, "affine", {"factor": -1.0, "offset": 1.0})
        return self._sum(self._times(keep, new), self._times(update, hidden))
