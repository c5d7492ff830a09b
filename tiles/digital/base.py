"""What digital units compute: functions of whole values, and their backward pass.

A value is ``(examples * positions, features)``, float32, example by example: a flat vector has one
position, an image one per pixel (row by row), a sequence one per step. Errors carry the sign of
the update: ``d`` is minus the gradient of the loss, so that a weight changes by ``rate * x * d``.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.random import Stream

Array = NDArray[np.float32]
NO_PARAMETERS: Array = np.zeros((0, 0), np.float32)


class Call(NamedTuple):
    """What a function knows besides its inputs.

    Attributes:
        first_example: Number of the first example, which keys random numbers.
        is_training: Whether the network is trained, not tested.
        seed: The run's seed.
        parameters: What the digital memory of a ``Learned`` function holds, else empty.
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
    """

    needs_inputs: ClassVar[bool] = False
    needs_output: ClassVar[bool] = False
    passes_errors: ClassVar[bool] = True
    limits: ClassVar[tuple[float, float]] = (-math.inf, math.inf)

    @property
    def work(self) -> float:
        """Operations of a digital unit per number that it takes."""
        return 1.0

    @abstractmethod
    def forward(self, inputs: Sequence[Array], out: Array, call: Call) -> None:
        """Write the value of ``inputs`` to every element of ``out``, perhaps a strided view."""

    @abstractmethod
    def backward(
        self, d: Array, index: int, inputs: Sequence[Array], y: Array | None, call: Call
    ) -> Array:
        """Error at the input ``index``, from the error ``d`` at the output.

        Must not change what it is given; it may return ``d`` itself.
        """


class Learned(Function):
    """A function with parameters, held in a digital memory and learned by plain SGD."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int]:
        """Rows and columns of its parameters."""

    @abstractmethod
    def initial(self, stream: Stream) -> Array:
        """Its parameters before training."""

    @abstractmethod
    def learn(self, d: Array, inputs: Sequence[Array], call: Call, rate: float) -> None:
        """Change ``call.parameters`` by ``rate`` times minus the gradient, over all examples."""
