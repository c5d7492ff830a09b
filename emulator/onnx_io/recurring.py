"""ONNX recurrent layers: as layers of ours where they are such, else step by step."""

from collections.abc import Sequence

import numpy as np

from crossmesh.emulator.onnx_io.joining import concatenated
from crossmesh.emulator.onnx_io.laying import arranged, with_features
from crossmesh.emulator.onnx_io.parts import taken
from crossmesh.emulator.onnx_io.sketch import Sketch
from crossmesh.emulator.onnx_io.unrolling import Cell, unrolled
from crossmesh.emulator.onnx_io.values import Array, Refusal, Use, Value, View, module_of, view_of

# Where ONNX keeps the gates that PyTorch keeps in the order i, f, g, o and r, z, n.
GATES = {"lstm": (0, 2, 3, 1), "gru": (1, 0, 2)}
ACTIVATIONS = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",)}


def recurrent(sketch: Sketch, use: Use) -> Sequence[Value | None]:
    """LSTM, GRU and plain recurrent layers, in both directions."""
    view = use.view(0)
    use.attributes.get("hidden_size")  # as the weights say
    if use.attributes.get("layout", 0):
        view = view.permuted([1, 0, 2])
    if view.batch not in {None, 1} or not view.is_plain:
        raise Refusal("examples that do not have the second axis")
    _check_lengths(use, view.shape[0])
    direction = use.word("direction", "forward")
    names = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}[direction]
    made = [_one(sketch, use, view, i, is_reverse) for i, is_reverse in enumerate(names)]
    outputs = [_beside(sketch, [parts[k] for parts in made], use, k) for k in range(3)]
    return outputs[: len(use.outputs)]


def _check_lengths(use: Use, steps: int) -> None:
    lengths = use.constant(4)
    if lengths is not None and (lengths != steps).any():
        raise Refusal("sequences of different lengths")


def _beside(sketch: Sketch, views: Sequence[View | None], use: Use, k: int) -> View | None:
    """The directions as an axis: (steps, directions, examples, features), or without steps."""
    if k >= len(use.outputs) or not use.outputs[k]:
        return None
    axis = 1 if k == 0 else 0
    found = [view.expanded([axis]) for view in views if view is not None]
    whole = concatenated(sketch, found, axis)
    assert isinstance(whole, View)
    if use.attributes.get("layout", 0):
        return whole.permuted([2, 0, 1, 3] if k == 0 else [1, 0, 2])
    return whole


def _one(
    sketch: Sketch, use: Use, view: View, direction: int, is_reverse: bool
) -> tuple[View | None, View | None, View | None]:
    """All states, the last one, and the last one of the cells, of one direction."""
    steps = view.shape[0]
    order = list(range(steps))[::-1]
    if is_reverse:
        view = taken(sketch, view, 0, order, (steps,))
    cell = _cell(use, direction)
    is_plain = (
        view.is_batch(1) and cell.is_usual and not any(use.outputs[2:]) and not _has_states(use)
    )
    if is_plain and use.operator != "RNN":
        states = _as_layer(sketch, use, view, direction)
        last = _at(sketch, states, steps - 1) if _wants(use, 1) else None
        of_cells = None
    else:
        states, last, of_cells = unrolled(sketch, use, view, cell, direction)
    if is_reverse and _wants(use, 0):
        states = taken(sketch, states, 0, order, (steps,))
    return states, last, of_cells


def _wants(use: Use, k: int) -> bool:
    return k < len(use.outputs) and use.outputs[k]


def _at(sketch: Sketch, states: View, step: int) -> View:
    return taken(sketch, states, 0, [step], ())


def _has_states(use: Use) -> bool:
    """Whether it starts from something else than zeros, or has peepholes."""
    for i in (5, 6, 7):
        if use.has(i):
            value = use.tensor(i)
            if isinstance(value, View) or value.array.any():
                return True
    return False


def _cell(use: Use, direction: int) -> Cell:
    usual = ACTIVATIONS[use.operator]
    given = [one.decode() for one in use.attributes.get("activations", [])]
    own = tuple(given[direction * len(usual) : (direction + 1) * len(usual)]) or usual
    for name in ("activation_alpha", "activation_beta"):
        if use.attributes.get(name):
            raise Refusal(name)
    return Cell(
        operator=use.operator,
        activations=own,
        usual=usual,
        before_reset=bool(use.attributes.get("linear_before_reset", 0)),
        couples=bool(use.attributes.get("input_forget", 0)),
        clip=float(use.attributes.get("clip", 0.0)),
    )


def _as_layer(sketch: Sketch, use: Use, view: View, direction: int) -> View:
    """A layer of ours, from a state of zeros."""
    kind = use.operator.lower()
    hidden = use.needed(2).shape[-1]
    moved = with_features(sketch, view, [2])
    steps, inputs = view.shape[0], view.shape[2]
    if sketch.steps[moved.made].axes != (steps, inputs):
        moved = arranged(sketch, moved, range(len(moved.sizes)), [steps, inputs])
    arrays = _arrays(use, kind, hidden, direction)
    name = sketch.add(
        kind,
        [moved.made],
        (steps, hidden),
        hint=module_of(use.name_of(1)) or sketch.hint,
        settings={"outputs": hidden, "bias": "bias_ih" in arrays},
        arrays=arrays,
    )
    return view_of(name, sketch.n, [sketch.n, steps, hidden]).permuted([1, 0, 2])


def _arrays(use: Use, kind: str, hidden: int, direction: int) -> dict[str, Array]:
    def ordered(array: Array) -> Array:
        gates = array.reshape(-1, hidden, *array.shape[1:])[list(GATES[kind])]
        return gates.reshape(array.shape).astype(np.float32)

    arrays = {
        "weight_ih": ordered(use.needed(1)[direction]),
        "weight_hh": ordered(use.needed(2)[direction]),
    }
    bias = use.constant(3)
    if bias is not None:
        halves = np.split(bias[direction], 2)
        arrays["bias_ih"], arrays["bias_hh"] = (ordered(half) for half in halves)
    return arrays
