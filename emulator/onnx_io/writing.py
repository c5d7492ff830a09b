"""Networks to ONNX files, with their weights."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from crossmesh.common.errors import ConfigError
from crossmesh.common.version import VERSION
from crossmesh.emulator.config.layer import layer_name
from crossmesh.emulator.config.layers import Layer, kind_of_ours
from crossmesh.emulator.onnx_io.graph import Graph, Tensor
from crossmesh.emulator.onnx_io.values import Array
from crossmesh.emulator.onnx_io.weights import check
from crossmesh.emulator.onnx_io.written import WRITTEN, activation

OPSET = 20  # the first with GELU
IR_VERSION = 9  # what runtimes of that time read
INPUT, OUTPUT = "input", "output"
MOST_BYTES_IN_FILE = 2**30  # a file of 2 GiB cannot be read, so weights go beside it long before


def write_onnx(
    layers: Sequence[Layer],
    weights: Mapping[str, Array],
    input_shape: Sequence[int],
    path: Path | str,
    tokens: int | None = None,
    logits: bool = True,
) -> None:
    """Write a network and its weights; the axis of the examples is left open.

    Weights keep their published names, but for those of recurrent layers, whose gates ONNX has in
    another order. Tiles, replicas and what is frozen are not part of such a file.

    Args:
        layers: The network.
        weights: Published weights.
        input_shape: Shape of an example: (channels, height, width), (steps, features), (features)
            or, of tokens, (steps).
        path: The file.
        tokens: Size of the vocabulary, if the input is tokens.
        logits: Whether a softmax at the end is left out, as PyTorch's models have it.

    Raises:
        ConfigError: If the weights or the input do not fit the layers.
    """
    check(layers, weights)
    graph = Graph(weights)
    last = _write_layers(graph, layers, _input(input_shape, tokens), logits=logits)
    graph.node("Identity", [last], OUTPUT)
    _save(graph, last, _input(input_shape, tokens), Path(path))


def _input(shape: Sequence[int], tokens: int | None) -> Tensor:
    sizes = tuple(int(n) for n in shape)
    kinds = {1: "flat", 2: "sequence", 3: "image"}
    if tokens is not None and len(sizes) == 1:
        return Tensor(INPUT, "tokens", sizes)
    if tokens is not None or len(sizes) not in kinds:
        raise ConfigError(f"input_shape must be of vectors, sequences or images, got {sizes}")
    return Tensor(INPUT, kinds[len(sizes)], sizes)


def _write_layers(graph: Graph, layers: Sequence[Layer], source: Tensor, *, logits: bool) -> Tensor:
    ends = {INPUT: source}
    before = source
    for number, layer in enumerate(layers):
        name = layer_name(layer, number)
        feeders = [feeder or before.layer for feeder in layer.feeders]
        unknown = [feeder for feeder in feeders if feeder not in ends]
        if unknown:
            raise ConfigError(f"network.{number}.input must be a layer before it, got {unknown[0]}")
        fed = [ends[feeder] for feeder in feeders]
        is_left_out = logits and number == len(layers) - 1
        before = _write(graph, layer, name, fed, is_left_out=is_left_out)
        ends[name] = before
    return before


def _write(
    graph: Graph, layer: Layer, name: str, fed: Sequence[Tensor], *, is_left_out: bool
) -> Tensor:
    """One layer; at the end of the network perhaps without its softmax."""
    graph.layer = name
    if layer.has_own_graph:
        return _as_it_says(graph, layer, fed)
    of_ours = kind_of_ours(layer) or ""
    if of_ours == "softmax" and is_left_out:
        return fed[0].named(fed[0].value, name)
    try:
        made = WRITTEN[of_ours](graph, layer, fed)
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


def _save(graph: Graph, output: Tensor, source: Tensor, path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    kind = TensorProto.INT64 if source.layout == "tokens" else TensorProto.FLOAT
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "crossmesh",
            [helper.make_tensor_value_info(INPUT, kind, ["n", *source.shape])],
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
