"""An ONNX graph that is being written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Tensor:
    """A value of the graph, behind the axis of the examples.

    Attributes:
        value: Its name.
        layout: ``image`` (channels, height, width), ``sequence`` (steps, features), ``flat``
            (features) or ``tokens`` (steps).
        shape: Of one example.
        layer: Name of the layer that makes it; by default that of the value.
    """

    value: str
    layout: str
    shape: tuple[int, ...]
    layer: str = "input"

    @property
    def n_features(self) -> int:
        """Values at one pixel or step, or of a vector."""
        return self.shape[0] if self.layout == "image" else self.shape[-1]

    @property
    def axis(self) -> int:
        """Axis of the features, that of the examples counted."""
        return 2 if self.layout == "sequence" else 1

    def named(self, value: str, layer: str) -> "Tensor":
        """The same shape under other names."""
        return replace(self, value=value, layer=layer)

    def with_features(self, n: int) -> "Tensor":
        """The same but for the number of features."""
        shape = (*self.shape[:-1], n) if self.layout == "sequence" else (n, *self.shape[1:])
        return replace(self, shape=shape)


class Graph:
    """Nodes and constants so far.

    Args:
        weights: Published weights.

    Attributes:
        nodes: Nodes so far.
        initializers: Constants so far.
        layer: Name of the layer that is being written.
    """

    def __init__(self, weights: Mapping[str, NDArray[Any]]) -> None:
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self.layer = ""
        self._weights = weights
        self._count = 0

    def weight(self, suffix: str) -> NDArray[np.float32]:
        """A published array of the layer."""
        return np.asarray(self._weights[f"{self.layer}.{suffix}"], np.float32)

    def has(self, suffix: str) -> bool:
        """Whether the layer has this published array."""
        return f"{self.layer}.{suffix}" in self._weights

    def published(self, suffix: str) -> str:
        """A published array of the layer as a constant of the same name."""
        return self.constant(suffix, self.weight(suffix))

    def constant(self, suffix: str, array: Any) -> str:
        """A constant of the layer."""
        from onnx import numpy_helper

        name = f"{self.layer}.{suffix}"
        self.initializers.append(numpy_helper.from_array(np.array(array, order="C"), name))
        return name

    def integers(self, suffix: str, *numbers: int) -> str:
        """A constant list of integers."""
        return self.constant(suffix, np.array(numbers, np.int64))

    def node(
        self, operator: str, inputs: Sequence[Tensor | str], output: str = "", **attributes: Any
    ) -> str:
        """Append an operator with one output, whose name is returned."""
        from onnx import helper

        self._count += 1
        name = output or f"{self.layer}.{operator}.{self._count}"
        values = [entry.value if isinstance(entry, Tensor) else entry for entry in inputs]
        self.nodes.append(
            helper.make_node(operator, values, [name], name=f"{name}.node", **attributes)
        )
        return name

    def split(self, value: str, parts: int, axis: int) -> list[str]:
        """Append a split into equal parts, whose names are returned."""
        from onnx import helper

        self._count += 1
        names = [f"{self.layer}.Split.{self._count}.{part}" for part in range(parts)]
        node = helper.make_node(
            "Split", [value], names, name=f"{names[0]}.node", axis=axis, num_outputs=parts
        )
        self.nodes.append(node)
        return names

    def made(self, value: str, like: Tensor) -> Tensor:
        """The output of the layer, of the shape of another tensor."""
        return like.named(value, self.layer)

    def flat(self, value: str, n: int) -> Tensor:
        """The output of the layer as a vector."""
        return Tensor(value, "flat", (n,), self.layer)
