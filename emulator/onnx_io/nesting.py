"""ONNX operators that hold graphs: branches that are known, and loops whose lengths are."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from crossmesh.emulator.onnx_io.joining import concatenated
from crossmesh.emulator.onnx_io.moving import axis_of
from crossmesh.emulator.onnx_io.parts import taken
from crossmesh.emulator.onnx_io.sketch import Sketch
from crossmesh.emulator.onnx_io.values import Constant, Parts, Refusal, Value, View

MOST_TURNS = 10_000
NESTED = ("If", "Loop", "Scan")
# Outputs of a graph for its inputs; None: something in it is blocked.
Run = Callable[[Any, Sequence[Value | None]], list[Value | None] | None]
Outputs = list[Value | None] | None


def nested(sketch: Sketch, node: Any, inputs: Sequence[Value | None], run: Run) -> Outputs:
    """Outputs of an operator that holds graphs.

    Args:
        sketch: The network so far.
        node: The operator.
        inputs: Its inputs.
        run: What evaluates a graph.

    Raises:
        Refusal: If it is the input of the network that says which graph, or how often.
    """
    from onnx import helper

    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    if node.op_type == "If":
        condition = _known(inputs[0], "a condition that depends on the network's input")
        return run(attributes["then_branch" if condition.any() else "else_branch"], ())
    if node.op_type == "Loop":
        return _loop(sketch, attributes["body"], inputs, run)
    return _scan(sketch, attributes, inputs, run)


def _known(value: Value | None, otherwise: str) -> Any:
    if not isinstance(value, Constant):
        raise Refusal(otherwise)
    return value.array


def _loop(sketch: Sketch, body: Any, inputs: Sequence[Value | None], run: Run) -> Outputs:
    turns, goes_on, *carried = inputs
    how_often = "a loop whose length depends on the network's input"
    most = MOST_TURNS + 1 if turns is None else int(_known(turns, how_often).ravel()[0])
    condition: Value | None = Constant(np.array(True)) if goes_on is None else goes_on
    found: list[list[Value | None]] = []
    for turn in range(most):
        if not _known(condition, how_often).any():
            break
        if turn == MOST_TURNS:
            raise Refusal(f"a loop of more than {MOST_TURNS} turns")
        outputs = run(body, [Constant(np.array(turn, np.int64)), condition, *carried])
        if outputs is None:
            return None
        condition, carried = outputs[0], outputs[1 : 1 + len(carried)]
        found.append(outputs[1 + len(carried) :])
    return [*carried, *(_stacked(sketch, list(parts), 0) for parts in zip(*found, strict=True))]


def _scan(
    sketch: Sketch, attributes: dict[str, Any], inputs: Sequence[Value | None], run: Run
) -> Outputs:
    body, n = attributes["body"], int(attributes["num_scan_inputs"])
    states, given = list(inputs[:-n]), inputs[-n:]
    axes = attributes.get("scan_input_axes", [0] * n)
    backwards = attributes.get("scan_input_directions", [0] * n)
    fed = [_turns(sketch, *some) for some in zip(given, axes, backwards, strict=True)]
    found: list[list[Value | None]] = []
    for parts in zip(*fed, strict=True):
        outputs = run(body, [*states, *parts])
        if outputs is None:
            return None
        states, rest = outputs[: len(states)], outputs[len(states) :]
        found.append(rest)
    stacks = [list(parts) for parts in zip(*found, strict=True)]
    places = attributes.get("scan_output_axes", [0] * len(stacks))
    turned = attributes.get("scan_output_directions", [0] * len(stacks))
    return [
        *states,
        *(
            _stacked(sketch, parts[::-1] if is_turned else parts, int(axis))
            for parts, axis, is_turned in zip(stacks, places, turned, strict=True)
        ),
    ]


def _turns(sketch: Sketch, value: Value | None, axis: int, is_backwards: int) -> list[Value]:
    """What is at each place of an axis."""
    if isinstance(value, Constant):
        parts: list[Value] = [Constant(part) for part in np.moveaxis(value.array, axis, 0)]
    elif isinstance(value, View):
        at = axis_of(int(axis), value.rank)
        parts = [taken(sketch, value, at, [t], ()) for t in range(value.shape[at])]
    else:
        raise Refusal("a sequence of tensors")
    return parts[::-1] if is_backwards else parts


def _stacked(sketch: Sketch, parts: Sequence[Value | None], axis: int) -> Value:
    """Tensors of one shape along a new axis."""
    tensors: list[Constant | View] = []
    for part in parts:
        if part is None or isinstance(part, Parts):
            raise Refusal("a loop that gives something else than tensors")
        if isinstance(part, View):
            tensors.append(part.expanded([axis_of(axis, part.rank + 1)]))
        else:
            tensors.append(Constant(np.expand_dims(part.array, axis)))
    return concatenated(sketch, tensors, axis)
