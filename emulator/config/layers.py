"""The layers of a network as a config names them."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from crossmesh.common.frozen import Many
from crossmesh.common.registry import Kinds, Registry, kinds_of
from crossmesh.emulator.config.layer import (
    AnyLayer,
    ImageLayer,
    NamedLayer,
    ParameterLayer,
    SequenceLayer,
    SharingLayer,
    TileLayer,
)
from crossmesh.emulator.config.operators import OperatorLayer
from crossmesh.tiles.digital import ACTIVATIONS

FunctionName = Literal["identity", "relu", "gelu", "tanh", "sigmoid", "softmax"]
Size = Annotated[int, Field(ge=1)]
# One number for both directions, or height and width.
Size2 = Size | Annotated[tuple[Size, Size], Field(strict=False)]
Padding = Annotated[int, Field(ge=0)]
Padding2 = Padding | Annotated[tuple[Padding, Padding], Field(strict=False)]


def pair(size: int | tuple[int, int]) -> tuple[int, int]:
    """Height and width."""
    return (size, size) if isinstance(size, int) else size


class LinearLayer(SharingLayer):
    """A fully connected layer, and the activation behind it; of a sequence, for every step.

    Attributes:
        outputs: Number of outputs.
        bias: Whether it has one; ``tile.bias`` says where.
        activation: Function of the outputs.
    """

    kind: Literal["linear"] = "linear"
    outputs: int = Field(ge=1)
    bias: bool = True
    activation: FunctionName = "identity"

    def widened(self, factor: float) -> Self:
        """With about ``factor`` times as many outputs."""
        return self.model_copy(update={"outputs": round(factor * self.outputs)})


class ConvLayer(SharingLayer, ImageLayer):
    """A convolution of an image: its kernels are unrolled on the word lines.

    Attributes:
        outputs: Channels of the output.
        kernel: Height and width of the kernel, or one number for both.
        stride: Rows and columns from one position of the kernel to the next, or one number for
            both.
        padding: Rows and columns of zeros on each side, or one number for both.
        dilation: Rows and columns between the kernel's taps, or one number for both; 1 is dense.
        groups: Parts of the channels that are convolved apart from each other.
        bias: Whether it has one; ``tile.bias`` says where.
        activation: Function of the outputs.
    """

    kind: Literal["conv"] = "conv"
    outputs: int = Field(ge=1)
    kernel: Size2
    stride: Size2 = 1
    padding: Padding2 = 0
    dilation: Size2 = 1
    groups: int = Field(1, ge=1)
    bias: bool = True
    activation: FunctionName = "identity"


class RecurrentLayer(TileLayer, SequenceLayer):
    """A recurrent layer over the steps of a sequence, from a state of zeros.

    Equations and the order of gates as PyTorch's ``nn.LSTM`` (i, f, g, o) and ``nn.GRU`` (r, z, n).

    Attributes:
        kind: ``lstm`` or ``gru``.
        outputs: Values of the state that it sends on at every step.
        bias: Whether both of its matrices have one; ``tile.bias`` says where.
    """

    kind: Literal["lstm", "gru"]
    outputs: int = Field(ge=1)
    bias: bool = True


class AttentionLayer(TileLayer, SequenceLayer):
    """Self-attention over the steps of a sequence: projections on tiles, scores in digital units.

    Attributes:
        heads: Number of heads, which must divide the features.
        causal: Whether a step sees only itself and those before it.
        bias: Whether the projections have one; ``tile.bias`` says where.
    """

    kind: Literal["attention"] = "attention"
    heads: int = Field(ge=1)
    causal: bool = False
    bias: bool = True


class ScoresLayer(NamedLayer):
    """Attention without its projections: of a sequence of queries, keys and values side by side.

    Attributes:
        heads: Number of heads.
        causal: Whether a step sees only itself and those before it.
    """

    kind: Literal["scores"] = "scores"
    heads: int = Field(ge=1)
    causal: bool = False


class EmbeddingLayer(TileLayer):
    """A vector for every token of a sequence.

    Attributes:
        outputs: Length of the vectors.
        digital: Whether they lie in digital memory; on tiles, a token drives one word line.
    """

    kind: Literal["embedding"] = "embedding"
    outputs: int = Field(ge=1)
    digital: bool = True

    @property
    def takes(self) -> Literal["tokens"]:
        """The tokens of a text."""
        return "tokens"


class PositionLayer(ParameterLayer, SequenceLayer):
    """Adds a learned vector to every step of a sequence."""

    kind: Literal["position"] = "position"


class PoolLayer(NamedLayer, ImageLayer):
    """The largest or the mean value within a window that moves over an image.

    Attributes:
        kind: Which.
        kernel: Height and width of the window, or one number for both.
        stride: Rows and columns from one window to the next, or one number for both; by default
            those of the window.
        padding: Rows and columns added on each side, or one number for both: never the largest of
            ``max_pool``; zeros, counted in the means of ``average_pool``.
    """

    kind: Literal["max_pool", "average_pool"]
    kernel: Size2
    stride: Size2 | None = None
    padding: Padding2 = 0

    @model_validator(mode="after")
    def _padding_is_less_than_the_window(self) -> Self:
        for kernel, padding in zip(pair(self.kernel), pair(self.padding), strict=True):
            if 2 * padding > kernel:
                raise ValueError(f"padding must be at most half of kernel, got {padding}")
        return self


class PlainLayer(NamedLayer):
    """A layer without settings.

    Attributes:
        kind: An activation function; ``global_pool``: the mean over an image or a sequence;
            ``flatten``: an image or sequence as one vector, channel by channel as in PyTorch;
            ``last``: the last step of a sequence.
    """

    kind: FunctionName | Literal["global_pool", "flatten", "last"]

    @property
    def takes(self) -> Literal["image", "sequence"] | None:
        """A function takes anything."""
        return (
            "image" if self.kind == "global_pool" else "sequence" if self.kind == "last" else None
        )

    @property
    def keeps_shape(self) -> bool:
        """Whether it is a function of every value."""
        return self.kind in ACTIVATIONS


class NormLayer(ParameterLayer):
    """Normalisation, with a learned factor and offset for every feature.

    Attributes:
        kind: ``batch_norm``: over the examples and pixels of a micro-batch; tests use running means
            of mean and variance. ``layer_norm``: over the features of every step or pixel.
        epsilon: Added to the variance.
        momentum: Weight of the newest micro-batch in the running means; ``batch_norm`` only.
        frozen: Whether nothing of it changes; ``batch_norm`` then uses its running means.
        optimizer: What changes factors and offsets; by default as ``training.optimizer``.
    """

    kind: Literal["batch_norm", "layer_norm"]
    epsilon: float = Field(1e-5, gt=0)
    momentum: float = Field(0.1, gt=0, le=1)

    @property
    def takes(self) -> Literal["image"] | None:
        """Over the pixels of an image, if there is a choice."""
        return "image" if self.kind == "batch_norm" else None

    @property
    def keeps_shape(self) -> bool:
        """It scales and shifts."""
        return True


class DropoutLayer(NamedLayer):
    """Sets values to zero at random in training, and scales up the others.

    Attributes:
        rate: Share that is set to zero.
    """

    kind: Literal["dropout"] = "dropout"
    rate: float = Field(ge=0, lt=1)

    @property
    def keeps_shape(self) -> bool:
        """It sets values to zero."""
        return True


class MergeLayer(AnyLayer):
    """Brings branches together.

    Attributes:
        kind: ``add`` their values, or ``concat`` their features.
        inputs: Names of the layers that feed it.
    """

    kind: Literal["add", "concat"]
    inputs: Many[str] = Field(min_length=2)

    @property
    def feeders(self) -> tuple[str | None, ...]:
        """Its inputs."""
        return self.inputs

    @property
    def keeps_shape(self) -> bool:
        """A sum is as what it adds."""
        return self.kind == "add"


_OWN: tuple[type[AnyLayer], ...] = (
    LinearLayer,
    ConvLayer,
    RecurrentLayer,
    AttentionLayer,
    ScoresLayer,
    EmbeddingLayer,
    PositionLayer,
    PoolLayer,
    PlainLayer,
    NormLayer,
    DropoutLayer,
    MergeLayer,
    OperatorLayer,
)


def _check(kind: type[AnyLayer]) -> None:
    if not (isinstance(kind, type) and issubclass(kind, AnyLayer)):
        raise TypeError("must be a subclass of crossmesh.emulator.config.layer.AnyLayer")


LAYERS: Registry[type[AnyLayer]] = Registry(
    "crossmesh.layers", {kind: cls for cls in _OWN for kind in kinds_of(cls)}, _check
)
Layer = Annotated[AnyLayer, Kinds(AnyLayer, LAYERS)]


def kind_of_ours(layer: AnyLayer) -> str | None:
    """The kind of ours that a layer is: its own, or, of another package, that of its class.

    None if its class is no subclass of one of ours, or of one that is of several kinds.
    """
    for cls in (cls for cls in type(layer).__mro__ if cls in _OWN):
        kinds = kinds_of(cls)
        return layer.kind if layer.kind in kinds else kinds[0] if len(kinds) == 1 else None
    return None
