"""What the tensors of an ONNX graph stand for: constants, or values of layers, moved about.

A tensor that a layer feeds is a view: for each of its elements, the number of the value of the
layer that stands there. Operators that only move axes are then run on these numbers, and whoever
uses a view sees exactly which values it has, in whatever order they came about.
"""

import itertools
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Index = NDArray[np.int64]
Shape = tuple[int, ...]
Places = Index | np.int64
Layout = Literal["image", "sequence", "flat", "tokens", "pairs"]
ZERO = -1  # stands in a view where padding put a zero
_SERIAL = itertools.count()


class Refusal(Exception):  # noqa: N818  because it says what happens
    """An operator has no layer: why, in a few words, or nothing."""


@dataclass(frozen=True, eq=False)
class Constant:
    """An array that the file holds or that follows from its shapes.

    Attributes:
        array: The array.
        name: Name of the parameter that it comes from, or nothing.
    """

    array: Array
    name: str = ""

    @property
    def shape(self) -> Shape:
        """Its shape."""
        return self.array.shape


@dataclass(frozen=True, eq=False, kw_only=True)
class Source:
    """What makes values: the input, a layer, or a step on the way to one.

    Attributes:
        kind: The layer's kind, or a word of the module that made it.
        inputs: What feeds it.
        layout: ``image`` (channels, height, width), ``sequence`` (steps, features), ``flat``
            (features), ``tokens`` (steps), ``pairs`` (heads, steps, steps).
        shape: Of one example, as ``layout`` says.
        examples: Number of examples that stand for any number.
        settings: Of the layer.
        arrays: Published weights without the layer's name.
        hint: What it may be called.
        serial: Its number in the order in which sources were made.
        multiples: The same source with its weights multiplied, by factor.
    """

    kind: str
    inputs: tuple["Source", ...] = ()
    layout: Layout
    shape: Shape
    examples: int
    settings: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, Array] = field(default_factory=dict)
    hint: str = ""
    serial: int = field(default_factory=_SERIAL.__next__)
    multiples: dict[float, "Source"] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Values of one example."""
        return int(np.prod(self.shape))

    @property
    def n_features(self) -> int:
        """Values at one position."""
        return self.shape[-1] if self.layout in {"sequence", "flat"} else self.shape[0]

    @property
    def n_positions(self) -> int:
        """Pixels of an image, steps of a sequence, else one."""
        return self.size // self.n_features

    def after(self, kind: str, **changes: Any) -> "Source":
        """A source that this one feeds, of the same shape by default."""
        fresh: dict[str, Any] = {"inputs": (self,), "settings": {}, "arrays": {}, "hint": ""}
        return self.changed(kind=kind, **fresh | changes)

    def changed(self, **changes: Any) -> "Source":
        """Another source that differs by ``changes``."""
        return replace(self, serial=next(_SERIAL), multiples={}, **changes)

    def number(self, example: Places, position: Places, feature: Places) -> Index:
        """Numbers of values by example, position and feature."""
        if self.layout == "image":
            within = feature * self.n_positions + position
        else:
            within = position * self.n_features + feature
        return np.asarray(example * self.size + within, np.int64)


@dataclass(frozen=True, eq=False)
class View:
    """Values of a source in some order.

    Attributes:
        source: What makes them.
        order: Number of the value at each place, or None: all of them as they come.
        factor: What they are multiplied by.
    """

    source: Source
    order: Index | None = None
    factor: float = 1.0

    @property
    def shape(self) -> Shape:
        """Shape of the tensor."""
        if self.order is None:
            return (self.source.examples, *self.source.shape)
        return self.order.shape

    @cached_property
    def index(self) -> Index:
        """Number of the value at each place."""
        if self.order is None:
            return np.arange(int(np.prod(self.shape)), dtype=np.int64).reshape(self.shape)
        return self.order

    @property
    def is_whole(self) -> bool:
        """Whether it is all of its source as it comes."""
        return self.order is None or (
            self.shape == (self.source.examples, *self.source.shape)
            and np.array_equal(self.order.ravel(), np.arange(self.order.size))
        )

    @property
    def has_zeros(self) -> bool:
        """Whether padding put zeros into it."""
        return self.order is not None and bool((self.order == ZERO).any())

    def moved(self, order: Index) -> "View":
        """The same source in another order."""
        return View(self.source, order, self.factor)

    def onto(self, source: Source) -> "View":
        """The values of another source at the same places."""
        return View(source, self.order)

    @cached_property
    def places(self) -> tuple[Index, Index, Index]:
        """Example, position and feature of each value; there must be no zeros."""
        source = self.source
        example, within = np.divmod(self.index, source.size)
        if source.layout == "image":
            feature, position = np.divmod(within, source.n_positions)
        else:
            position, feature = np.divmod(within, source.n_features)
        return example, position, feature


@dataclass(frozen=True, eq=False)
class Parts:
    """Several tensors in one, as operators on ONNX sequences have them."""

    views: tuple[View, ...]


Value = Constant | View | Parts


@dataclass(frozen=True, eq=False, kw_only=True)
class Use:
    """An operator at a node of the graph.

    Attributes:
        operator: Its type.
        inputs: Its tensors; None for one that is left out.
        attributes: As the node has them.
        outputs: Whether each of its outputs is used.
        opset: Version of the operators.
        hint: What a layer of it may be called.
        node: The node itself.
    """

    operator: str
    inputs: tuple[Value | None, ...]
    attributes: dict[str, Any]
    outputs: tuple[bool, ...]
    opset: int
    hint: str
    node: Any

    def view(self, i: int = 0) -> View:
        """The input ``i``, which must come from a layer, without a factor."""
        value = self.inputs[i] if i < len(self.inputs) else None
        if not isinstance(value, View):
            raise Refusal(f"input {i} that does not depend on the network's input")
        return value

    def constant(self, i: int) -> Array | None:
        """The input ``i``, which must be a constant or left out."""
        value = self.inputs[i] if i < len(self.inputs) else None
        if isinstance(value, View | Parts):
            raise Refusal(f"input {i} that depends on the network's input")
        return None if value is None else value.array

    def needed(self, i: int) -> Array:
        """The input ``i``, which must be a constant."""
        array = self.constant(i)
        if array is None:
            raise Refusal(f"input {i} that is left out")
        return array

    def numbers(self, name: str, i: int) -> list[int] | None:
        """Integers from an attribute, or from the input ``i`` in later versions."""
        if name in self.attributes:
            return [int(number) for number in np.atleast_1d(self.attributes[name])]
        array = self.constant(i)
        return None if array is None else [int(number) for number in array.ravel()]

    def has_name(self, i: int) -> bool:
        """Whether the input ``i`` is a parameter that the file names."""
        value = self.inputs[i] if i < len(self.inputs) else None
        return isinstance(value, Constant) and bool(value.name)

    def name_of(self, *inputs: int, parameter_first: bool = False) -> str:
        """What a layer with these parameters may be called.

        Args:
            inputs: Numbers of the parameters.
            parameter_first: Whether their names say more than that of the node's module.
        """
        if self.hint and not parameter_first:
            return self.hint
        for i in inputs:
            value = self.inputs[i] if i < len(self.inputs) else None
            if isinstance(value, Constant) and value.name:
                return value.name
        return self.hint
