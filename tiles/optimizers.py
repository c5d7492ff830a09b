"""Optimisers of numbers in digital memory, with names and defaults of ``torch.optim``.

Gradients are summed over the examples of a batch, as PyTorch's losses with ``reduction="sum"``.
"""

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from crossmesh.common.frozen import Frozen, Many
from crossmesh.common.registry import Kinds, Registry

Array = NDArray[np.float32]
Share = Annotated[float, Field(ge=0, lt=1)]


class Optimizer(Frozen):
    """Base class of optimisers.

    Attributes:
        learning_rate: First learning rate, if it is not that of the tiles, whose schedule it
            follows all the same.
        weight_decay: Factor of the parameters that are added to the gradient.
        decay_biases: Whether biases, and the factors and offsets of norms, decay as well.
        decouples: Whether parameters decay by themselves instead, by the rate times the factor.
    """

    decouples: ClassVar[bool] = False
    if TYPE_CHECKING:
        kind: Any  # of every class, which narrows it

    learning_rate: float | None = Field(None, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    decay_biases: bool = True

    @property
    def moments(self) -> tuple[str, ...]:
        """Names of the arrays that it keeps, each of the shape of the parameters."""
        return ()

    @property
    def operations(self) -> int:
        """Sums, products and roots of a step, per parameter; of another package's, an estimate."""
        return 2 + 4 * len(self.moments) + 2 * bool(self.weight_decay)

    @property
    def is_plain(self) -> bool:
        """Whether a step only adds the rate times the error, so that none need be kept."""
        return False

    @abstractmethod
    def move(
        self,
        parameters: Array,
        gradient: Array,
        rate: float,
        moments: Mapping[str, Array],
        number: int,
    ) -> None:
        """One step, which changes parameters and moments in place.

        Args:
            parameters: ``(rows, cols)``.
            gradient: ``(rows, cols)`` of the loss, with what decays; it may be changed.
            rate: Learning rate.
            moments: ``(rows, cols)`` each, zeros at first.
            number: Number of the step, from 1 on.
        """


class GradientDescent(Optimizer):
    """Stochastic gradient descent, as ``torch.optim.SGD`` without dampening.

    Momentum after Sutskever et al. 2013 (proceedings.mlr.press/v28/sutskever13).

    Attributes:
        momentum: Part of the last step's direction that is kept.
        nesterov: Whether a step looks ahead along it.
    """

    kind: Literal["sgd"] = "sgd"

    momentum: Share = 0.0
    nesterov: bool = False

    @model_validator(mode="after")
    def _looks_ahead_along_a_momentum(self) -> Self:
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov must be false without a momentum, got true")
        return self

    @property
    def moments(self) -> tuple[str, ...]:
        """The direction, if it has a momentum."""
        return ("momentum_buffer",) if self.momentum else ()

    @property
    def operations(self) -> int:
        """Two, and two each for what is kept, looked ahead along, and decays."""
        return 2 + 2 * (bool(self.momentum) + self.nesterov + bool(self.weight_decay))

    @property
    def is_plain(self) -> bool:
        """Without momentum, decay and a rate of its own."""
        return not self.momentum and not self.weight_decay and self.learning_rate is None

    def move(
        self,
        parameters: Array,
        gradient: Array,
        rate: float,
        moments: Mapping[str, Array],
        number: int,
    ) -> None:
        """Along the gradient, or the direction."""
        if self.momentum:
            buffer, part = moments["momentum_buffer"], np.float32(self.momentum)
            buffer *= part
            buffer += gradient
            gradient = gradient + part * buffer if self.nesterov else buffer
        parameters -= np.float32(rate) * gradient


class Adam(Optimizer):
    """Adam, as ``torch.optim.Adam`` without ``amsgrad``.

    Source: Kingma and Ba 2015, arXiv 1412.6980, algorithm 1.

    Attributes:
        betas: Parts of the means of gradients and of their squares that are kept.
        eps: Added to the root of the squares.
    """

    kind: Literal["adam"] = "adam"

    betas: Annotated[Many[Share], Field(min_length=2, max_length=2)] = (0.9, 0.999)
    eps: float = Field(1e-8, ge=0)

    @property
    def moments(self) -> tuple[str, ...]:
        """Means of the gradients and of their squares."""
        return "exp_avg", "exp_avg_sq"

    @property
    def operations(self) -> int:
        """Three of the mean, four of the squares, six of the step, and two of what decays."""
        return 13 + 2 * bool(self.weight_decay)

    def move(
        self,
        parameters: Array,
        gradient: Array,
        rate: float,
        moments: Mapping[str, Array],
        number: int,
    ) -> None:
        """Along the mean, in units of the root of the squares."""
        (kept, kept_square), mean, square = self.betas, moments["exp_avg"], moments["exp_avg_sq"]
        mean += np.float32(1 - kept) * (gradient - mean)
        square *= np.float32(kept_square)
        square += np.float32(1 - kept_square) * (gradient * gradient)
        size = np.sqrt(square) / np.float32(math.sqrt(1 - kept_square**number))
        size += np.float32(self.eps)
        parameters -= np.float32(rate / (1 - kept**number)) * (mean / size)


class AdamW(Adam):
    """Adam with decoupled weight decay, as ``torch.optim.AdamW``.

    Source: Loshchilov and Hutter 2019, arXiv 1711.05101, algorithm 2.
    """

    decouples: ClassVar[bool] = True
    kind: Literal["adamw"] = "adamw"  # type: ignore[assignment]  # another literal

    weight_decay: float = Field(0.01, ge=0)


def _check(kind: type[Optimizer]) -> None:
    if not (isinstance(kind, type) and issubclass(kind, Optimizer)):
        raise TypeError("must be a class derived from crossmesh.kinds.Optimizer")


_OWN: tuple[type[Optimizer], ...] = (GradientDescent, Adam, AdamW)
OPTIMIZERS: Registry[type[Optimizer]] = Registry(
    "crossmesh.optimizers", {str(cls.model_fields["kind"].default): cls for cls in _OWN}, _check
)
AnyOptimizer = Annotated[Optimizer, Kinds(Optimizer, OPTIMIZERS)]
