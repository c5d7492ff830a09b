"""Base classes of the functions that digital units compute.

A value is ``(examples * positions, features)``, float32, example by example: a flat vector has one
position, an image one per pixel (row by row), a sequence one per step. Errors carry the sign of
the update: ``d`` is minus the gradient of the loss, so that a weight changes by ``rate * x * d``.
"""

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.random import Stream

Array = NDArray[np.float32]
NO_PARAMETERS: Array = np.zeros((0, 0), np.float32)


class Call(NamedTuple):
    """Arguments of a function besides its inputs.

    Attributes:
        first_example: Number of the first example, which keys random numbers.
        is_training: Whether the network is trained, not tested.
        seed: The run's seed.
        parameters: Parameters of a ``Learned`` function, of its ``shape``; else empty.
    """

    first_example: int = 0
    is_training: bool = True
    seed: int = 0
    parameters: Array = NO_PARAMETERS


class Function(ABC):
    """A frozen object that computes one value from others; it remembers nothing.

    Attributes:
        needs_inputs: Whether the backward pass reads the inputs; otherwise it is given none.
        needs_output: Whether the backward pass reads the output; otherwise it is given None.
        passes_errors: Whether there is a backward pass at all.
        limits: Smallest and largest value that it can give.
        sums_to_one: Whether the values of an output are shares that add up to 1.
    """

    needs_inputs: ClassVar[bool] = False
    needs_output: ClassVar[bool] = False
    passes_errors: ClassVar[bool] = True
    limits: ClassVar[tuple[float, float]] = (-math.inf, math.inf)
    sums_to_one: ClassVar[bool] = False

    @property
    def title(self) -> str:
        """What it is called in reports: its name in configs, or that of its class."""
        called = getattr(self, "name", None)
        return called or re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(self).__name__).lower()

    @property
    def work(self) -> float:
        """Operations of a digital unit per number that it takes."""
        return 1.0

    @property
    def reshapes(self) -> bool:
        """Whether its value has the numbers of its input as they lie, so that none is copied."""
        return False

    @abstractmethod
    def forward(self, inputs: Sequence[Array], out: Array, call: Call) -> None:
        """Compute the value of the inputs.

        Args:
            inputs: ``(examples * positions, features)`` float32 values, one per input; read only.
            out: ``(examples * positions, features)`` of the output, float32; every element must be
                written. It may be a strided view.
            call: First example, seed, parameters, and whether the network is trained.
        """

    @abstractmethod
    def backward(
        self, d: Array, index: int, inputs: Sequence[Array], y: Array | None, call: Call
    ) -> Array:
        """Backward pass: the error at one input.

        Args:
            d: ``(examples * positions, features)`` of the output, float32: minus the gradient of
                the loss with respect to the output; read only.
            index: Number of the input.
            inputs: As in ``forward`` if ``needs_inputs``, else empty.
            y: The output as ``forward`` wrote it if ``needs_output``, else None.
            call: As in ``forward``.

        Returns:
            Minus the gradient of the loss with respect to the input, its numbers in their order,
            whatever the shape; it may be ``d`` itself.
        """


class Learned(Function):
    """A function with parameters, held in a digital memory and changed by an optimiser.

    Attributes:
        decays: Whether its parameters are weights, which decay whatever ``decay_biases`` says.
    """

    decays: ClassVar[bool] = True

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int]:
        """Rows and columns of its parameters."""

    @abstractmethod
    def initial(self, stream: Stream) -> Array:
        """Parameters before training.

        Args:
            stream: Random numbers of this function, from the run's seed.

        Returns:
            Float32 array of shape ``shape``.
        """

    @property
    def learned_rows(self) -> int:
        """The first so many rows of its parameters follow the gradient."""
        return self.shape[0]

    @abstractmethod
    def parameter_error(
        self, d: Array, inputs: Sequence[Array], call: Call
    ) -> NDArray[np.floating]:
        """Error of the parameters: minus the gradient of the loss with respect to them.

        Args:
            d: ``(examples * positions, features)`` error at the output, as in ``backward``.
            inputs: As in ``forward``, whatever ``needs_inputs`` says.
            call: Holds the parameters, of shape ``shape``.

        Returns:
            ``(learned_rows, columns)``, summed over the examples, not averaged.
        """

    def learn(self, d: Array, inputs: Sequence[Array], call: Call, rate: float) -> None:
        """One step of plain SGD: add ``rate`` times the error to ``call.parameters``.

        Args:
            d: As in ``parameter_error``.
            inputs: As there.
            call: Holds the parameters, to be changed in place.
            rate: Learning rate.
        """
        learned = call.parameters[: self.learned_rows]
        learned[:] = learned + rate * self.parameter_error(d, inputs, call)
