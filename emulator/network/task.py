"""What is learnt, as far as a network must fit it."""

from dataclasses import dataclass, replace

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.network.graph import Node, Shape
from crossmesh.tiles.digital import LOSSES, Loss

MOST_CHANNELS = 4  # of pictures as files have them


@dataclass(frozen=True, kw_only=True)
class LearningTask:
    """What is learnt, as far as a network must fit it.

    Attributes:
        source: Name of the data, for messages.
        shape: Shape of an example before it was flattened.
        n_outputs: Classes in the data, or values of one target.
        loss: The loss.
        has_classes: Whether outputs stand for classes, of which the data may lack the last ones.
        tokens: Size of the vocabulary, where inputs are tokens.
        targets: Targets of an example, each with an output of its own.
        layout: Shape of an example as an imported network takes it.
        channels_first: Whether that is an image whose channels come first in the data.
    """

    source: str
    shape: tuple[int, ...]
    n_outputs: int
    loss: Loss = LOSSES["cross_entropy"]
    has_classes: bool = True
    tokens: int | None = None
    targets: int = 1
    layout: tuple[int, ...] | None = None
    channels_first: bool = False

    def fitted(self, output: Node) -> "LearningTask":
        """The task as it is for a network with this output.

        Whole numbers are a class for each position of the output. Where it has one position,
        several are values; and one output of a loss that counts values, as binary cross-entropy
        does, takes two classes as 0 and 1.
        """
        if self.has_classes and self.targets > 1 and output.positions == 1:
            return replace(self, has_classes=False, targets=1, n_outputs=self.targets)
        is_binary = self.loss.counts_values and self.n_outputs <= 2
        if self.has_classes and self.targets == 1 and is_binary and output.width == 1:
            return replace(self, has_classes=False, n_outputs=1)
        return self

    def _check_channels(self) -> None:
        """Refuse images that look as if their channels were last."""
        *_, last = self.shape
        if len(self.shape) == 3 and last <= MOST_CHANNELS < min(self.shape[:2]):
            rule = "be fed images of channels, height, width"
            raise ConfigError(
                f"network must {rule} for the data {self.source}, got examples of {self.shape}; "
                "x.transpose(0, 3, 1, 2) puts channels first"
            )

    def input_shape(self, taken: set[str | None]) -> Shape:
        """Shape of an example at the input, by what the layers that it feeds take."""
        n = 1
        for size in self.shape:
            n *= size
        if self.tokens is not None:
            return Shape(features=1, steps=n)
        if self.layout is not None:
            if self.channels_first:
                channels, height, width = self.layout
                return Shape(features=channels, image=(height, width))
            return Shape.of(self.layout)
        if "image" in taken and len(self.shape) in {2, 3}:
            self._check_channels()
            channels = self.shape[0] if len(self.shape) == 3 else 1
            return Shape(features=channels, image=(self.shape[-2], self.shape[-1]))
        if "sequence" in taken and len(self.shape) == 2:
            return Shape(features=self.shape[1], steps=self.shape[0])
        return Shape(features=n)
