"""An ONNX graph that is being written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Axes = tuple[int, ...]
NumberType = Literal["float32", "int64", "bool"]


@dataclass(frozen=True)
class Tensor:
    """A value of the graph, behind the axis of the examples.

    Attributes:
        value: Its name.
        shape: Of one example.
        layer: Name of the layer that makes it; by default that of the value.
        channels_first: Whether features are the first axis of an example, as of images in ONNX;
            else they are the last, as in the layers.
        dtype: Type of its numbers.
        is_tokens: Whether it is the tokens of a text.
        is_parameter: Whether it is the same for all examples, and has no axis for them.
    """

    value: str
    shape: Axes
    layer: str = "input"
    channels_first: bool = False
    dtype: NumberType = "float32"
    is_tokens: bool = False
    is_parameter: bool = False

    @property
    def layout(self) -> str:
        """What it is, in a word."""
        words = {1: "flat", 2: "sequence", 3: "image"}
        return "tokens" if self.is_tokens else words.get(len(self.shape), "array")

    @property
    def axes(self) -> Axes:
        """Sizes of the axes of an example as its numbers lie in a layer: features last."""
        return (*self.shape[1:], self.shape[0]) if self.channels_first else self.shape

    @property
    def n_features(self) -> int:
        """Values at one pixel or step, or of a vector."""
        return self.axes[-1]

    @property
    def axis(self) -> int:
        """Axis of the features, that of the examples counted."""
        return 1 if self.channels_first else len(self.shape)

    def named(self, value: str, layer: str) -> "Tensor":
        """The same shape under other names."""
        return replace(self, value=value, layer=layer)

    def with_features(self, n: int) -> "Tensor":
        """The same but for the number of features."""
        shape = (n, *self.shape[1:]) if self.channels_first else (*self.shape[:-1], n)
        return replace(self, shape=shape)


class Graph:
    """Nodes and constants so far.

    Args:
        weights: Published weights.

    Attributes:
        inputs: Inputs so far.
        nodes: Nodes so far.
        initializers: Constants so far.
        layer: Name of the layer that is being written.
        owner: Name of the layer whose weights it has, itself or one before it.
    """

    def __init__(self, weights: Mapping[str, NDArray[Any]]) -> None:
        self.inputs: list[Any] = []
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self.layer = self.owner = ""
        self._weights = weights
        self._published: set[str] = set()
        self._moved: dict[tuple[str, bool], str] = {}
        self._count = 0

    # Constants

    def weight(self, suffix: str) -> NDArray[np.float32]:
        """A published array of the layer."""
        return np.asarray(self._weights[f"{self.owner}.{suffix}"], np.float32)

    def has(self, suffix: str) -> bool:
        """Whether the layer has this published array."""
        return f"{self.owner}.{suffix}" in self._weights

    def published(self, suffix: str, array: NDArray[Any] | None = None) -> str:
        """A published array of the layer as a constant of the same name, perhaps rearranged."""
        name = f"{self.owner}.{suffix}"
        if name not in self._published:
            self._published.add(name)
            self._initialize(name, self.weight(suffix) if array is None else array)
        return name

    def constant(self, suffix: str, array: Any) -> str:
        """A constant that is no parameter; its name keeps readers from training it."""
        self._count += 1
        return self._initialize(f"/{self.layer}/{suffix}.{self._count}", array)

    def integers(self, suffix: str, *numbers: int) -> str:
        """A constant list of integers."""
        return self.constant(suffix, np.array(numbers, np.int64))

    def number(self, value: float) -> str:
        """A constant number."""
        return self.constant("number", np.float32(value))

    def _initialize(self, name: str, array: Any) -> str:
        from onnx import numpy_helper

        self.initializers.append(numpy_helper.from_array(np.array(array, order="C"), name))
        return name

    # Nodes

    def input(self, name: str, shape: Axes, dtype: NumberType, at: int = 0) -> str:
        """Append an input of some shape, with the open axis of the examples at a place of it."""
        from onnx import helper

        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        sizes: list[str | int] = [*shape[:at], "n", *shape[at:]]
        self.inputs.append(helper.make_tensor_value_info(name, kind, sizes))
        return name

    def node(
        self, operator: str, inputs: Sequence[Tensor | str], output: str = "", **attributes: Any
    ) -> str:
        """Append an operator with one output, whose name is returned."""
        self._count += 1
        name = output or f"/{self.layer}/{operator}.{self._count}"
        self._append(operator, inputs, [name], attributes)
        return name

    def several(
        self, operator: str, inputs: Sequence[Tensor | str], n: int, **attributes: Any
    ) -> list[str]:
        """Append an operator with ``n`` outputs, whose names are returned."""
        self._count += 1
        names = [f"/{self.layer}/{operator}.{self._count}.{part}" for part in range(n)]
        self._append(operator, inputs, names, attributes)
        return names

    def _append(
        self, operator: str, inputs: Sequence[Tensor | str], outputs: list[str], attributes: Any
    ) -> None:
        from onnx import helper

        values = [entry.value if isinstance(entry, Tensor) else entry for entry in inputs]
        name = f"/{self.layer}/{operator}.{self._count}.node"
        self.nodes.append(helper.make_node(operator, values, outputs, name=name, **attributes))

    # Tensors

    def made(self, value: str, like: Tensor) -> Tensor:
        """The output of the layer, of the shape of another tensor."""
        return like.named(value, self.layer)

    def flat(self, value: str, n: int) -> Tensor:
        """The output of the layer as a vector."""
        return Tensor(value, (n,), self.layer)

    def lying(self, x: Tensor) -> Tensor:
        """A tensor with its features last, as its numbers lie in a layer."""
        if not x.channels_first:
            return x
        order = [0, *range(2, len(x.shape) + 1), 1]
        return replace(x, value=self._turned(x, order), shape=x.axes, channels_first=False)

    def channels_first(self, x: Tensor) -> Tensor:
        """A tensor with its features first, if it has other axes."""
        if x.channels_first or len(x.shape) < 2:
            return x
        rank = len(x.shape)
        shape = (x.shape[-1], *x.shape[:-1])
        order = [0, rank, *range(1, rank)]
        return replace(x, value=self._turned(x, order), shape=shape, channels_first=True)

    def _turned(self, x: Tensor, order: list[int]) -> str:
        """A transposition, one for all that need it."""
        key = (x.value, x.channels_first)
        if key not in self._moved:
            self._moved[key] = self.node("Transpose", [x], perm=order)
        return self._moved[key]

    def typed(self, x: Tensor, dtype: NumberType) -> Tensor:
        """A tensor of numbers of a type."""
        if x.dtype == dtype:
            return x
        from onnx import helper

        to = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return replace(x, value=self.node("Cast", [x], to=to), dtype=dtype)

    def reshaped(self, x: Tensor, axes: Axes) -> Tensor:
        """A tensor whose features are last, with other axes over the same order of numbers."""
        if x.shape == axes:
            return x
        kept = () if x.is_parameter else (0,)
        value = self.node("Reshape", [x, self.integers("shape", *kept, *axes)])
        return replace(x, value=value, shape=axes)

    def transposed(self, x: Tensor, order: Axes) -> Tensor:
        """A tensor with its axes in another order; these are counted without the examples."""
        if order == tuple(range(len(order))):
            return x
        perm = list(order) if x.is_parameter else [0, *(1 + axis for axis in order)]
        shape = tuple(x.shape[axis] for axis in order)
        return replace(x, value=self.node("Transpose", [x], perm=perm), shape=shape)

    def of_each(self, x: Tensor, like: Tensor) -> Tensor:
        """A tensor with an axis for as many examples as another has."""
        if not x.is_parameter:
            return x
        n = self.node("Shape", [like], start=0, end=1)
        shape = self.node("Concat", [n, self.integers("sizes", *x.shape)], axis=0)
        return replace(x, value=self.node("Expand", [x, shape]), is_parameter=False)
