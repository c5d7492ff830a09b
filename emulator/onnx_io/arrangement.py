"""How inputs and outputs of a file are made of what a network takes and gives."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Axes = tuple[int, ...]
Array = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class OutputArrangement:
    """How an output of the file is made of what the network gives.

    Attributes:
        sizes: The numbers of an example as the network gives them.
        order: Order of these sizes in the output.
        shape: Shape of the output for an example.
    """

    sizes: Axes
    order: Axes
    shape: Axes

    def of(self, lying: Array) -> Array:
        """``(examples, *shape)`` of ``(examples, numbers)`` as the network gives them."""
        tensor = lying.reshape(-1, *self.sizes).transpose(0, *(1 + axis for axis in self.order))
        return tensor.reshape(len(tensor), *self.shape)

    @property
    def axis(self) -> int:
        """The axis of the classes, that of the examples counted."""
        return 1 if len(self.shape) > 2 else len(self.shape)


@dataclass(frozen=True, kw_only=True)
class NamedShape:
    """An input or output of a network.

    Attributes:
        name: Its name in the file.
        shape: Of an example.
        kind: What its numbers are: floats, whole numbers or truth values.
        at: Which axis of the file's tensor holds the examples; None: it has none.
    """

    name: str
    shape: Axes
    kind: Literal["f", "i", "b"] = "f"
    at: int | None = 0

    def tensor_shape(self, n: int) -> Axes:
        """Shape of the file's tensor for ``n`` examples."""
        if self.at is None:
            return self.shape
        return (*self.shape[: self.at], n, *self.shape[self.at :])
