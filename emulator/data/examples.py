"""A data set: training and test examples."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossmesh.emulator.data.columns import InputColumn
from crossmesh.emulator.data.stored import spans

Some = slice | NDArray[np.int64]  # which examples


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Inputs and targets of examples, stored in a compact dtype.

    Attributes:
        kept: ``(n, n_inputs)``, C-contiguous: the inputs in float32, or bytes, or tokens.
        answers: Class labels, ``(n,)`` or one for every step ``(n, steps)``, or the values of a
            regression ``(n, m)``.
        levels: ``(channels, 256)``, the input that each byte of a channel stands for, where
            ``kept`` is bytes that do not stand for themselves.
    """

    kept: NDArray[np.generic]
    answers: NDArray[np.generic]
    levels: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        """Number of examples."""
        return len(self.kept)

    @property
    def inputs(self) -> NDArray[np.float32]:
        """All inputs ``(n, n_inputs)``, C-contiguous; a copy unless they are kept in float32."""
        return self.some_inputs(slice(None))

    @property
    def targets(self) -> NDArray[np.int32] | NDArray[np.float32]:
        """All answers, labels in int32; a copy unless they are kept so."""
        return self.some_targets(slice(None))

    def some_inputs(
        self, some: Some, changed: Callable[[NDArray[Any]], NDArray[Any]] | None = None
    ) -> NDArray[np.float32]:
        """Inputs of some of the examples ``(examples, n_inputs)``.

        Args:
            some: Which.
            changed: Changes them as they are kept.
        """
        kept = self.kept[some] if changed is None else changed(self.kept[some])
        if self.levels is None:
            return kept.astype(np.float32, copy=False)
        n, n_channels = len(kept), len(self.levels)
        if n_channels == 1:
            return np.asarray(self.levels[0][kept], np.float32)
        kept = kept.reshape(n, n_channels, -1)
        inputs = np.empty(kept.shape, np.float32)
        for channel, levels in enumerate(self.levels):
            inputs[:, channel] = levels[kept[:, channel]]
        return inputs.reshape(n, -1)

    def some_targets(self, some: Some) -> NDArray[np.int32] | NDArray[np.float32]:
        """Answers of some of the examples."""
        answers = self.answers[some]
        if self.has_classes:
            return answers.astype(np.int32, copy=False)
        return answers.astype(np.float32, copy=False)

    def parts(self) -> Iterator["Examples"]:
        """The examples in order, a few at a time, without a copy."""
        for start, stop in spans(self.kept.shape, 4):
            yield self._window(slice(start, stop))

    @property
    def has_classes(self) -> bool:
        """Whether targets are labels of classes, not values."""
        return self.answers.dtype.kind in "iu"

    @property
    def has_targets(self) -> bool:
        """Whether there is anything to learn: an example may have targets of no values."""
        return self.answers.shape[1:] != (0,)

    @property
    def n_bytes(self) -> int:
        """Bytes of the arrays as they are kept."""
        return self.kept.nbytes + self.answers.nbytes

    def first(self, n: int) -> "Examples":
        """The first ``n`` examples, without a copy."""
        return self._window(slice(n))

    def chosen(self, rows: NDArray[np.int64]) -> "Examples":
        """Some examples by their indices, copied."""
        return Examples(self.kept[rows], self.answers[rows], self.levels)

    def _window(self, some: slice) -> "Examples":
        return Examples(self.kept[some], self.answers[some], self.levels)


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Examples to train on and others to test with.

    Attributes:
        name: Name in reports.
        train: Training examples.
        test: Test examples.
        validation: Examples set aside of those to train on, if any are.
        shape: Shape of one example before it was flattened, such as ``(28, 28)``.
        n_outputs: Number of classes, or of values of one target; 0 without targets.
        tokens: Size of the vocabulary where inputs are the numbers of tokens, else None.
        columns: Named inputs of an example, one behind the other in a row, if there are several.
        standard: Means and deviations ``(channels,)``, if inputs were standardised by them.
        characters: Character of each token, in order, where tokens are characters.
    """

    name: str
    train: Examples
    test: Examples
    shape: tuple[int, ...]
    n_outputs: int
    tokens: int | None = None
    columns: tuple[InputColumn, ...] = ()
    standard: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None
    characters: str | None = None
    validation: Examples | None = None

    @property
    def has_classes(self) -> bool:
        """Whether targets are labels of classes, not values."""
        return self.train.has_classes

    @property
    def has_targets(self) -> bool:
        """Whether there is anything to learn."""
        return self.train.has_targets

    @property
    def n_bytes(self) -> int:
        """Bytes of all arrays as they are kept."""
        return sum(part.n_bytes for part in self.sets.values())

    @property
    def sets(self) -> dict[str, Examples]:
        """The examples by what they are for: ``train``, ``test``, perhaps ``validation``."""
        parts = {"train": self.train, "test": self.test}
        return parts if self.validation is None else {**parts, "validation": self.validation}
