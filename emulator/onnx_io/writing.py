"""Networks to ONNX files, with their weights."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from crossmesh.common.errors import ConfigError
from crossmesh.common.version import VERSION
from crossmesh.emulator.config.layer import layer_name, shared_by
from crossmesh.emulator.config.layers import Layer, kind_of_ours
from crossmesh.emulator.config.operators import OperatorLayer
from crossmesh.emulator.onnx_io.arrangement import NamedShape, OutputArrangement
from crossmesh.emulator.onnx_io.graph import Graph, NumberType, Tensor
from crossmesh.emulator.onnx_io.values import Array
from crossmesh.emulator.onnx_io.weights import check
from crossmesh.emulator.onnx_io.written import WRITTEN, activation

OPSET = 20  # the first with GELU
IR_VERSION = 9  # what runtimes of that time read
TYPES: dict[str, NumberType] = {"f": "float32", "i": "int64", "b": "bool"}
INPUT, OUTPUT = "input", "output"
MOST_BYTES_IN_FILE = 2**30  # a file of 2 GiB cannot be read, so weights go beside it long before


def write_onnx(  # noqa: PLR0913  because they describe one file
    layers: Sequence[Layer],
    weights: Mapping[str, Array],
    input_shape: Sequence[int],
    path: Path | str,
    tokens: int | None = None,
    *,
    logits: bool = True,
    channels_first: bool = True,
    arrangement: OutputArrangement | None = None,
    inputs: Sequence[NamedShape] = (),
) -> None:
    """Write a network and its weights; the axis of the examples is left open.

    Weights keep their published names, but for those of recurrent layers, whose gates ONNX has in
    another order. Tiles, replicas and what is frozen are not part of such a file.

    Args:
        layers: The network.
        weights: Published weights.
        input_shape: Shape of an example: (features), (steps, features), an image or more axes; of
            tokens, (steps).
        path: The file.
        tokens: Size of the vocabulary, if the input is tokens.
        logits: Whether a softmax at the end is left out, as PyTorch's models have it.
        channels_first: Whether an image of three axes is (channels, height, width); else its
            features are the last axis.
        arrangement: How the output is made of what the network gives; by default as it is, an image
            with its channels first.
        inputs: Several inputs, whose numbers follow each other in an example; else it has one.

    Raises:
        ConfigError: If the weights or the input do not fit the layers.
    """
    check(layers, weights)
    graph = Graph(weights)
    graph.layer = INPUT
    source: _Single | _Row = (
        _Row(graph, inputs)
        if len(inputs) > 1
        else _Single(_input(graph, input_shape, tokens, channels_first=channels_first))
    )
    last = _write_layers(graph, layers, source, logits=logits)
    graph.layer = OUTPUT
    last = _arranged(graph, graph.typed(last, "float32"), arrangement)
    graph.node("Identity", [last], OUTPUT)
    _save(graph, last, Path(path))


def _input(
    graph: Graph, shape: Sequence[int], tokens: int | None, *, channels_first: bool
) -> Tensor:
    sizes = tuple(int(n) for n in shape)
    if not sizes or (tokens is not None and len(sizes) > 1):
        raise ConfigError(f"input_shape must be (steps) of tokens, or of numbers, got {sizes}")
    if tokens is not None:
        return Tensor(graph.input(INPUT, sizes, "int64"), sizes, dtype="int64", is_tokens=True)
    is_image = channels_first and len(sizes) == 3
    return Tensor(graph.input(INPUT, sizes, "float32"), sizes, channels_first=is_image)


class _Single:
    """The input of a network.

    Args:
        x: The tensor.
    """

    def __init__(self, x: Tensor) -> None:
        self._x = x

    def whole(self) -> Tensor:
        """What layers take."""
        return self._x

    def part(self, layer: Layer) -> Tensor | None:
        """What a layer takes of the input, if that is an input by itself."""
        return None


class _Row:
    """Several inputs, whose numbers follow each other in an example.

    Args:
        graph: The graph, to which they are added.
        inputs: The inputs.
    """

    def __init__(self, graph: Graph, inputs: Sequence[NamedShape]) -> None:
        self._graph, self._parts = graph, {}
        start = 0
        for one in inputs:
            stop = start + math.prod(one.shape)
            self._parts[start, stop] = self._flat(one, stop - start)
            start = stop

    def _flat(self, one: NamedShape, n: int) -> Tensor:
        """An input as a vector."""
        graph, at = self._graph, one.at or 0
        value = graph.input(one.name, one.shape, TYPES[one.kind], at)
        if at:
            axes = range(len(one.shape) + 1)
            value = graph.node("Transpose", [value], perm=[at, *(i for i in axes if i != at)])
        return graph.reshaped(Tensor(value, one.shape, dtype=TYPES[one.kind]), (n,))

    def whole(self) -> Tensor:
        """All numbers."""
        graph = self._graph
        parts = [graph.typed(part, "float32") for part in self._parts.values()]
        n = sum(part.n_features for part in parts)
        return Tensor(graph.node("Concat", parts, axis=1), (n,))

    def part(self, layer: Layer) -> Tensor | None:
        """The input that a layer takes out of all numbers, if it does nothing else."""
        if not isinstance(layer, OperatorLayer) or layer.operator != "slice" or layer.operands:
            return None
        settings = layer.settings
        if settings.get("step", 1) != 1 or layer.axes is not None:
            return None
        return self._parts.get((settings["start"], settings["stop"]))  # type: ignore[arg-type]  # whole numbers


def _arranged(graph: Graph, last: Tensor, arrangement: OutputArrangement | None) -> Tensor:
    """What the network gives, as an output."""
    if arrangement is None:
        return graph.channels_first(last) if len(last.shape) == 3 else last
    lying = graph.reshaped(graph.lying(last), arrangement.sizes)
    return graph.reshaped(graph.transposed(lying, arrangement.order), arrangement.shape)


def _write_layers(
    graph: Graph, layers: Sequence[Layer], source: _Single | _Row, *, logits: bool
) -> Tensor:
    ends: dict[str, Tensor] = {}
    before = INPUT
    for number, layer in enumerate(layers):
        name = layer_name(layer, number)
        feeders = [feeder or before for feeder in layer.feeders]
        unknown = [feeder for feeder in feeders if feeder not in {INPUT, *ends}]
        if unknown:
            raise ConfigError(f"network.{number}.input must be a layer before it, got {unknown[0]}")
        before = name
        part = source.part(layer) if feeders == [INPUT] else None
        if part is not None:
            ends[name] = part.named(part.value, name)
            continue
        if INPUT in feeders and INPUT not in ends:
            ends[INPUT] = source.whole()
        is_left_out = logits and number == len(layers) - 1
        fed = [ends[feeder] for feeder in feeders]
        ends[name] = _write(graph, layer, name, fed, is_left_out=is_left_out)
    return ends[before]


def _write(
    graph: Graph, layer: Layer, name: str, fed: Sequence[Tensor], *, is_left_out: bool
) -> Tensor:
    """One layer; at the end of the network perhaps without its softmax."""
    graph.layer = name
    graph.owner = shared_by(layer) or name
    if layer.has_own_graph:
        return _as_it_says(graph, layer, fed)
    of_ours = kind_of_ours(layer) or ""
    if of_ours == "softmax" and is_left_out:
        return fed[0].named(fed[0].value, name)
    if of_ours != "operator":
        fed = [x if x.is_tokens else graph.typed(x, "float32") for x in fed]
    try:
        made = WRITTEN[of_ours](graph, layer, fed)
    except ConfigError:
        raise
    except (LookupError, ValueError):
        got = fed[0].layout
        raise ConfigError(f"layer {name} must have an input it can process, got {got}") from None
    kind = getattr(layer, "activation", "identity")
    if kind == "identity" or (kind == "softmax" and is_left_out):
        return made
    return activation(graph, kind, made)


def _as_it_says(graph: Graph, layer: Layer, fed: Sequence[Tensor]) -> Tensor:
    """A layer that is built in a way of its own."""
    made: Tensor | None = layer.to_onnx(graph, fed)
    if made is None:
        raise ConfigError(
            f"layers of kind {layer.kind} cannot be written as ONNX, without a method to_onnx "
            f"(layer {graph.layer})"
        )
    return made


def _save(graph: Graph, output: Tensor, path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "crossmesh",
            graph.inputs,
            [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["n", *output.shape])],
            graph.initializers,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="crossmesh",
        producer_version=VERSION,
    )
    settings: dict[str, Any] = {}
    if model.ByteSize() > MOST_BYTES_IN_FILE:
        settings = {"save_as_external_data": True, "location": f"{path.name}.data"}
    else:
        _check_model(model)
    onnx.save_model(model, path, **settings)
    if settings:
        _check_model(str(path))


def _check_model(model: Any) -> None:
    from onnx import checker, shape_inference

    try:
        checker.check_model(model, full_check=True)
    except (checker.ValidationError, shape_inference.InferenceError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(f"network must have layers that fit each other, got {reason}") from None
