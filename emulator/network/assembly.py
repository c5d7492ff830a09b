"""A network under construction: nodes and matrices, added one by one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from crossmesh.emulator.config.layer import AnyLayer, TileLayer, shared_by
from crossmesh.emulator.config.layers import kind_of_ours
from crossmesh.emulator.network.bit_lines import with_own_lines
from crossmesh.emulator.network.graph import Matrix, Node, Shape, of_node
from crossmesh.emulator.network.layer_error import LayerError
from crossmesh.emulator.network.task import LearningTask
from crossmesh.emulator.network.trained_tiles import trained_tile
from crossmesh.tiles.analog.algorithms import Algorithm, Sgd
from crossmesh.tiles.analog.convolution import Window
from crossmesh.tiles.analog.tile_config import TileConfig
from crossmesh.tiles.digital import ACTIVATIONS, Digital, Flatten, Function
from crossmesh.tiles.runtime.program import Take


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Defaults of all layers.

    Attributes:
        tile: Configuration of the tiles.
        vectors_per_tile: Vectors of an example beyond which a layer's tiles are replicated.
        algorithm: How weights on tiles are trained.
        batch: Examples between two updates.
    """

    tile: TileConfig = field(default_factory=TileConfig)
    vectors_per_tile: int | None = None
    algorithm: Algorithm = field(default_factory=Sgd)
    batch: int = 1


class Assembly:
    """A network under construction, to which ``lower`` of each layer adds its nodes.

    Args:
        task: Shapes of inputs and targets, and the loss.
        settings: Defaults of all layers.
        parts: How each kind of layer of ours is built.

    Attributes:
        task: The task above.
        nodes: Nodes so far, each after those that feed it.
        matrices: Matrices so far, by name.
    """

    def __init__(
        self, task: LearningTask, settings: Settings, parts: Mapping[str, Callable[..., Node]]
    ) -> None:
        self.task = task
        self.nodes: list[Node] = []
        self.matrices: dict[str, Matrix] = {}
        self._settings, self._parts = settings, parts

    def lower(self, layer: AnyLayer, name: str, fed: Sequence[Node]) -> Node:
        """Add a layer as the kind of ours that it is.

        Raises:
            LayerError: If it is of no kind of ours.
        """
        kind = kind_of_ours(layer)
        if kind is None:
            rule = f"must be of a class with a method lower, got {layer.kind}"
            raise LayerError("kind", rule)
        return self._parts[kind](self, layer, name, fed)

    def add(self, node: Node) -> Node:
        """Append a node."""
        self.nodes.append(node)
        return node

    def count(self, kind: type[Function]) -> int:
        """Number of nodes so far whose function is of a class."""
        return sum(isinstance(node.function, kind) for node in self.nodes)

    def join(self, name: str, ports: Sequence[Take], shape: Shape, group: str = "") -> Node:
        """Add a node that sums, concatenates or slices values of other nodes.

        Args:
            name: Unique name of the node.
            ports: Its inputs, each with the columns where it goes; overlapping inputs are added.
            shape: Shape of its value per example.
            group: Nodes of one group share a pipeline stage; by default a group of its own.

        Returns:
            The node.
        """
        return self.add(Node(name=name, inputs=tuple(ports), shape=shape, group=group or name))

    def function(
        self, name: str, fed: Node | Sequence[Node], function: Function, shape: Shape,
        group: str = "",
    ) -> Node:  # fmt: skip
        """Add a node that computes a digital function of one other, or of several.

        Args:
            name: Unique name of the node.
            fed: The node that feeds it, or several.
            function: The function; if it is ``Learned``, its parameters belong to this node.
            shape: Shape of its value per example.
            group: Nodes of one group share a pipeline stage; by default a group of its own.

        Returns:
            The node.
        """
        every = (fed,) if isinstance(fed, Node) else fed
        return self.add(
            Node(
                name=name,
                inputs=tuple(map(whole, every)),
                shape=shape,
                group=group or name,
                function=function,
            )
        )

    def activation(self, layer_name: str, kind: str, fed: Node) -> Node:
        """Add the activation of a layer.

        Args:
            layer_name: Name of the layer.
            kind: Name of the activation in configs.
            fed: The node that feeds it.

        Returns:
            The new node, or ``fed`` if the activation is ``identity``.
        """
        if kind == "identity":
            return fed
        return self.function(f"{layer_name}.{kind}", fed, ACTIVATIONS[kind], fed.shape)

    def flat(self, name: str, fed: Node) -> Node:
        """Flatten an image of ``(channels, height, width)``; other values stay as they are."""
        if fed.shape.image is None:
            return fed
        shape = Shape(features=fed.width * fed.positions)
        flatten = Flatten(positions=fed.positions, features=fed.width)
        return self.function(f"{name}.flatten", fed, flatten, shape)

    def matrix(self, layer: TileLayer, matrix: Matrix, *, is_split: bool = True) -> Matrix:
        """Add a matrix with the settings of a layer, and return it with these.

        Args:
            layer: The layer.
            matrix: The matrix; holder, ``frozen`` and ``replicas`` are taken from the layer.
            is_split: Whether replicas can share its vectors.

        Raises:
            LayerError: If there are more replicas than vectors.
        """
        if (other := shared_by(layer)) is not None:
            return self._shared(other, matrix)
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
            holder=Digital.MATRIX if layer.digital else self._tile_of(layer, matrix),
            frozen=layer.frozen,
            replicas=wanted,
        )
        return self.matrices[matrix.name]

    def _shared(self, other: str, matrix: Matrix) -> Matrix:
        """The matrix of another layer, for as many vectors more.

        Raises:
            LayerError: If there is none, or if it is not alike.
        """
        _, dot, part = matrix.name.partition(".")
        shared = self.matrices.get(f"{other}{dot}{part}")
        if shared is None:
            raise LayerError("share", f"must be a layer before it of the same kind, got {other}")
        for what in ("inputs", "outputs", "bias"):
            wanted, got = getattr(shared, what), getattr(matrix, what)
            if wanted != got:
                raise LayerError("share", f"must have the {what} of {other} ({wanted}), got {got}")
        shared = replace(shared, vectors=shared.vectors + matrix.vectors)
        self.matrices[shared.name] = shared
        return shared

    def _tile_of(self, layer: TileLayer, matrix: Matrix) -> TileConfig:
        settings = self._settings
        tile = with_own_lines(layer.tile or settings.tile, matrix, self.matrices.values())
        return trained_tile(tile, layer, settings.algorithm, settings.batch)

    def product(self, name: str, matrix: Matrix, fed: Node, group: str = "") -> Node:
        """Add a node that multiplies every vector of another by a matrix, and return it.

        Args:
            name: Unique name of the node.
            matrix: The matrix, which must have been added.
            fed: The node that feeds it, of ``matrix.inputs`` features.
            group: Nodes of one group share a pipeline stage; by default a group of its own.
        """
        shape = fed.shape.with_features(matrix.outputs)
        return self.add(
            Node(
                name=name,
                inputs=(whole(fed),),
                shape=shape,
                group=group or name,
                matrix=matrix.name,
                offset=matrix.vectors - shape.positions,
            )
        )

    def convolution(self, name: str, matrix: Matrix, port: Take, window: Window) -> Node:
        """Add a node that convolves an image with the weights of a matrix.

        Args:
            name: Unique name of the node.
            matrix: The matrix, which must have been added; its rows are the values of a patch.
            port: The image, or the channels of it that are taken.
            window: Kernel size, stride, padding and dilation.

        Returns:
            The node, an image of ``matrix.outputs`` channels.
        """
        shape = Shape(features=matrix.outputs, image=(window.out_height, window.out_width))
        return self.add(
            Node(
                name=name,
                inputs=(port,),
                shape=shape,
                group=name.partition(".")[0],
                matrix=matrix.name,
                window=window,
                offset=matrix.vectors - shape.positions,
            )
        )

    @property
    def tile(self) -> TileConfig:
        """Configuration of the tiles of layers that have none of their own."""
        return self._settings.tile


def whole(node: Node) -> Take:
    """All features of all positions of a node, as an input of another."""
    return of_node(node.name, 0, node.width)


def matrix_of(layer: TileLayer, build: Assembly, name: str, fed: Node, outputs: int) -> Matrix:
    """The matrix of a layer that multiplies every vector of its input; not added yet.

    Args:
        layer: The layer, which says whether there is a bias.
        build: The network under construction.
        name: Unique name of the matrix.
        fed: The node that feeds the layer.
        outputs: Features of the product.

    Returns:
        The matrix; initial weights are uniform within ``1 / sqrt(inputs)``.
    """
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
    """The node that was added last, with its parameters frozen or not."""
    build.nodes[-1] = replace(node, frozen=frozen)
    return build.nodes[-1]
