"""Operators on sequences: embeddings and recurrent layers."""

import numpy as np

from crossmesh.emulator.onnx_io.moving import move
from crossmesh.emulator.onnx_io.scaling import settled
from crossmesh.emulator.onnx_io.values import Array, Refusal, Use, Value, View

# Where ONNX keeps the gates that PyTorch keeps in the order i, f, g, o and r, z, n.
GATES = {"lstm": (0, 2, 3, 1), "gru": (1, 0, 2)}
ACTIVATIONS = {"lstm": [b"Sigmoid", b"Tanh", b"Tanh"], "gru": [b"Sigmoid", b"Tanh"]}


def gather(use: Use) -> list[Value]:
    """Rows of a table for tokens, or some of the values."""
    if isinstance(use.inputs[0], View):
        return move(use)
    table, tokens = use.needed(0), use.view(1)
    if use.attributes.get("axis", 0) or table.ndim != 2:
        raise Refusal("a table that is not read row by row")
    source = tokens.source
    if source.layout != "tokens":
        raise Refusal("rows chosen by values of a layer")
    made = source.after(
        "embedding",
        layout="sequence",
        shape=(*source.shape, table.shape[1]),
        arrays={"weight": table.astype(np.float32)},
        hint=use.name_of(0),
    )
    order = tokens.index[..., None] * table.shape[1] + np.arange(table.shape[1])
    return [View(made, order)]


def recurrent(use: Use) -> list[Value | None]:
    """LSTM and GRU from a state of zeros, step by step, forward."""
    kind = use.operator.lower()
    _check(use, kind)
    view = settled(use.view(0))
    source = view.source
    if source.layout != "sequence" or len(view.shape) != 3:
        raise Refusal("values that are no sequence")
    if not np.array_equal(view.index.swapaxes(0, 1), View(source).index):
        raise Refusal("steps that are not along the first axis and in order")
    hidden = use.needed(2).shape[-1]
    arrays = _arrays(use, kind, hidden)
    shape = (source.shape[0], hidden)
    made = source.after(kind, shape=shape, arrays=arrays, hint=use.name_of(1))
    order = View(made).index.swapaxes(0, 1)[:, None]  # (steps, directions, examples, features)
    if any(use.outputs[2:]):
        raise Refusal("the last state of its cells as an output")
    return [View(made, order), View(made, order[-1]), None]


def _check(use: Use, kind: str) -> None:
    attributes = use.attributes
    if attributes.get("direction", b"forward") != b"forward":
        raise Refusal(f"direction {attributes['direction'].decode()}")
    if attributes.get("activations", ACTIVATIONS[kind]) != ACTIVATIONS[kind]:
        raise Refusal("activations other than sigmoid and tanh")
    if kind == "gru" and not attributes.get("linear_before_reset", 0):
        raise Refusal("linear_before_reset 0")
    for name in ("clip", "input_forget", "layout"):
        if attributes.get(name, 0):
            raise Refusal(f"{name} {attributes[name]}")
    _check_states(use)


def _check_states(use: Use) -> None:
    lengths = use.constant(4)
    if lengths is not None and (lengths != use.view(0).shape[0]).any():
        raise Refusal("sequences of different lengths")
    for i, what in ((5, "an initial state"), (6, "an initial state"), (7, "peepholes")):
        array = use.constant(i)
        if array is not None and array.any():
            raise Refusal(what)


def _arrays(use: Use, kind: str, hidden: int) -> dict[str, Array]:
    def ordered(array: Array) -> Array:
        gates = array.reshape(-1, hidden, *array.shape[1:])[list(GATES[kind])]
        return gates.reshape(array.shape).astype(np.float32)

    arrays = {"weight_ih": ordered(use.needed(1)[0]), "weight_hh": ordered(use.needed(2)[0])}
    bias = use.constant(3)
    if bias is not None:
        arrays["bias_ih"], arrays["bias_hh"] = (ordered(half) for half in np.split(bias[0], 2))
    return arrays
