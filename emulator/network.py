"""The neural network as a graph: what feeds what, checked, with sizes."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from emulator.config import Function, Layer
from emulator.errors import ConfigError

INPUT = "input"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node of the graph.

    Attributes:
        name: Unique name.
        function: Activation function, or None for a linear layer and for the input.
        input: Name of the node that feeds it; empty for the input.
        width: Outputs.
        bias: Whether a linear layer has a bias line.
        is_linear: Whether it lies on tiles.
    """

    name: str
    function: str | None
    input: str
    width: int
    bias: bool = False
    is_linear: bool = False


@dataclass(frozen=True)
class Network:
    """Nodes in an order in which each comes after what feeds it; the last one is the output."""

    nodes: tuple[Node, ...]

    @cached_property
    def by_name(self) -> dict[str, Node]:
        """Nodes by name."""
        return {node.name: node for node in self.nodes}

    @cached_property
    def linear(self) -> tuple[Node, ...]:
        """The layers that lie on tiles."""
        return tuple(node for node in self.nodes if node.is_linear)

    @cached_property
    def consumers(self) -> dict[str, tuple[Node, ...]]:
        """The nodes that each node feeds."""
        fed: dict[str, list[Node]] = {node.name: [] for node in self.nodes}
        for node in self.nodes[1:]:
            fed[node.input].append(node)
        return {name: tuple(nodes) for name, nodes in fed.items()}

    @cached_property
    def stage(self) -> dict[str, int]:
        """Pipeline stage of each node: linear layers before it on its way from the input."""
        stages = {INPUT: -1}
        for node in self.nodes[1:]:
            stages[node.name] = stages[node.input] + node.is_linear
        return {name: max(stage, 0) for name, stage in stages.items()}

    @cached_property
    def learns(self) -> dict[str, bool]:
        """Whether an error at a node reaches any weights."""
        answer = {INPUT: False}
        for node in self.nodes[1:]:
            answer[node.name] = node.is_linear or answer[node.input]
        return answer

    @property
    def n_stages(self) -> int:
        """Stages of the pipeline."""
        return 1 + max(self.stage.values())

    @property
    def output(self) -> Node:
        """The node whose values the loss judges."""
        return self.nodes[-1]


def build_network(
    layers: Sequence[Layer],
    n_inputs: int,
    n_outputs: int,
    loss: str,
    source: str,
    *,
    has_classes: bool,
) -> Network:
    """Turn the config's layers into a graph that fits its examples.

    Args:
        layers: The config's ``network``.
        n_inputs: Values of one example.
        n_outputs: Classes in the data, or values of one target.
        loss: The config's ``loss``.
        source: Name of the data, for messages.
        has_classes: Whether outputs stand for classes, of which the data may lack the last ones.

    Raises:
        ConfigError: If the layers do not make one graph from the input to one output, or do not
            fit the examples or the loss.
    """
    nodes = [Node(name=INPUT, function=None, input="", width=n_inputs)]
    ends = {INPUT: nodes[0]}  # what each layer sends on: a layer with an activation is two nodes
    for i, layer in enumerate(layers):
        name = layer.name or f"{layer.kind}{i}"
        if name in ends:
            raise ConfigError(f"network.{i}.name must be new, got {name}")
        feeder = layer.input or list(ends)[-1]
        if feeder not in ends:
            known = ", ".join(ends)
            raise ConfigError(
                f"network.{i}.input must be a layer before it ({known}), got {feeder}"
            )
        new = _nodes(layer, name, ends[feeder])
        nodes.extend(new)
        ends[name] = new[-1]
    network = Network(tuple(nodes))
    _check_ends(network, layers)
    last = f"network.{len(layers) - 1}"
    width, function = network.output.width, network.output.function or "identity"
    if width < n_outputs or (width > n_outputs and not has_classes):
        law = f"{'at least ' if has_classes else ''}{n_outputs} for the data {source}"
        raise ConfigError(f"{last}.outputs must be {law}, got {width}")
    if loss == "cross_entropy" and function != "softmax":
        law = "softmax for the loss cross_entropy"
        raise ConfigError(f"{last}.activation must be {law}, got {function}")
    return network


def _nodes(layer: Layer, name: str, fed_by: Node) -> list[Node]:
    if isinstance(layer, Function):
        return [Node(name=name, function=layer.kind, input=fed_by.name, width=fed_by.width)]
    linear = Node(
        name=name,
        function=None,
        input=fed_by.name,
        width=layer.outputs,
        bias=layer.bias,
        is_linear=True,
    )
    if layer.activation == "identity":
        return [linear]
    activation = f"{name}.{layer.activation}"
    return [
        linear,
        Node(name=activation, function=layer.activation, input=name, width=layer.outputs),
    ]


def _check_ends(network: Network, layers: Sequence[Layer]) -> None:
    for node in network.nodes[:-1]:
        if not network.consumers[node.name]:
            raise ConfigError(f"network must have one output, got {node.name} that feeds no layer")
    if not network.linear:
        raise ConfigError(f"network must have a linear layer, got {len(layers)} without")
