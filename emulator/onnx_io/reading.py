"""Networks from ONNX files, with their weights."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.config.layers import Layer
from crossmesh.emulator.onnx_io.arrangement import NamedShape, OutputArrangement
from crossmesh.emulator.onnx_io.assembling import assembled
from crossmesh.emulator.onnx_io.evaluating import Evaluation, names_needed
from crossmesh.emulator.onnx_io.inputs import Shapes, Taken, ways
from crossmesh.emulator.onnx_io.laying import arranged, laid_out, with_features
from crossmesh.emulator.onnx_io.opening import FIELD, Opened, load
from crossmesh.emulator.onnx_io.operating import as_view
from crossmesh.emulator.onnx_io.pointwise import mapped
from crossmesh.emulator.onnx_io.sketch import INPUT, Sketch
from crossmesh.emulator.onnx_io.values import (
    EXAMPLES,
    Array,
    Axes,
    Constant,
    Refusal,
    View,
    view_of,
)
from crossmesh.emulator.onnx_io.weights import held_names

ENDS = ("softmax", "sigmoid", "relu", "gelu", "tanh")  # of a network that gives no logits


@dataclass(frozen=True, kw_only=True)
class ImportedNetwork:
    """A network as a config has it, and its weights.

    Attributes:
        layers: The layers, every one with a name.
        weights: Published weights, as ``crossmesh.emulator.onnx_io.weights`` names them.
        input_shape: Shape of an example: of the only input, or all numbers of several.
        channels_first: Whether the network takes an image whose channels the data have first.
        tokens: Size of the vocabulary, if the input is tokens.
        inputs: The inputs of the file, whose numbers follow each other in an example.
        output: The output.
        arrangement: How the output is made of what the network gives.
    """

    layers: list[Layer]
    weights: dict[str, Array]
    input_shape: tuple[int, ...]
    channels_first: bool = False
    tokens: int | None = None
    inputs: tuple[NamedShape, ...] = ()
    output: NamedShape
    arrangement: OutputArrangement


def read_onnx(  # noqa: PLR0913  because files leave so much open
    path: Path | str,
    *,
    softmax: bool = True,
    flat: bool = False,
    input_shape: Shapes | None = None,
    constants: Mapping[str, Any] | None = None,
    output: str | None = None,
    trained: frozenset[str] | None = None,
) -> ImportedNetwork:
    """Read a network and its weights; nothing in the file is executed.

    Args:
        path: The ONNX file; data that it keeps elsewhere must lie in its folder.
        softmax: Whether a softmax is put behind a network that ends in logits.
        flat: Whether the output is one vector, in the order of the file, whatever its axes.
        input_shape: Shape of an example, where the file leaves it open; of several inputs by name.
            A shape with an ``n`` is that of the file's tensor, whose axis of the examples it is.
        constants: Inputs that are the same for all examples, by name.
        output: Name of the output, of a file with several.
        trained: Names of the parameters that training changes; None: inferred from their use.

    Raises:
        ConfigError: If it is no ONNX file, or uses operators that nothing can compute.
    """
    opened = load(Path(path))
    graph = opened.model.graph
    wanted = _wanted_output(graph, output)
    needed = names_needed(graph.node, {wanted})
    refusals = []
    for taken in ways(graph, needed, input_shape, constants or {}):
        try:
            return _read(opened, wanted, taken, trained, softmax=softmax, flat=flat)
        except ConfigError as refusal:
            refusals.append(refusal)
    raise refusals[0]


def _read(
    opened: Opened,
    wanted: str,
    taken: Taken,
    trained: frozenset[str] | None,
    *,
    softmax: bool,
    flat: bool,
) -> ImportedNetwork:
    sketch, value = _sketched(opened, wanted, taken, trained)
    if sketch.counts_examples and taken.is_open:  # what follows from their number must not matter
        before = sketch.fingerprint()
        del sketch, value
        other = replace(taken, n=taken.n + 1)
        sketch, value = _sketched(opened, wanted, other, trained)
        if sketch.fingerprint() != before:
            rule = "compute the same whatever the number of examples"
            raise ConfigError(f"{FIELD} must {rule}, got numbers that follow from it")
    try:
        view, last = _finished(sketch, value, taken, softmax=softmax)
        if flat and not softmax:
            view = _flat(sketch, view)
            last = view.made
    except Refusal as refusal:
        raise ConfigError(f"{FIELD} must have an output of examples, got {refusal}") from None
    made = assembled(sketch, last)
    if taken.has_tokens and not _are_tokens(sketch, made.layers):
        raise ConfigError(f"{FIELD} must take the rows of tables alone from its tokens, got more")
    held = held_names(made.layers)
    for name, array in made.weights.items():
        if not np.isfinite(array).all() and (name not in held or np.isnan(array).any()):
            raise ConfigError(f"{FIELD} must have finite weights, got others in {name}")
    arrangement = _arrangement(view, value.shape, is_one=taken.inputs[0].at is None)
    return ImportedNetwork(
        layers=made.layers,
        weights=made.weights,
        input_shape=taken.shape,
        channels_first=made.channels_first,
        tokens=_tokens(made.layers, made.weights) if taken.has_tokens else None,
        inputs=taken.inputs,
        output=NamedShape(name=wanted, shape=arrangement.shape, at=_examples_of(value, taken)),
        arrangement=arrangement,
    )


def _sketched(
    opened: Opened, wanted: str, taken: Taken, trained: frozenset[str] | None
) -> tuple[Sketch, View]:
    """The steps of a network, and the output."""
    axes = (*taken.shape, 1) if taken.has_tokens else taken.shape
    sketch = Sketch(taken.n, axes, trained, tokens=taken.has_tokens)
    value = Evaluation(opened, sketch, wanted).run(taken.fed(sketch)).get(wanted)
    if isinstance(value, Constant) and taken.n == 1 and value.array.size:
        value = as_view(sketch, value, view_of(INPUT, sketch.n, (sketch.n, *taken.shape)))
    if not isinstance(value, View):
        raise ConfigError(f"{FIELD} must have an output that depends on its input, got {wanted}")
    return sketch, value


def _wanted_output(graph: Any, wanted: str | None) -> str:
    names = [entry.name for entry in graph.output]
    if wanted is None and len(names) > 1:
        rule = f"have one output, or be given network.output ({', '.join(names)})"
        raise ConfigError(f"{FIELD} must {rule}, got none")
    if wanted is not None and wanted not in names:
        raise ConfigError(f"network.output must be one of {', '.join(names)}, got {wanted}")
    return wanted or str(names[0])


def _finished(sketch: Sketch, view: View, taken: Taken, *, softmax: bool) -> tuple[View, str]:
    """The output as the last layer gives it, perhaps with a softmax behind logits."""
    _check_examples(view, taken)
    if view.made == INPUT:
        view = mapped(sketch, view, "identity", kind=view.kind)
    logits = _without_softmax(sketch, view) if softmax else view
    view, has_ended = logits, logits is view and sketch.steps[view.made].kind in ENDS
    axis = _classes(view) if softmax else None
    if axis is not None and len(view.axes[axis]) == 1:
        view = with_features(sketch, view, [axis], flat=True)
    elif not view.is_laid_out or _is_cut(sketch, view):
        view = laid_out(sketch, view)
    if not softmax or has_ended:
        return view, view.made
    hint = f"softmax{len(sketch.steps) - 1}"
    return view, sketch.add("softmax", [view.made], sketch.steps[view.made].axes, hint=hint)


def _flat(sketch: Sketch, view: View) -> View:
    """The output as one vector, in the order of the tensor."""
    laid = laid_out(sketch, view)
    return arranged(sketch, laid, range(len(laid.sizes)), [math.prod(laid.sizes)])


def _check_examples(view: View, taken: Taken) -> None:
    """Refuse an output whose examples do not follow each other as those of the file do."""
    is_moved = not taken.is_open and view.batch not in {None, taken.inputs[0].at}
    is_within = not view.is_plain and (view.batch != 0 or view.axes[0][0] != EXAMPLES)
    if is_moved or is_within:
        raise Refusal("another axis before that of the examples")


def _without_softmax(sketch: Sketch, view: View) -> View:
    """The logits behind a softmax of the classes that is no layer of ours, or its logarithm."""
    step, axis = sketch.steps[view.made], _classes(view)
    if axis is None or step.settings.get("operator") not in {"softmax", "log_softmax"}:
        return view
    seen = step.settings.get("operands", [{}])[0]
    is_there = "order" not in seen and seen.get("sizes", step.axes) == view.sizes
    if not is_there or view.axes[axis] != (step.settings["settings"]["axis"],):
        return view
    return replace(view, made=step.inputs[0])


def _classes(view: View) -> int | None:
    """The axis of the classes: the last, or that of channels where places lie behind them."""
    if view.rank < 2:
        return None
    axis = 1 if view.rank > 3 else view.rank - 1
    return axis if view.axes[axis] and EXAMPLES not in view.axes[axis] else None


def _is_cut(sketch: Sketch, view: View) -> bool:
    """Whether features of the last layer are not the last axis of the output."""
    last = view.shape[-1] if view.rank > 1 else 1
    return sketch.steps[view.made].axes[-1] != last


def _arrangement(view: View, shape: Axes, *, is_one: bool) -> OutputArrangement:
    order = tuple(part for part in view.order if part != EXAMPLES)
    inner = list(shape)
    if view.batch is not None:
        inner[view.batch] //= view.n
        if view.is_plain:
            inner.pop(view.batch)
    elif inner and inner[0] == 1 and not is_one:
        inner.pop(0)
    return OutputArrangement(sizes=view.sizes or (1,), order=order or (0,), shape=tuple(inner))


def _are_tokens(sketch: Sketch, layers: Sequence[Layer]) -> bool:
    """Whether the input is the tokens of embeddings, and nothing else."""
    steps = [sketch.steps[layer.name or ""] for layer in layers if layer.name in sketch.steps]
    return all(step.kind == "embedding" for step in steps if INPUT in step.inputs)


def _examples_of(value: View, taken: Taken) -> int | None:
    """The axis of the examples in the file's output; None: it is all of one."""
    if taken.inputs[0].at is None:
        return None
    return 0 if value.batch is None else value.batch


def _tokens(layers: Sequence[Layer], weights: dict[str, Array]) -> int | None:
    sizes = {len(weights[f"{layer.name}.weight"]) for layer in layers if layer.kind == "embedding"}
    if len(sizes) > 1:
        raise ConfigError(f"{FIELD} must have one size of vocabulary, got {sorted(sizes)}")
    return sizes.pop() if sizes else None
