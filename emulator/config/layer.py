"""What every layer of a network has, and says about itself: the door for layers of others."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field

from crossmesh.common.frozen import Frozen
from crossmesh.tiles.analog.algorithms import AnyAlgorithm
from crossmesh.tiles.analog.tile_config import TileConfig
from crossmesh.tiles.digital import AnyOptimizer

# No dot: behind it, the network names the parts of a layer.
LayerName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]


class AnyLayer(Frozen):
    """Base class of all layers.

    A layer of another package says at least ``lower``, unless it is a subclass of a layer of ours.

    Attributes:
        name: Name of the layer, without dots; by default its kind and number.
    """

    if TYPE_CHECKING:
        kind: Any  # of every class, which narrows it

    name: LayerName | None = None

    @property
    def title(self) -> str:
        """What it is called in tables."""
        return str(self.kind)

    @property
    def has_own_graph(self) -> bool:
        """Whether it is built in another way than the layers of ours."""
        return type(self).lower is not AnyLayer.lower

    @property
    def feeders(self) -> tuple[str | None, ...]:
        """Names of the layers that feed it, in order; None: the one before."""
        return (None,)

    @property
    def takes(self) -> Literal["image", "sequence", "tokens"] | None:
        """What it must be fed; None: anything but tokens."""
        return None

    @property
    def keeps_shape(self) -> bool:
        """Whether its output has the shape of its input, whatever that is."""
        return False

    def lower(self, build: Any, name: str, fed: Sequence[Any]) -> Any:
        """Add the layer to a network under construction; by default like the class of ours.

        Args:
            build: The ``emulator.network.assembly.Assembly``, whose methods add nodes.
            name: Name of the layer.
            fed: The nodes that feed it (``emulator.network.graph.Node``), as ``feeders``; the
                ``shape`` of each says features, steps and image.

        Returns:
            The node that is its output.
        """
        return build.lower(self, name, fed)

    def published(self, name: str) -> Sequence[Any]:
        """How its matrices are named in files, of a layer with a ``lower`` of its own.

        Args:
            name: Name of the layer.

        Returns:
            For each an ``emulator.onnx_io.published_arrays.PublishedPart``: which arrays of a file
            make which rows and columns of it. Matrices without one are in no file.
        """
        return ()

    def to_onnx(self, graph: Any, fed: Sequence[Any]) -> Any:
        """Write the layer as ONNX, of a layer with a ``lower`` of its own.

        Args:
            graph: The ``emulator.onnx_io.graph.Graph``, whose methods add nodes and constants.
            fed: The tensors that feed it (``Tensor`` of the same module: value, shape, layout).

        Returns:
            The tensor that is its output; None: it cannot be written.
        """
        return None

    def widened(self, factor: float) -> Self | None:
        """The layer with about ``factor`` times as many outputs; None: their number is fixed."""
        return None


class NamedLayer(AnyLayer):
    """A layer that one other feeds.

    Attributes:
        input: Name of the layer that feeds it; by default the one before.
    """

    input: str | None = None

    @property
    def feeders(self) -> tuple[str | None, ...]:
        """Its input."""
        return (self.input,)


class ImageLayer(AnyLayer):
    """A layer that must be fed an image."""

    @property
    def takes(self) -> Literal["image"]:
        """An image, as which the network then takes its examples."""
        return "image"


class SequenceLayer(AnyLayer):
    """A layer that must be fed a sequence."""

    @property
    def takes(self) -> Literal["sequence"]:
        """A sequence, as which the network then takes its examples."""
        return "sequence"


class TileLayer(NamedLayer):
    """A layer whose weights lie on tiles.

    Attributes:
        tile: Settings of its tiles that differ from the section ``tile``.
        replicas: Copies of its tiles, which share the vectors of an example and take every update
            all; by default as ``mapping.vectors_per_tile`` says.
        digital: Whether its weights lie in digital memory instead: numbers, exact products.
        frozen: Whether its weights stay as they are.
        algorithm: How its weights are trained, if not as ``training.algorithm`` says.
        optimizer: What changes its weights or bias in digital memory; by default as
            ``training.optimizer``.
    """

    tile: TileConfig | None = None
    replicas: int | None = Field(None, ge=1)
    digital: bool = False
    frozen: bool = False
    algorithm: AnyAlgorithm | None = None
    optimizer: AnyOptimizer | None = None

    @property
    def has_bias(self) -> bool:
        """Whether it adds a bias, on a word line or digital as its tiles say."""
        return bool(getattr(self, "bias", False))


class SharingLayer(TileLayer):
    """A layer with one matrix, or one for each group, that can drive the tiles of another.

    Attributes:
        share: Name of a layer before it whose tiles it drives too, instead of ones of its own;
            both uses change them.
    """

    share: str | None = None


class ParameterLayer(NamedLayer):
    """A layer of digital units with parameters of its own.

    Attributes:
        frozen: Whether they stay as they are.
        optimizer: What changes them; by default as ``training.optimizer``.
    """

    frozen: bool = False
    optimizer: AnyOptimizer | None = None


def shared_by(layer: AnyLayer) -> str | None:
    """Name of the layer whose tiles a layer drives instead of ones of its own."""
    return layer.share if isinstance(layer, SharingLayer) else None


def layer_name(layer: AnyLayer, number: int) -> str:
    """The name of the layer ``number`` of a network: its own, or its kind and number.

    A kind of another package may have dots, which would name a part of the layer.
    """
    return layer.name or f"{layer.kind.replace('.', '_')}{number}"
