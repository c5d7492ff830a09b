"""Optimisers whose steps take the place of gradients in digital memory beside a tile."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Discriminator, Field

from crossmesh.common.frozen import Frozen
from crossmesh.tiles.analog.array import Array


class GradientMomentum(Frozen):
    """Momentum of what is added to the accumulator, as ``torch.optim.SGD`` has it.

    Attributes:
        momentum: What stays of the velocity at each step.
        nesterov: Whether a step looks ahead along the velocity.
    """

    kind: Literal["momentum"] = "momentum"
    momentum: float = Field(0.9, ge=0, lt=1)
    nesterov: bool = False

    operations: ClassVar[int] = 4  # per weight and step

    @property
    def names(self) -> tuple[str, ...]:
        """Numbers per weight."""
        return ("velocity",)

    def step(self, gradient: Array, moments: Mapping[str, Array], n: int) -> Array:
        """What is added to the accumulator, per unit of the learning rate."""
        del n
        velocity = moments["velocity"]
        velocity *= np.float32(self.momentum)
        velocity += gradient
        step: Array = velocity
        if self.nesterov:
            step = gradient + np.float32(self.momentum) * velocity
        return step


class GradientAdam(Frozen):
    """Adam's steps are what is added to the accumulator, as ``torch.optim.Adam`` has them.

    Attributes:
        beta1: Weight of the past in the mean of gradients.
        beta2: The same in the mean of their squares.
        eps: Added to the root of the second, in units of gradients.
    """

    kind: Literal["adam"] = "adam"
    beta1: float = Field(0.9, ge=0, lt=1)
    beta2: float = Field(0.999, ge=0, lt=1)
    eps: float = Field(1e-8, gt=0)

    operations: ClassVar[int] = 12  # per weight and step

    @property
    def names(self) -> tuple[str, ...]:
        """Numbers per weight."""
        return ("first", "second")

    def step(self, gradient: Array, moments: Mapping[str, Array], n: int) -> Array:
        """What is added to the accumulator, per unit of the learning rate."""
        first, second = moments["first"], moments["second"]
        first += np.float32(1 - self.beta1) * (gradient - first)
        second += np.float32(1 - self.beta2) * (np.square(gradient) - second)
        of_first = np.float32(1 / (1 - self.beta1**n))
        of_second = np.float32(1 / (1 - self.beta2**n))
        step: Array = of_first * first / (np.sqrt(of_second * second) + np.float32(self.eps))
        return step


Optimiser = Annotated[GradientMomentum | GradientAdam, Discriminator("kind")]
