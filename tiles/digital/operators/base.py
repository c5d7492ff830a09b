"""Base classes of operators: functions of tensors with any axes, and their errors."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.random import Stream
from crossmesh.tiles.digital.base import Array, Call, Function, Learned
from crossmesh.tiles.digital.operators.sums import summed
from crossmesh.tiles.digital.rows import fill

Axes = tuple[int, ...]


class Operand(NamedTuple):
    """How an operator sees one of its inputs.

    Attributes:
        sizes: The numbers of an example as an array in the order in which they lie.
        order: Which of ``sizes`` each axis of the operand is; None: as they lie.
    """

    sizes: Axes
    order: Axes | None = None

    @property
    def axes(self) -> Axes:
        """Sizes of the operand's axes, without that of the examples."""
        if self.order is None:
            return self.sizes
        return tuple(self.sizes[axis] for axis in self.order)

    def seen(self, lying: Array) -> Array:
        """The operand ``(examples, *axes)``, a view of values as they lie."""
        tensor = lying.reshape(-1, *self.sizes)
        if self.order is None:
            return tensor
        return tensor.transpose(0, *(1 + axis for axis in self.order))

    def lying(self, tensor: Array) -> Array:
        """``(examples, numbers)`` as they lie, of a tensor ``(examples, *axes)``."""
        if self.order is not None:
            tensor = tensor.transpose(0, *(1 + int(axis) for axis in np.argsort(self.order)))
        return np.ascontiguousarray(tensor, np.float32).reshape(len(tensor), -1)


@dataclass(frozen=True, kw_only=True)
class Operator(Function):
    """A function of tensors ``(examples, *axes)``, each example by itself.

    Its settings are fields; a subclass has a ``name``, by which configs call it. All operands have
    equally many axes where they are spread over each other (``spread``). One operand may be a
    parameter: it has one example, which stands for all.

    Attributes:
        name: Name in configs.
        n_operands: How many it takes; None: any number.
        operands: How it sees each.
    """

    name: ClassVar[str]
    n_operands: ClassVar[int | None] = 1

    operands: tuple[Operand, ...]

    def __post_init__(self) -> None:
        if self.n_operands not in (None, len(self.operands)):
            raise ValueError(
                f"{self.name}.operands must be {self.n_operands}, got {len(self.operands)}"
            )
        for setting in fields(self):
            value = getattr(self, setting.name)
            if isinstance(value, float) and math.isnan(value):
                raise ValueError(f"{self.name}.{setting.name} must be a number, got {value}")

    @property
    @abstractmethod
    def axes(self) -> Axes:
        """Sizes of the result's axes, without that of the examples.

        Raises:
            ValueError: If operands and settings do not fit.
        """

    @abstractmethod
    def compute(self, tensors: Sequence[Array], out: Array) -> None:
        """Compute the result.

        Args:
            tensors: The operands ``(examples, *axes)``, or ``(1, *axes)`` of a parameter; views
                that may be strided; read only.
            out: ``(examples, *axes)`` of the result, C-contiguous; every element is written.
        """

    @abstractmethod
    def error(self, d: Array, index: int, tensors: Sequence[Array], y: Array | None) -> Array:
        """Minus the gradient of the loss with respect to an operand.

        Args:
            d: ``(examples, *axes)`` of the result: minus the gradient with respect to it.
            index: Number of the operand.
            tensors: As in ``compute`` if ``needs_inputs``, else empty.
            y: The result if ``needs_output``, else None.

        Returns:
            An array that is summed over what the operand was spread over (``gathered``), of its
            axes; of a parameter, one example or one for each example.
        """

    def forward(self, inputs: Sequence[Array], out: Array, call: Call) -> None:
        """Compute the result of values as they lie."""
        self.put(self.see(inputs), out)

    def put(self, tensors: Sequence[Array], out: Array) -> None:
        """Compute the result into a value of a program, which may be strided."""
        with np.errstate(all="ignore"):  # infinities are values like others
            fill(out, lambda whole: self.compute(tensors, whole.reshape(-1, *self.axes)))

    def see(self, inputs: Sequence[Array]) -> list[Array]:
        """The operands of values as they lie."""
        return [operand.seen(x) for operand, x in zip(self.operands, inputs, strict=False)]

    def backward(
        self, d: Array, index: int, inputs: Sequence[Array], y: Array | None, call: Call
    ) -> Array:
        """The error at an input, as its numbers lie: ``(examples, numbers)``."""
        return self.sent_back(d, index, self.see(inputs), y)

    def sent_back(self, d: Array, index: int, tensors: Sequence[Array], y: Array | None) -> Array:
        """The error at an operand, as its numbers lie: ``(examples, numbers)``."""
        tall = d.reshape(-1, *self.axes)
        result = None if y is None else y.reshape(-1, *self.axes)
        with np.errstate(all="ignore"):
            error = self.error(tall, index, tensors, result)
        return self.operands[index].lying(error)


@dataclass(frozen=True, kw_only=True)
class WithParameter(Learned):
    """An operator one of whose operands is a parameter, the same for all examples.

    Attributes:
        operator: The operator.
        place: Which of its operands the parameter is; the others are inputs, in order.
        start: What every number of it is at first, where none is given.
    """

    operator: Operator
    place: int
    start: float = 0.0

    @property
    def needs_inputs(self) -> bool:  # type: ignore[override]  # follows the operator
        """As the operator."""
        return self.operator.needs_inputs

    @property
    def needs_output(self) -> bool:  # type: ignore[override]
        """As the operator."""
        return self.operator.needs_output

    @property
    def passes_errors(self) -> bool:  # type: ignore[override]
        """As the operator."""
        return self.operator.passes_errors

    @property
    def title(self) -> str:
        """As the operator."""
        return self.operator.title

    @property
    def work(self) -> float:
        """All of the operator's, per number that it takes besides the parameter."""
        sizes = [math.prod(operand.sizes) for operand in self.operator.operands]
        return self.operator.work * sum(sizes) / max(1, sum(sizes) - sizes[self.place])

    @property
    def parameter(self) -> Axes:
        """Axes of the parameter."""
        return self.operator.operands[self.place].sizes

    @property
    def shape(self) -> tuple[int, int]:
        """One row for all but the last axis."""
        *outer, last = self.parameter or (1,)
        return math.prod(outer), last

    def initial(self, stream: Stream) -> Array:
        """The same number everywhere."""
        return np.full(self.shape, self.start, np.float32)

    def _tensors(self, inputs: Sequence[Array], call: Call) -> list[Array]:
        values = list(inputs)
        values.insert(self.place, call.parameters)
        return self.operator.see(values)

    def forward(self, inputs: Sequence[Array], out: Array, call: Call) -> None:
        """Compute the result with the parameter in its place."""
        self.operator.put(self._tensors(inputs, call), out)

    def backward(
        self, d: Array, index: int, inputs: Sequence[Array], y: Array | None, call: Call
    ) -> Array:
        """The error at an input, as its numbers lie."""
        tensors = self._tensors(inputs, call) if self.needs_inputs else ()
        return self.operator.sent_back(d, index + (index >= self.place), tensors, y)

    def parameter_error(
        self, d: Array, inputs: Sequence[Array], call: Call
    ) -> NDArray[np.floating]:
        """The error at the parameter, summed over the examples."""
        tensors = self._tensors(inputs, call)
        y = None
        if self.needs_output:
            y = np.empty((len(d), d.shape[1]), np.float32)
            self.operator.put(tensors, y)
        error = self.operator.sent_back(d, self.place, tensors, y)
        return np.add.reduce(error, axis=0, dtype=np.float64).reshape(self.shape)


def spread(operands: Sequence[Operand]) -> Axes:
    """Axes of a result over which all operands are spread, as in NumPy.

    Raises:
        ValueError: If they do not fit.
    """
    axes = [operand.axes for operand in operands]
    if len({len(some) for some in axes}) != 1:
        raise ValueError(f"operands must have equally many axes, got {axes}")
    for sizes in zip(*axes, strict=True):
        if len(set(sizes) - {1}) > 1:
            raise ValueError(f"operands must have axes alike, or of size 1, got {axes}")
    return tuple(max(sizes) if min(sizes) else 0 for sizes in zip(*axes, strict=True))


def gathered(error: Array, operand: Operand) -> Array:
    """An error at a result, summed over what an operand was spread over."""
    sums = tuple(
        1 + i
        for i, (n, size) in enumerate(zip(error.shape[1:], operand.axes, strict=True))
        if n != size
    )
    return summed(error, sums).astype(np.float32) if sums else error
