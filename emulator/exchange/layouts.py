"""How published arrays make matrices, by kind of layer."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emulator.layers import (
    Attention,
    Conv,
    Embedding,
    Layer,
    Linear,
    Norm,
    Position,
    Recurrent,
    pair,
)

Array = NDArray[np.float32]
Shape = tuple[int, ...]
GATES = {"lstm": 4, "gru": 3}
NORM_PARTS = {
    "batch_norm": ("weight", "bias", "running_mean", "running_var"),
    "layer_norm": ("weight", "bias"),
}


def layer_name(layer: Layer, number: int) -> str:
    """The name of the layer ``number`` of a network: its own, or its kind and number."""
    return layer.name or f"{layer.kind}{number}"


class Part(ABC):
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
class Affine(Part):
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
class Table(Part):
    """A matrix that is published as it is.

    Attributes:
        matrix: Name of the layer.
        columns: Number of columns, or None.
    """

    matrix: str
    columns: int | None

    @property
    def names(self) -> tuple[str, ...]:
        """Published names."""
        return (f"{self.matrix}.weight",)

    @property
    def matrix_names(self) -> tuple[str, ...]:
        """Names of the matrices."""
        return (self.matrix,)

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
class Stack(Part):
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


def _linear(layer: Linear, name: str) -> list[Part]:
    bias = f"{name}.bias" if layer.bias else None
    return [Affine(matrix=name, weight=f"{name}.weight", bias=bias, outputs=layer.outputs)]


def _conv(layer: Conv, name: str) -> list[Part]:
    return [
        Affine(
            matrix=name,
            weight=f"{name}.weight",
            bias=f"{name}.bias" if layer.bias else None,
            outputs=layer.outputs,
            kernel=pair(layer.kernel),
            groups=layer.groups,
        )
    ]


def _recurrent(layer: Recurrent, name: str) -> list[Part]:
    return [
        Affine(
            matrix=f"{name}.{matrix}",
            weight=f"{name}.weight_{suffix}",
            bias=f"{name}.bias_{suffix}" if layer.bias else None,
            outputs=GATES[layer.kind] * layer.outputs,
            inputs=inputs,
        )
        for matrix, suffix, inputs in (("input", "ih", None), ("hidden", "hh", layer.outputs))
    ]


def _attention(layer: Attention, name: str) -> list[Part]:
    return [
        Affine(
            matrix=f"{name}.{part}",
            weight=f"{name}.{part}.weight",
            bias=f"{name}.{part}.bias" if layer.bias else None,
            outputs=None,
            blocks=blocks,
        )
        for part, blocks in (("qkv", 3), ("out", 1))
    ]


def _embedding(layer: Embedding, name: str) -> list[Part]:
    return [Table(matrix=name, columns=layer.outputs)]


def _position(layer: Position, name: str) -> list[Part]:
    return [Table(matrix=name, columns=None)]


def _norm(layer: Norm, name: str) -> list[Part]:
    return [Stack(matrix=name, suffixes=NORM_PARTS[layer.kind])]


PARTS_OF: dict[str, Callable[[Any, str], list[Part]]] = {
    "linear": _linear,
    "conv": _conv,
    "lstm": _recurrent,
    "gru": _recurrent,
    "attention": _attention,
    "embedding": _embedding,
    "position": _position,
    "batch_norm": _norm,
    "layer_norm": _norm,
}


def parts(layers: Sequence[Layer]) -> list[Part]:
    """Every matrix of a network that has one, in the order of its layers."""
    return [
        part
        for number, layer in enumerate(layers)
        if layer.kind in PARTS_OF
        for part in PARTS_OF[layer.kind](layer, layer_name(layer, number))
    ]
