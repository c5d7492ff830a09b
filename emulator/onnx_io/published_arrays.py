"""Published arrays, and the matrices that they make."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Shape = tuple[int, ...]


class PublishedPart(ABC):
    """Published arrays that make one matrix, or one for every group."""

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """Published names."""

    @property
    @abstractmethod
    def matrix_names(self) -> tuple[str, ...]:
        """Names of the matrices."""

    @abstractmethod
    def size_of_published(self, arrays: Mapping[str, NDArray[Any]]) -> Shape:
        """The sizes that the layer leaves open, from the arrays."""

    @abstractmethod
    def size_of_matrix(self, shape: tuple[int, int]) -> Shape:
        """The sizes that the layer leaves open, from the shape of its first matrix."""

    @abstractmethod
    def shapes(self, size: Shape) -> dict[str, Shape]:
        """Shape of every published array."""

    @abstractmethod
    def to_matrices(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """The matrices, contiguous."""

    @abstractmethod
    def to_published(self, held: Mapping[str, Array]) -> dict[str, Array]:
        """The published arrays, contiguous."""


@dataclass(frozen=True, kw_only=True)
class Affine(PublishedPart):
    """A weight with outputs first, and perhaps a bias.

    Attributes:
        matrix: Name of the matrix.
        weight: Published name.
        bias: Published name, or None.
        outputs: Number of outputs, or None: ``blocks`` times the inputs.
        blocks: See ``outputs``.
        kernel: Height and width, or nothing.
        groups: Parts of the outputs with inputs of their own.
        inputs: Number of inputs, if the layer says it.
    """

    matrix: str
    weight: str
    bias: str | None
    outputs: int | None
    blocks: int = 1
    kernel: Shape = ()
    groups: int = 1
    inputs: int | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Published names."""
        return (self.weight,) if self.bias is None else (self.weight, self.bias)

    @property
    def matrix_names(self) -> tuple[str, ...]:
        """Names of the matrices."""
        if self.groups == 1:
            return (self.matrix,)
        return tuple(f"{self.matrix}.{group}" for group in range(self.groups))

    def size_of_published(self, arrays: Mapping[str, NDArray[Any]]) -> Shape:
        """Open sizes, from the arrays."""
        shape = arrays[self.weight].shape
        return (self.inputs or (shape[1] if len(shape) > 1 else 1),)

    def size_of_matrix(self, shape: tuple[int, int]) -> Shape:
        """Open sizes, from the first matrix."""
        return ((shape[0] - (self.bias is not None)) // int(np.prod(self.kernel, dtype=int)),)

    def shapes(self, size: Shape) -> dict[str, Shape]:
        """Shape of every published array."""
        outputs = self.blocks * size[0] if self.outputs is None else self.outputs
        shapes: dict[str, Shape] = {self.weight: (outputs, *size, *self.kernel)}
        if self.bias is not None:
            shapes[self.bias] = (outputs,)
        return shapes

    def to_matrices(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """The matrices."""
        weights = np.split(np.asarray(arrays[self.weight], np.float32), self.groups)
        rows = [np.moveaxis(w, (0, 1), (-1, -2)).reshape(-1, w.shape[0]) for w in weights]
        if self.bias is not None:
            biases = np.split(np.asarray(arrays[self.bias], np.float32), self.groups)
            rows = [np.vstack([w, b]) for w, b in zip(rows, biases, strict=True)]
        return dict(zip(self.matrix_names, map(np.ascontiguousarray, rows), strict=True))

    def to_published(self, held: Mapping[str, Array]) -> dict[str, Array]:
        """The published arrays."""
        weights, biases = [], []
        for name in self.matrix_names:
            rows = np.asarray(held[name], np.float32)
            if self.bias is not None:
                biases.append(rows[-1])
                rows = rows[:-1]
            unrolled = rows.reshape(*self.kernel, -1, rows.shape[1])
            weights.append(np.moveaxis(unrolled, (-1, -2), (0, 1)))
        arrays = {self.weight: np.concatenate(weights)}
        if self.bias is not None:
            arrays[self.bias] = np.concatenate(biases)
        return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


@dataclass(frozen=True, kw_only=True)
class PublishedWeight(PublishedPart):
    """One published array that makes one matrix.

    Attributes:
        matrix: Name of the layer.
    """

    matrix: str

    @property
    def names(self) -> tuple[str, ...]:
        """Published names."""
        return (f"{self.matrix}.weight",)

    @property
    def matrix_names(self) -> tuple[str, ...]:
        """Names of the matrices."""
        return (self.matrix,)


@dataclass(frozen=True, kw_only=True)
class PublishedTable(PublishedWeight):
    """A matrix that is published as it is.

    Attributes:
        columns: Number of columns, or None.
    """

    columns: int | None

    def size_of_published(self, arrays: Mapping[str, NDArray[Any]]) -> Shape:
        """Open sizes, from the arrays."""
        shape = arrays[self.names[0]].shape
        return (shape[0] if shape else 1, shape[1] if len(shape) > 1 else 1)

    def size_of_matrix(self, shape: tuple[int, int]) -> Shape:
        """Open sizes, from the first matrix."""
        return shape

    def shapes(self, size: Shape) -> dict[str, Shape]:
        """Shape of every published array."""
        columns = size[1] if self.columns is None else self.columns
        return {self.names[0]: (size[0], columns)}

    def to_matrices(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """The matrices."""
        return {self.matrix: np.array(arrays[self.names[0]], np.float32, order="C")}

    def to_published(self, held: Mapping[str, Array]) -> dict[str, Array]:
        """The published arrays."""
        return {self.names[0]: np.array(held[self.matrix], np.float32, order="C")}


@dataclass(frozen=True, kw_only=True)
class Stack(PublishedPart):
    """Vectors that are the rows of a matrix.

    Attributes:
        matrix: Name of the layer.
        suffixes: Of the published names.
    """

    matrix: str
    suffixes: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Published names."""
        return tuple(f"{self.matrix}.{suffix}" for suffix in self.suffixes)

    @property
    def matrix_names(self) -> tuple[str, ...]:
        """Names of the matrices."""
        return (self.matrix,)

    def size_of_published(self, arrays: Mapping[str, NDArray[Any]]) -> Shape:
        """Open sizes, from the arrays."""
        shape = arrays[self.names[0]].shape
        return (shape[0] if shape else 1,)

    def size_of_matrix(self, shape: tuple[int, int]) -> Shape:
        """Open sizes, from the first matrix."""
        return (shape[1],)

    def shapes(self, size: Shape) -> dict[str, Shape]:
        """Shape of every published array."""
        return dict.fromkeys(self.names, size)

    def to_matrices(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """The matrices."""
        return {self.matrix: np.stack([arrays[name] for name in self.names]).astype(np.float32)}

    def to_published(self, held: Mapping[str, Array]) -> dict[str, Array]:
        """The published arrays."""
        rows = np.array(held[self.matrix], np.float32)
        return {name: row.copy() for name, row in zip(self.names, rows, strict=True)}


@dataclass(frozen=True, kw_only=True)
class PublishedTensor(PublishedWeight):
    """A parameter of an operator, with axes of its own.

    Attributes:
        axes: Sizes of its axes.
    """

    axes: Shape

    def size_of_published(self, arrays: Mapping[str, NDArray[Any]]) -> Shape:
        """None is open."""
        return ()

    def size_of_matrix(self, shape: tuple[int, int]) -> Shape:
        """None is open."""
        return ()

    def shapes(self, size: Shape) -> dict[str, Shape]:
        """Shape of every published array."""
        return {self.names[0]: self.axes}

    def to_matrices(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """The numbers with a row for all but the last axis."""
        array = np.asarray(arrays[self.names[0]], np.float32)
        last = self.axes[-1] if self.axes else 1
        return {self.matrix: np.array(array.reshape(-1, last), order="C")}

    def to_published(self, held: Mapping[str, Array]) -> dict[str, Array]:
        """The published arrays."""
        return {self.names[0]: np.array(held[self.matrix], np.float32).reshape(self.axes)}
