"""A network under construction: nodes and matrices, added one by one."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from crossmesh.emulator.config.layers import TileLayer
from crossmesh.emulator.network.graph import Matrix, Node, Shape, of_node
from crossmesh.emulator.network.task import LearningTask
from crossmesh.tiles.analog.convolution import Window
from crossmesh.tiles.analog.tile import TileConfig
from crossmesh.tiles.digital import ACTIVATIONS, Digital, Flatten, Function
from crossmesh.tiles.runtime.program import Take


class LayerError(Exception):
    """A layer does not fit what feeds it.

    Args:
        field: The layer's field that could be otherwise; empty: its input.
        rule: What must be and what is.
    """

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(rule)
        self.field = field
        self.rule = rule


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

    def __init__(self, task: LearningTask, settings: Settings) -> None:
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

    def join(self, name: str, ports: Sequence[Take], shape: Shape, group: str = "") -> Node:
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

    def matrix(self, layer: TileLayer, matrix: Matrix, *, is_split: bool = True) -> Matrix:
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
            holder=Digital.MATRIX if layer.digital else layer.tile or self._settings.tile,
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

    def convolution(self, name: str, matrix: Matrix, port: Take, window: Window) -> Node:
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


def whole(node: Node) -> Take:
    """Everything of a node."""
    return of_node(node.name, 0, node.width)


def image_of(fed: Node) -> tuple[int, int]:
    """Height and width of a node that must be an image."""
    if fed.shape.image is None:
        raise LayerError("", f"must be fed an image, got {fed.shape}")
    return fed.shape.image


def steps_of(fed: Node) -> int:
    """Steps of a node that must be a sequence."""
    if fed.shape.steps is None:
        raise LayerError("", f"must be fed a sequence, got {fed.shape}")
    return fed.shape.steps


def matrix_of(layer: TileLayer, build: Assembly, name: str, fed: Node, outputs: int) -> Matrix:
    """The matrix of a layer that multiplies every vector of its input."""
    return Matrix(
        name=name,
        inputs=fed.width,
        outputs=outputs,
        bias=layer.has_bias,
        vectors=fed.positions,
        bound=float(fed.width**-0.5),
        holder=build.tile,
    )


def frozen_as(build: Assembly, node: Node, frozen: bool) -> Node:
    """The node, just added, with its parameters as they are."""
    build.nodes[-1] = replace(node, frozen=frozen)
    return build.nodes[-1]
