"""The neural network as a graph: what feeds what, checked, with sizes."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from crossmesh.tiles.analog.convolution import Window
from crossmesh.tiles.analog.tile_config import TileConfig
from crossmesh.tiles.digital import Digital, Function, Learned
from crossmesh.tiles.runtime.program import Take, Value

INPUT = "input"


def of_node(
    node: str,
    start: int,
    stop: int,
    *,
    at: int = 0,
    positions: tuple[int, int] | None = None,
    at_position: int = 0,
) -> Take:
    """An input of a node: columns of another node's value, and where they go; see ``Take``."""
    return Take(Value("x", node), start, stop, at, positions, at_position)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Shape of a value per example: flat, a sequence, an image, or an array of more axes.

    Attributes:
        features: Values of a flat vector, channels of an image, features of a step.
        image: Height and width, if it is one.
        steps: Steps, if it is a sequence.
        volume: Sizes of three or more axes before the features, if it has so many.
    """

    features: int
    image: tuple[int, int] | None = None
    steps: int | None = None
    volume: tuple[int, ...] | None = None

    @classmethod
    def of(cls, axes: Sequence[int]) -> "Shape":
        """The shape of an array whose last axis is that of the features."""
        *outer, features = axes
        if len(outer) > 2:
            return cls(features=features, volume=tuple(outer))
        if len(outer) == 2:
            return cls(features=features, image=(outer[0], outer[1]))
        return cls(features=features, steps=outer[0] if outer else None)

    @property
    def axes(self) -> tuple[int, ...]:
        """Sizes of all axes, in the order in which numbers lie: features last."""
        steps = () if self.steps is None else (self.steps,)
        return (*(self.volume or self.image or steps), self.features)

    @property
    def positions(self) -> int:
        """Vectors per example."""
        return math.prod(self.axes[:-1])

    @property
    def is_flat(self) -> bool:
        """Whether it is one vector."""
        return len(self.axes) == 1

    def with_features(self, features: int) -> "Shape":
        """A copy with another number of features."""
        return replace(self, features=features)

    def __str__(self) -> str:
        if self.image:
            return f"an image of {self.features} x {self.image[0]} x {self.image[1]}"
        if self.steps:
            return f"a sequence of {self.steps} x {self.features}"
        if self.volume:
            return f"an array of {' x '.join(map(str, self.axes))}"
        return f"a vector of {self.features}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """Weights that are multiplied with vectors: on tiles, or in digital memory.

    Attributes:
        name: Unique name.
        inputs: Rows, that of the bias not counted.
        outputs: Bit lines.
        bias: Whether a last row is a bias.
        vectors: Vectors per example that drive it forward.
        bound: Largest initial weight.
        holder: Configuration of its tiles, or ``Digital.MATRIX`` in digital memory.
        frozen: Whether it stays as it is.
        replicas: Copies that share the vectors.
    """

    name: str
    inputs: int
    outputs: int
    bias: bool
    vectors: int
    bound: float
    holder: TileConfig | Digital
    frozen: bool = False
    replicas: int = 1

    @property
    def digital(self) -> bool:
        """Whether it lies in digital memory."""
        return isinstance(self.holder, Digital)

    @property
    def tile(self) -> TileConfig:
        """What its tiles are, of one that lies on tiles."""
        assert isinstance(self.holder, TileConfig)
        return self.holder

    @property
    def rows(self) -> int:
        """Rows, with that of the bias, wherever it lies."""
        return self.inputs + self.bias

    @property
    def has_digital_bias(self) -> bool:
        """Whether the bias lies in digital memory while the weights lie on tiles."""
        return self.bias and not self.digital and self.tile.bias == "digital"

    @property
    def lines(self) -> int:
        """Word lines, with that of the bias if it has one."""
        return self.rows - self.has_digital_bias


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node of the graph: the input, a product, a function, or a join of what it takes.

    Attributes:
        name: Unique name.
        inputs: Its inputs: columns of other nodes' values.
        shape: Shape of its value.
        group: Nodes of one group share a stage of the pipeline.
        matrix: Name of the matrix that it drives, of a product.
        window: Kernel size, stride and padding of a convolution.
        offset: Vectors of an example that the matrix has seen before this node's.
        function: The digital function that it computes, if any.
        frozen: Whether the parameters of its function stay as they are.
    """

    name: str
    inputs: tuple[Take, ...]
    shape: Shape
    group: str
    matrix: str | None = None
    window: Window | None = None
    offset: int = 0
    function: Function | None = None
    frozen: bool = False

    @property
    def width(self) -> int:
        """Columns of its value."""
        return self.shape.features

    @property
    def positions(self) -> int:
        """Vectors per example of its value."""
        return self.shape.positions

    @property
    def is_join(self) -> bool:
        """Whether it only adds and arranges."""
        return self.matrix is None and self.function is None and bool(self.inputs)

    @property
    def learned(self) -> Learned | None:
        """Its function, if it has parameters of its own."""
        return self.function if isinstance(self.function, Learned) else None


@dataclass(frozen=True)
class Network:
    """Nodes in an order in which each comes after what feeds it; the last one is the output."""

    nodes: tuple[Node, ...]
    matrices: dict[str, Matrix]

    @cached_property
    def by_name(self) -> dict[str, Node]:
        """Nodes by name."""
        return {node.name: node for node in self.nodes}

    @cached_property
    def consumers(self) -> dict[str, tuple[tuple[Node, int], ...]]:
        """The nodes that each node feeds, with the number of the input that it feeds."""
        fed: dict[str, list[tuple[Node, int]]] = {node.name: [] for node in self.nodes}
        for node in self.nodes:
            for index, port in enumerate(node.inputs):
                fed[port.node].append((node, index))
        return {name: tuple(nodes) for name, nodes in fed.items()}

    @cached_property
    def stage(self) -> dict[str, int]:
        """Pipeline stage of each node: layers on tiles before it on its longest way."""
        of_group: dict[str, int] = {}
        for group, members in self._groups.items():
            names = {node.name for node in members}
            before = [
                of_group[self.by_name[port.node].group]
                for node in members
                for port in node.inputs
                if port.node not in names
            ]
            of_group[group] = max(before, default=-1) + self._is_on_tiles(members)
        return {node.name: max(of_group[node.group], 0) for node in self.nodes}

    @cached_property
    def _groups(self) -> dict[str, list[Node]]:
        groups: dict[str, list[Node]] = {}
        for node in self.nodes:
            groups.setdefault(node.group, []).append(node)
        return groups

    def _is_on_tiles(self, nodes: Iterable[Node]) -> bool:
        return any(node.matrix and not self.matrices[node.matrix].digital for node in nodes)

    @cached_property
    def changes(self) -> dict[str, bool]:
        """Whether a node has weights or numbers that training changes."""
        return {
            node.name: (
                not self.matrices[node.matrix].frozen
                if node.matrix
                else node.learned is not None and not node.frozen
            )
            for node in self.nodes
        }

    @cached_property
    def learns(self) -> dict[str, bool]:
        """Whether an error at a node reaches any weights."""
        answer: dict[str, bool] = {}
        for node in self.nodes:
            passes = node.function is None or node.function.passes_errors
            behind = passes and any(answer[port.node] for port in node.inputs)
            answer[node.name] = self.changes[node.name] or behind
        return answer

    @cached_property
    def home_input(self) -> dict[str, str]:
        """The input of each node beside which digital units compute it: the latest stage's."""
        return {
            node.name: max(node.inputs, key=lambda port: self.stage[port.node]).node
            for node in self.nodes
            if node.inputs
        }

    @property
    def n_stages(self) -> int:
        """Stages of the pipeline."""
        return 1 + max(self.stage.values())

    @property
    def output(self) -> Node:
        """The node whose values the loss judges."""
        return self.nodes[-1]
