"""From the layers of a config to the graph of a network that fits its examples."""

from collections.abc import Iterator, Sequence

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.config.layer import AnyLayer, layer_name
from crossmesh.emulator.config.layers import Layer
from crossmesh.emulator.network.assembly import Assembly, Settings
from crossmesh.emulator.network.bit_lines import check_lines
from crossmesh.emulator.network.graph import INPUT, Network, Node
from crossmesh.emulator.network.layer_error import LayerError
from crossmesh.emulator.network.lowering import PARTS
from crossmesh.emulator.network.task import LearningTask
from crossmesh.tiles.digital import ACTIVATIONS, Function


def build_network(
    layers: Sequence[Layer], task: LearningTask, settings: Settings, *, is_checked: bool = True
) -> Network:
    """Turn a config's layers into a graph that fits its examples.

    Args:
        layers: The layers.
        task: What is learnt.
        settings: Defaults of all layers.
        is_checked: Whether the network must fit targets and loss, and have a layer on tiles.

    Raises:
        ConfigError: If the layers do not make one graph from the input to one output, or do not
            fit each other, the examples or the loss.
    """
    assembly = Assembly(task, settings, PARTS)
    shape = task.input_shape({layer.takes for layer in _fed_by_input(layers)})
    ends = {INPUT: assembly.add(Node(name=INPUT, inputs=(), shape=shape, group=INPUT))}
    for i, layer in enumerate(layers):
        name = layer_name(layer, i)
        if name in ends:
            raise ConfigError(f"network.{i}.name must be unique, got {name}")
        before = next(reversed(ends))
        fed = [_feeder(ends, feeder or before, i) for feeder in layer.feeders]
        if task.tokens is not None and ends[INPUT] in fed and layer.takes != "tokens":
            rule = f"must be embedding for the tokens of the data {task.source}"
            raise ConfigError(f"network.{i}.kind {rule}, got {layer.kind}")
        try:
            ends[name] = layer.lower(assembly, name, fed)
            check_lines(layer, name, settings.tile, assembly.matrices.values())
        except ConfigError:  # of a setting of all layers
            raise
        except LayerError as error:
            place = f"network.{i}" + (f".{error.field}" if error.field else "")
            raise ConfigError(f"{place} {error.rule} (layer {name})") from None
        except ValueError as error:  # of a window or a function
            raise ConfigError(f"network.{i} (layer {name}): {error}") from None
    network = Network(tuple(assembly.nodes), assembly.matrices)
    if not is_checked:
        return network
    _check_ends(network, layers)
    _check_output(network, task.fitted(network.output), f"network.{len(layers) - 1}")
    return network


def _fed_by_input(layers: Sequence[Layer]) -> Iterator[AnyLayer]:
    """The layers that the input feeds, itself or through layers that keep its shape."""
    alike, before = {INPUT}, INPUT
    for i, layer in enumerate(layers):
        fed_by = {feeder or before for feeder in layer.feeders}
        before = layer_name(layer, i)
        if alike & fed_by:
            yield layer
            if layer.keeps_shape:
                alike.add(before)


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
    behind = task.loss.behind
    if behind and output.function is not ACTIVATIONS[behind]:
        got = _activation(output.function)
        rule = f"{behind} for the loss {task.loss.name}"
        raise ConfigError(f"{last}.activation must be {rule}, got {got}")
    if output.function is not None and output.function.sums_to_one and width == 1:
        function = _activation(output.function)
        raise ConfigError(
            f"{last}.outputs must be at least 2 for {function}, whose only output would always be "
            "1, got 1; class numbers in the data must be of a whole-number type, and a yes or no "
            "may have one sigmoid output and the loss binary_cross_entropy"
        )


def _activation(function: Function | None) -> str:
    """Name of the last function of a network."""
    if function is None:
        return "identity"
    return next((name for name, f in ACTIVATIONS.items() if f is function), type(function).__name__)
