"""Examples to learn from, and a data set of them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Inputs and what they should give.

    Attributes:
        inputs: ``(n, n_inputs)``, C-contiguous.
        targets: Class labels, ``(n,)`` or one for every step ``(n, steps)``, or the values of a
            regression ``(n, m)``.
    """

    inputs: NDArray[np.float32]
    targets: NDArray[np.int32] | NDArray[np.float32]

    def __len__(self) -> int:
        """Number of examples."""
        return len(self.inputs)

    @property
    def has_classes(self) -> bool:
        """Whether targets are labels of classes, not values."""
        return self.targets.dtype.kind in "iu"

    def first(self, n: int) -> "Examples":
        """The first ``n`` examples, without a copy."""
        return Examples(self.inputs[:n], self.targets[:n])


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Examples to train on and others to test with.

    Attributes:
        name: What reports call it.
        train: Training examples.
        test: Test examples.
        shape: Shape of one example before it was flattened, such as ``(28, 28)``.
        n_outputs: Number of classes, or of values of one target.
        tokens: Size of the vocabulary where inputs are the numbers of tokens, else None.
        characters: What the tokens stand for, in order, where they are characters.
    """

    name: str
    train: Examples
    test: Examples
    shape: tuple[int, ...]
    n_outputs: int
    tokens: int | None = None
    characters: str | None = None

    @property
    def has_classes(self) -> bool:
        """Whether targets are labels of classes, not values."""
        return self.train.has_classes

    @property
    def n_bytes(self) -> int:
        """Bytes of all arrays."""
        parts = (self.train, self.test)
        return sum(part.inputs.nbytes + part.targets.nbytes for part in parts)
