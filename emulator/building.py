"""From the layers of a config to the graph of a network that fits its examples."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from emulator.errors import ConfigError
from emulator.layers import Embedding, Layer, Merge, Placed
from emulator.network import INPUT, Matrix, Network, Node, Port, Shape
from emulator.parts import PARTS, LayerError
from tiles.digital import ACTIVATIONS, LOSSES, Flatten, Function
from tiles.tile import TileConfig
from tiles.window import Window

_IMAGES = frozenset({"conv", "max_pool", "average_pool", "batch_norm", "global_pool"})
_KEEPING = frozenset({"dropout", "layer_norm", "add", *ACTIVATIONS})  # the shape of their input
_SEQUENCES = frozenset({"lstm", "gru", "attention", "position", "last"})


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is learnt, as far as a network must fit it.

    Attributes:
        source: Name of the data, for messages.
        shape: Shape of an example before it was flattened.
        n_outputs: Classes in the data, or values of one target.
        loss: Name of the loss.
        has_classes: Whether outputs stand for classes, of which the data may lack the last ones.
        tokens: Size of the vocabulary, where inputs are tokens.
        targets: Targets of an example, each with an output of its own.
        layout: Shape of an example as an imported network takes it, whose axes say what it is:
            features; steps and features; channels, height and width.
    """

    source: str
    shape: tuple[int, ...]
    n_outputs: int
    loss: str = "cross_entropy"
    has_classes: bool = True
    tokens: int | None = None
    targets: int = 1
    layout: tuple[int, ...] | None = None

    def fitted(self, output: Node) -> "Task":
        """The task as it is for a network with this output.

        Whole numbers are a class for each position of the output. Where it has one position,
        several are values; and one output with binary cross-entropy takes two classes as 0 and 1.
        """
        if self.has_classes and self.targets > 1 and output.positions == 1:
            return replace(self, has_classes=False, targets=1, n_outputs=self.targets)
        is_binary = self.loss == "binary_cross_entropy" and self.n_outputs <= 2
        if self.has_classes and self.targets == 1 and is_binary and output.width == 1:
            return replace(self, has_classes=False, n_outputs=1)
        return self

    def input_shape(self, kinds: set[str]) -> Shape:
        """How the network takes an example, from the kinds of layers that the input feeds."""
        n = 1
        for size in self.shape:
            n *= size
        if self.tokens is not None:
            return Shape(features=1, steps=n)
        if self.layout is not None and len(self.layout) > 1:
            *outer, first, last = self.layout
            if outer:
                return Shape(features=outer[0], image=(first, last))
            return Shape(features=last, steps=first)
        if kinds & _IMAGES and len(self.shape) in {2, 3}:
            channels = self.shape[0] if len(self.shape) == 3 else 1
            return Shape(features=channels, image=(self.shape[-2], self.shape[-1]))
        if kinds & _SEQUENCES and len(self.shape) == 2:
            return Shape(features=self.shape[1], steps=self.shape[0])
        return Shape(features=n)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What layers have unless they say otherwise.

    Attributes:
        tile: What tiles are.
        vectors_per_tile: Vectors of an example beyond which a layer's tiles are replicated.
    """

    tile: TileConfig = field(default_factory=TileConfig)
    vectors_per_tile: int | None = None


class Assembly:
    """A network under construction.

    Args:
        task: What is learnt.
        settings: What layers have unless they say otherwise.

    Attributes:
        task: The same.
        nodes: Nodes so far.
        matrices: Matrices so far, by name.
    """

    def __init__(self, task: Task, settings: Settings) -> None:
        self.task = task
        self.nodes: list[Node] = []
        self.matrices: dict[str, Matrix] = {}
        self._settings = settings

    def add(self, node: Node) -> Node:
        """Append a node."""
        self.nodes.append(node)
        return node

    def count(self, kind: type[Function]) -> int:
        """How many nodes compute a function of a kind."""
        return sum(isinstance(node.function, kind) for node in self.nodes)

    def join(self, name: str, ports: Sequence[Port], shape: Shape, group: str = "") -> Node:
        """A node that adds and arranges what its ports take."""
        return self.add(Node(name=name, inputs=tuple(ports), shape=shape, group=group or name))

    def function(
        self, name: str, fed: Node, function: Function, shape: Shape, group: str = ""
    ) -> Node:
        """A node that computes a function of one other."""
        return self.add(
            Node(
                name=name,
                inputs=(whole(fed),),
                shape=shape,
                group=group or name,
                function=function,
            )
        )

    def activation(self, layer_name: str, kind: str, fed: Node) -> Node:
        """The activation function behind a layer, if it has one."""
        if kind == "identity":
            return fed
        return self.function(f"{layer_name}.{kind}", fed, ACTIVATIONS[kind], fed.shape)

    def flat(self, name: str, fed: Node) -> Node:
        """An image as one vector; what else there is, as it is."""
        if fed.shape.image is None:
            return fed
        shape = Shape(features=fed.width * fed.positions)
        flatten = Flatten(positions=fed.positions, features=fed.width)
        return self.function(f"{name}.flatten", fed, flatten, shape)

    def matrix(self, layer: Placed, matrix: Matrix, *, is_split: bool = True) -> Matrix:
        """Add a matrix with the settings of a layer.

        Args:
            layer: The layer.
            matrix: The matrix, without those settings.
            is_split: Whether replicas can share its vectors.

        Raises:
            LayerError: If there are more replicas than vectors.
        """
        if layer.digital and layer.tile is not None:
            raise LayerError("tile", "must be left out of a layer in digital memory, got one")
        is_shared = is_split and not layer.digital
        most = matrix.vectors if is_shared else 1
        wanted = layer.replicas or 1
        if wanted > most:
            what = "the vectors of an example" if is_shared else "of such a layer"
            raise LayerError("replicas", f"must be at most {most}, {what}, got {wanted}")
        if layer.replicas is None and self._settings.vectors_per_tile is not None:
            wanted = -(-most // self._settings.vectors_per_tile)
        self.matrices[matrix.name] = replace(
            matrix,
            tile=layer.tile or self._settings.tile,
            digital=layer.digital,
            frozen=layer.frozen,
            replicas=wanted,
        )
        return self.matrices[matrix.name]

    def product(self, name: str, matrix: Matrix, fed: Node, group: str = "") -> Node:
        """A node that drives a matrix with every vector of another node."""
        shape = fed.shape.with_features(matrix.outputs)
        return self.add(
            Node(
                name=name,
                inputs=(whole(fed),),
                shape=shape,
                group=group or name,
                matrix=matrix.name,
            )
        )

    def convolution(self, name: str, matrix: Matrix, port: Port, window: Window) -> Node:
        """A node that drives a matrix with what a window shows of an image."""
        shape = Shape(features=matrix.outputs, image=(window.out_height, window.out_width))
        return self.add(
            Node(
                name=name,
                inputs=(port,),
                shape=shape,
                group=name.partition(".")[0],
                matrix=matrix.name,
                window=window,
            )
        )

    @property
    def tile(self) -> TileConfig:
        """What tiles are unless a layer says otherwise."""
        return self._settings.tile


def whole(node: Node) -> Port:
    """Everything of a node."""
    return Port(node.name, 0, node.width)


def build_network(layers: Sequence[Layer], task: Task, settings: Settings) -> Network:
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
        name = layer.name or f"{layer.kind}{i}"
        if name in ends:
            raise ConfigError(f"network.{i}.name must be new, got {name}")
        fed = [_feeder(ends, feeder, i) for feeder in _inputs(layer) or [next(reversed(ends))]]
        if task.tokens is not None and ends[INPUT] in fed and not isinstance(layer, Embedding):
            law = f"must be embedding for the tokens of the data {task.source}"
            raise ConfigError(f"network.{i}.kind {law}, got {layer.kind}")
        try:
            ends[name] = PARTS[type(layer)](assembly, layer, name, fed)
        except LayerError as error:
            place = f"network.{i}" + (f".{error.field}" if error.field else "")
            raise ConfigError(f"{place} {error.law} (layer {name})") from None
        except ValueError as error:  # of a window or a function
            raise ConfigError(f"network.{i} (layer {name}): {error}") from None
    network = Network(tuple(assembly.nodes), assembly.matrices)
    _check_ends(network, layers)
    _check_output(network, task.fitted(network.output), f"network.{len(layers) - 1}")
    return network


def _kinds_fed(layers: Sequence[Layer]) -> set[str]:
    """Kinds of the layers that the input feeds, itself or through layers that keep its shape."""
    alike, kinds, before = {INPUT}, set[str](), INPUT
    for i, layer in enumerate(layers):
        fed_by = _inputs(layer) or (before,)
        before = layer.name or f"{layer.kind}{i}"
        if alike & set(fed_by):
            kinds.add(layer.kind)
            if layer.kind in _KEEPING:
                alike.add(before)
    return kinds


def _inputs(layer: Layer) -> tuple[str, ...]:
    if isinstance(layer, Merge):
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
            raise ConfigError(f"network must have one output, got {node.name} that feeds no layer")
    if all(matrix.digital for matrix in network.matrices.values()):
        raise ConfigError(f"network must have a layer on tiles, got {len(layers)} without")


def _check_output(network: Network, task: Task, last: str) -> None:
    output = network.output
    width, n_outputs = output.width, task.n_outputs
    if output.positions != task.targets:
        law = f"one vector for each of the {task.targets} targets of an example"
        raise ConfigError(f"{last} must give {law}, got {output.shape}")
    if width < n_outputs or (width > n_outputs and not task.has_classes):
        law = f"{'at least ' if task.has_classes else ''}{n_outputs} for the data {task.source}"
        raise ConfigError(f"{last}.outputs must be {law}, got {width}")
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
