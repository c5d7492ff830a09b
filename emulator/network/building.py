"""From the layers of a config to the graph of a network that fits its examples."""

from collections.abc import Sequence

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.config.layers import EmbeddingLayer, Layer, MergeLayer, layer_name
from crossmesh.emulator.network.assembly import Assembly, LayerError, Settings
from crossmesh.emulator.network.graph import INPUT, Network, Node
from crossmesh.emulator.network.lowering import PARTS
from crossmesh.emulator.network.task import LearningTask
from crossmesh.tiles.digital import ACTIVATIONS, LOSSES

_KEEPING = frozenset({"dropout", "layer_norm", "add", *ACTIVATIONS})  # the shape of their input


def build_network(layers: Sequence[Layer], task: LearningTask, settings: Settings) -> Network:
    """Turn a config's layers into a graph that fits its examples.

    Raises:
        ConfigError: If the layers do not make one graph from the input to one output, or do not
            fit each other, the examples or the loss.
    """
    kinds = _kinds_fed(layers)
    assembly = Assembly(task, settings)
    shape = task.input_shape(kinds)
    ends = {INPUT: assembly.add(Node(name=INPUT, inputs=(), shape=shape, group=INPUT))}
    for i, layer in enumerate(layers):
        name = layer_name(layer, i)
        if name in ends:
            raise ConfigError(f"network.{i}.name must be unique, got {name}")
        fed = [_feeder(ends, feeder, i) for feeder in _inputs(layer) or [next(reversed(ends))]]
        if task.tokens is not None and ends[INPUT] in fed and not isinstance(layer, EmbeddingLayer):
            rule = f"must be embedding for the tokens of the data {task.source}"
            raise ConfigError(f"network.{i}.kind {rule}, got {layer.kind}")
        try:
            ends[name] = _lowered(assembly, layer, name, fed)
        except LayerError as error:
            place = f"network.{i}" + (f".{error.field}" if error.field else "")
            raise ConfigError(f"{place} {error.rule} (layer {name})") from None
        except ValueError as error:  # of a window or a function
            raise ConfigError(f"network.{i} (layer {name}): {error}") from None
    network = Network(tuple(assembly.nodes), assembly.matrices)
    _check_ends(network, layers)
    _check_output(network, task.fitted(network.output), f"network.{len(layers) - 1}")
    return network


def _lowered(assembly: Assembly, layer: Layer, name: str, fed: Sequence[Node]) -> Node:
    """The output of a layer; those of other packages know themselves how they are made."""
    if (lower := PARTS.get(type(layer))) is not None:
        return lower(assembly, layer, name, fed)
    assert not isinstance(layer, MergeLayer)
    node: Node = layer.lower(assembly, name, fed)
    return node


def _kinds_fed(layers: Sequence[Layer]) -> set[str]:
    """Kinds of the layers that the input feeds, itself or through layers that keep its shape."""
    alike, kinds, before = {INPUT}, set[str](), INPUT
    for i, layer in enumerate(layers):
        fed_by = _inputs(layer) or (before,)
        before = layer_name(layer, i)
        if alike & set(fed_by):
            kinds.add(layer.kind)
            if layer.kind in _KEEPING:
                alike.add(before)
    return kinds


def _inputs(layer: Layer) -> tuple[str, ...]:
    if isinstance(layer, MergeLayer):
        return layer.inputs
    return (layer.input,) if layer.input else ()


def _feeder(ends: dict[str, Node], name: str, i: int) -> Node:
    if name not in ends:
        known = ", ".join(ends)
        raise ConfigError(f"network.{i}.input must be a layer before it ({known}), got {name}")
    return ends[name]


def _check_ends(network: Network, layers: Sequence[Layer]) -> None:
    for node in network.nodes[:-1]:
        if not network.consumers[node.name]:
            raise ConfigError(
                f"network must have one output: layer {node.name} feeds no other layer"
            )
    if all(matrix.digital for matrix in network.matrices.values()):
        raise ConfigError(
            f"network must have a layer on tiles, got {len(layers)} layers without one"
        )


def _check_output(network: Network, task: LearningTask, last: str) -> None:
    output = network.output
    width, n_outputs = output.width, task.n_outputs
    if output.positions != task.targets:
        rule = f"one vector for each of the {task.targets} targets of an example"
        raise ConfigError(f"{last} must give {rule}, got {output.shape}")
    if width < n_outputs or (width > n_outputs and not task.has_classes):
        rule = f"{'at least ' if task.has_classes else ''}{n_outputs} for the data {task.source}"
        raise ConfigError(f"{last}.outputs must be {rule}, got {width}")
    behind = LOSSES[task.loss].behind
    if behind and output.function is not ACTIVATIONS[behind]:
        names = {function: name for name, function in ACTIVATIONS.items()}
        got = names.get(output.function, "identity") if output.function else "identity"
        raise ConfigError(f"{last}.activation must be {behind} for the loss {task.loss}, got {got}")
    if output.function is ACTIVATIONS["softmax"] and width == 1:
        raise ConfigError(
            f"{last}.outputs must be at least 2 for softmax, whose only output would always be 1, "
            "got 1; class numbers in the data must be of a whole-number type, and a yes or no may "
            "have one sigmoid output and the loss binary_cross_entropy"
        )
