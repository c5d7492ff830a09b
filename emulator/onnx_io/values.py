"""What the tensors of an ONNX graph stand for: constants, and views of what layers make."""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Axes = tuple[int, ...]
NumberKind = Literal["f", "i", "b"]  # floats, whole numbers, truth values
EXAMPLES = -1  # stands for the axis of the examples among the sizes of a view


class Refusal(Exception):  # noqa: N818  because it says what happens
    """Something that no layer does; the message says what."""


@dataclass(frozen=True, eq=False)
class Constant:
    """A tensor that does not depend on the input.

    Attributes:
        array: Its numbers.
        name: Name of the parameter that it is in the file, also where it was reshaped; else empty.
    """

    array: Array
    name: str = ""

    @property
    def shape(self) -> Axes:
        """Shape of the tensor."""
        return self.array.shape

    @property
    def kind(self) -> NumberKind:
        """What its numbers are."""
        return kind_of(self.array.dtype)


def kind_of(dtype: np.dtype[Any]) -> NumberKind:
    """What numbers of a type are."""
    return "b" if dtype.kind == "b" else "i" if dtype.kind in "iu" else "f"


@dataclass(frozen=True, eq=False, kw_only=True)
class View:
    """A tensor that shows all numbers of a layer's value, each once, in some arrangement.

    The numbers of an example lie as an array of ``sizes``; each axis of the tensor is one of these,
    several of them one within the other, or none, of size 1. A file for one example has no axis of
    the examples: whatever it does with its axis of size 1, each example goes through all of it.

    Attributes:
        made: Name of the layer.
        n: Examples that the shapes of the file stand for.
        sizes: Sizes as the numbers of an example lie, none of them 1.
        axes: Which sizes make each axis, the outermost first; ``EXAMPLES`` is that of the examples.
        kind: What its numbers are; all are held as floats.
    """

    made: str
    n: int
    sizes: Axes
    axes: tuple[Axes, ...]
    kind: NumberKind = "f"

    @cached_property
    def shape(self) -> Axes:
        """Shape of the tensor."""
        return tuple(math.prod(self.size(part) for part in axis) for axis in self.axes)

    @property
    def rank(self) -> int:
        """Number of its axes."""
        return len(self.axes)

    def size(self, part: int) -> int:
        """Size of a part of an axis."""
        return self.n if part == EXAMPLES else self.sizes[part]

    @property
    def batch(self) -> int | None:
        """The axis that holds the examples, if the file is for several."""
        return next((i for i, axis in enumerate(self.axes) if EXAMPLES in axis), None)

    @property
    def is_plain(self) -> bool:
        """Whether the examples share no axis with something else."""
        return self.batch is None or self.axes[self.batch] == (EXAMPLES,)

    @property
    def within(self) -> int:
        """Numbers that share the axis of the examples; 1: they have it to themselves."""
        if self.batch is None:
            return 1
        return self.shape[self.batch] // self.n

    def is_batch(self, axis: int) -> bool:
        """Whether the examples have this axis to themselves; one example may be on any."""
        return self.axes[axis] == ((EXAMPLES,) if self.n > 1 else ())

    @property
    def order(self) -> Axes:
        """The parts of all axes, one after the other."""
        return tuple(part for axis in self.axes for part in axis)

    @property
    def is_laid_out(self) -> bool:
        """Whether numbers of an example lie in the order of the tensor."""
        parts = [part for part in self.order if part != EXAMPLES]
        return parts == sorted(parts)

    def permuted(self, order: Sequence[int]) -> "View":
        """With its axes in another order."""
        return replace(self, axes=tuple(self.axes[axis] for axis in order))

    def squeezed(self, axes: Sequence[int]) -> "View":
        """Without some axes of size 1."""
        gone = set(axes)
        if any(self.axes[axis] for axis in gone):
            raise Refusal(f"axes {sorted(gone)} of {self.shape}, which are not 1")
        return replace(self, axes=tuple(axis for i, axis in enumerate(self.axes) if i not in gone))

    def expanded(self, axes: Sequence[int]) -> "View":
        """With new axes of size 1, at these places of the result."""
        kept = list(self.axes)
        for axis in sorted(axes):
            kept.insert(axis, ())
        return replace(self, axes=tuple(kept))

    def reshaped(self, shape: Sequence[int]) -> "View | None":
        """With other axes over the same order of numbers; None: numbers would have to be moved."""
        lying = [_PartOfAxis(size) for size in self.sizes]
        examples = _PartOfAxis(self.n)
        waiting = deque(examples if part == EXAMPLES else lying[part] for part in self.order)
        axes: list[list[_PartOfAxis]] = []
        for size in shape:
            axis: list[_PartOfAxis] = []
            axes.append(axis)
            while size > 1:
                if not waiting:
                    return None
                part = waiting.popleft()
                if part.size > size:
                    if part is examples or part.size % size:
                        return None
                    place = lying.index(part)
                    outer, inner = _PartOfAxis(size), _PartOfAxis(part.size // size)
                    lying[place : place + 1] = [outer, inner]
                    waiting.appendleft(inner)
                    part = outer
                if size % part.size:
                    return None
                axis.append(part)
                size //= part.size
        if waiting:
            return None
        numbers = {id(part): i for i, part in enumerate(lying)} | {id(examples): EXAMPLES}
        return replace(
            self,
            sizes=tuple(part.size for part in lying),
            axes=tuple(tuple(numbers[id(part)] for part in axis) for axis in axes),
        )


class _PartOfAxis:
    """A part of an axis, while a tensor is reshaped; two of one size are not the same."""

    def __init__(self, size: int) -> None:
        self.size = size


def view_of(
    made: str,
    n: int,
    shape: Sequence[int],
    batch: int | None = 0,
    kind: NumberKind = "f",
    within: int = 1,
) -> View:
    """A tensor whose numbers lie in its own order.

    Args:
        made: Name of the layer that makes them.
        n: Examples.
        shape: Shape of the tensor.
        batch: The axis that holds the examples, if there are several.
        kind: What the numbers are.
        within: Numbers that share this axis with the examples.
    """
    sizes: list[int] = []
    axes: list[Axes] = []
    for i, size in enumerate(shape):
        is_batch = i == batch and n > 1
        inner = (within if is_batch else size) > 1
        axes.append((*((EXAMPLES,) if is_batch else ()), *((len(sizes),) if inner else ())))
        if inner:
            sizes.append(within if is_batch else size)
    return View(made=made, n=n, sizes=tuple(sizes), axes=tuple(axes), kind=kind)


@dataclass(frozen=True, eq=False)
class Parts:
    """Several tensors in one, as operators on ONNX sequences have them."""

    values: tuple["Constant | View", ...]


Value = Constant | View | Parts


@dataclass(frozen=True, eq=False, kw_only=True)
class Use:
    """An operator at a node of the graph.

    Attributes:
        operator: Its type.
        inputs: Its tensors; None for one that is left out.
        attributes: As the node has them.
        outputs: Whether each of its outputs is used.
        alone: Whether nothing else takes an input, which is a product of matrices.
        opset: Version of the operators.
        hint: What a layer of it may be called.
    """

    operator: str
    inputs: tuple[Value | None, ...]
    attributes: dict[str, Any]
    outputs: tuple[bool, ...]
    alone: tuple[bool, ...]
    opset: int
    hint: str

    def has(self, i: int) -> bool:
        """Whether there is an input ``i``."""
        return i < len(self.inputs) and self.inputs[i] is not None

    def tensor(self, i: int = 0) -> Constant | View:
        """The input ``i``, which must be there and one tensor."""
        value = self.inputs[i] if i < len(self.inputs) else None
        if value is None:
            raise Refusal(f"input {i} that is left out")
        if isinstance(value, Parts):
            raise Refusal(f"input {i} that is a sequence of tensors")
        return value

    def view(self, i: int = 0) -> View:
        """The input ``i``, which must depend on the network's input."""
        value = self.tensor(i)
        if isinstance(value, Constant):
            raise Refusal(f"input {i} that does not depend on the network's input")
        return value

    def constant(self, i: int) -> Array | None:
        """The input ``i``, which must be a constant or left out."""
        if not self.has(i):
            return None
        value = self.tensor(i)
        if isinstance(value, View):
            raise Refusal(f"input {i} that depends on the network's input")
        return value.array

    def needed(self, i: int) -> Array:
        """The input ``i``, which must be a constant."""
        array = self.constant(i)
        if array is None:
            raise Refusal(f"input {i} that is left out")
        return array

    def numbers(self, name: str, i: int) -> list[int] | None:
        """Whole numbers from an attribute, or from the input ``i`` in later versions."""
        if name in self.attributes:
            return [int(number) for number in np.atleast_1d(self.attributes[name])]
        array = self.constant(i)
        return None if array is None else [int(number) for number in array.ravel()]

    def word(self, name: str, default: str) -> str:
        """A word from an attribute."""
        value = self.attributes.get(name, default)
        return value.decode() if isinstance(value, bytes) else str(value)

    def name_of(self, *inputs: int) -> str:
        """Name of the first of some inputs that is a parameter with one."""
        values = (self.inputs[i] for i in inputs if i < len(self.inputs))
        names = (value.name for value in values if isinstance(value, Constant))
        return next(filter(None, names), "")


def module_of(name: str) -> str:
    """The module that a parameter belongs to, or its own name where it has a name of its own."""
    module, _, last = name.rpartition(".")
    if last in {"weight", "bias", "running_mean", "running_var", "W", "R", "B"}:
        return module
    return name.removesuffix("_weight").removesuffix("_bias")
