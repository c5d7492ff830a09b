"""Learning-rate schedules by the names that configs use; their words are those of PyTorch."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple, Self

from pydantic import Discriminator, Field, Tag, model_validator

from crossmesh.common.frozen import Frozen, Many
from crossmesh.common.refusals import AS_LIST, AS_MAPPING, AS_NUMBER
from crossmesh.common.registry import Kinds, Registry


class EpochLoss(NamedTuple):
    """Mean losses of an epoch: of its examples as they were trained, and of others after it."""

    train: float
    test: float
    validation: float | None = None


class Moment(NamedTuple):
    """When an update takes place.

    Attributes:
        epoch: Epochs before it.
        update: Updates of its epoch before it.
        updates: Updates of an epoch.
        examples: Examples trained before it.
        losses: Of each epoch before it.
    """

    epoch: int
    update: int
    updates: int
    examples: int
    losses: Sequence[EpochLoss] = ()

    @property
    def epochs(self) -> float:
        """Epochs before it, with the part of its own."""
        return self.epoch + self.update / self.updates


class WarmUp(Frozen):
    """A rate that rises linearly to that of its schedule, as ``LinearLR`` chained with it.

    Attributes:
        examples: Length in examples; or ``epochs``.
        epochs: Length of the warm-up in epochs.
        start_factor: Part of the schedule's rate that it begins with.
    """

    examples: int | None = Field(None, ge=1)
    epochs: float | None = Field(None, gt=0)
    start_factor: float = Field(1 / 3, gt=0, le=1)

    @model_validator(mode="after")
    def _has_one_length(self) -> Self:
        if (self.examples is None) == (self.epochs is None):
            raise ValueError("examples or epochs must be given, and only one of them")
        return self

    def factor(self, moment: Moment) -> float:
        """Part of the schedule's rate at a moment."""
        done = (
            moment.epochs / self.epochs if self.epochs else moment.examples / (self.examples or 1)
        )
        return self.start_factor + (1 - self.start_factor) * min(done, 1.0)


class RateSchedule(Frozen):
    """Base class of learning-rate schedules.

    Attributes:
        value: The first rate, after warming up.
        warm_up: Rise to the schedule's rate; by default none.
        watches: Whether it depends on losses.
    """

    watches: ClassVar[bool] = False
    if TYPE_CHECKING:
        kind: Any  # of every class, which narrows it

    value: float = Field(gt=0)
    warm_up: WarmUp | None = None

    @abstractmethod
    def rate(self, moment: Moment) -> float:
        """The rate of an update, before it is multiplied by that of the warm-up."""

    def at(self, moment: Moment) -> float:
        """The rate of an update."""
        return self.rate(moment) * (self.warm_up.factor(moment) if self.warm_up else 1.0)


class ConstantRate(RateSchedule):
    """The same rate always, which may be warmed up to."""

    kind: Literal["constant"] = "constant"

    def rate(self, moment: Moment) -> float:
        """The first rate."""
        return self.value


class StepRate(RateSchedule):
    """A rate that falls at some epochs, as ``StepLR`` and ``MultiStepLR``.

    Attributes:
        step_size: Epochs from one fall to the next; or ``milestones``.
        milestones: Epochs at which it falls.
        gamma: Factor of each fall.
    """

    kind: Literal["steps"] = "steps"

    step_size: int | None = Field(None, ge=1)
    milestones: Many[Annotated[int, Field(ge=1)]] = ()
    gamma: float = Field(0.1, gt=0)

    @model_validator(mode="after")
    def _falls_somewhere(self) -> Self:
        if (self.step_size is None) == (not self.milestones):
            raise ValueError("step_size or milestones must be given, and only one of them")
        return self

    def rate(self, moment: Moment) -> float:
        """``value * gamma ** falls``."""
        falls = sum(epoch <= moment.epoch for epoch in self.milestones)
        if self.step_size is not None:
            falls = moment.epoch // self.step_size
        return float(self.value * self.gamma**falls)


class CosineRate(RateSchedule):
    """Half a period of a cosine, update by update, as ``CosineAnnealingLR``; then the smallest.

    Source: Loshchilov and Hutter 2017, arXiv 1608.03983, equation 5, without restarts.

    Attributes:
        t_max: Epochs to the smallest rate.
        eta_min: Rate that the cosine falls to within ``t_max`` epochs.
    """

    kind: Literal["cosine"] = "cosine"

    t_max: int = Field(ge=1)
    eta_min: float = Field(0.0, ge=0)

    def rate(self, moment: Moment) -> float:
        """``eta_min + (value - eta_min) * (1 + cos(pi * t / t_max)) / 2``."""
        left = (1 + math.cos(math.pi * min(moment.epochs / self.t_max, 1.0))) / 2
        return self.eta_min + (self.value - self.eta_min) * left


class PlateauRate(RateSchedule):
    """A rate that falls when a loss no longer does, as ``ReduceLROnPlateau``.

    It follows from the losses of the epochs so far, which every checkpoint holds.

    Attributes:
        monitor: The loss: of the examples as they were trained, of the test set, or of the
            examples that ``data.validation`` sets aside.
        factor: Factor of each fall.
        patience: Epochs without a better loss that are borne.
        threshold: Part of the best loss by which one must be better to count.
        cooldown: Epochs after a fall that do not count.
        min_lr: Smallest rate that the drops lead to.
    """

    watches: ClassVar[bool] = True
    kind: Literal["plateau"] = "plateau"

    monitor: Literal["train_loss", "test_loss", "validation_loss"] = "train_loss"
    factor: float = Field(0.1, gt=0, lt=1)
    patience: int = Field(10, ge=0)
    threshold: float = Field(1e-4, ge=0, lt=1)
    cooldown: int = Field(0, ge=0)
    min_lr: float = Field(0.0, ge=0)

    def rate(self, moment: Moment) -> float:
        """From all losses so far."""
        rate, best, bad, cooling = self.value, math.inf, 0, 0
        for epoch in moment.losses:
            watched = {"test_loss": epoch.test, "validation_loss": epoch.validation}
            loss = watched.get(self.monitor, epoch.train)
            if loss is None:
                raise ValueError("no examples were set aside for validation")
            is_better = loss < best * (1 - self.threshold)
            best = loss if is_better else best
            bad = 0 if is_better or cooling else bad + 1
            cooling = max(0, cooling - 1)
            if bad > self.patience:
                rate, bad, cooling = max(rate * self.factor, self.min_lr), 0, self.cooldown
        return rate


class RatePoint(Frozen):
    """A learning rate that holds from an epoch on.

    Attributes:
        epoch: The first epoch with this rate, counted from 0.
        value: Learning rate from that epoch on.
    """

    epoch: int = Field(ge=0)
    value: float = Field(gt=0)


def _check(kind: type[RateSchedule]) -> None:
    if not (isinstance(kind, type) and issubclass(kind, RateSchedule)):
        raise TypeError("must be a class derived from crossmesh.kinds.RateSchedule")


_OWN: tuple[type[RateSchedule], ...] = (ConstantRate, StepRate, CosineRate, PlateauRate)
RATES: Registry[type[RateSchedule]] = Registry(
    "crossmesh.learning_rates", {str(cls.model_fields["kind"].default): cls for cls in _OWN}, _check
)


def _form(rate: object) -> str:
    if isinstance(rate, list | tuple):
        return AS_LIST
    return AS_MAPPING if isinstance(rate, dict | RateSchedule) else AS_NUMBER


LearningRate = Annotated[
    Annotated[float, Field(gt=0), Tag(AS_NUMBER)]
    | Annotated[Many[RatePoint], Field(min_length=1), Tag(AS_LIST)]
    | Annotated[RateSchedule, Kinds(RateSchedule, RATES), Tag(AS_MAPPING)],
    Discriminator(_form),
]


def check_epochs(rate: LearningRate) -> None:
    """Refuse points whose epochs do not rise from 0."""
    if isinstance(rate, tuple):
        epochs = [point.epoch for point in rate]
        if epochs[0] != 0 or epochs != sorted(set(epochs)):
            raise ValueError(
                f"learning_rate must list increasing epochs from 0, got epochs {epochs}"
            )


def first_rate(rate: LearningRate) -> float:
    """The rate that others are parts of: of the first epoch, after warming up."""
    if isinstance(rate, float):
        return rate
    return rate[0].value if isinstance(rate, tuple) else rate.value


def rates_of(
    rate: LearningRate,
    epoch: int,
    n_examples: int,
    updates: range,
    losses: Sequence[EpochLoss] = (),
) -> tuple[float, ...]:
    """The rate of each update of a part of an epoch, or one rate where all are alike.

    Args:
        rate: The setting.
        epoch: Number of the epoch.
        n_examples: Examples of an epoch.
        updates: First example of each update, counted from the epoch's start.
        losses: Of the epochs before.
    """
    if isinstance(rate, float):
        return (rate,)
    if isinstance(rate, tuple):
        return ([point.value for point in rate if point.epoch <= epoch][-1],)
    per_epoch, before = -(-n_examples // updates.step), epoch * n_examples
    moments = (Moment(epoch, at // updates.step, per_epoch, before + at, losses) for at in updates)
    return tuple(rate.at(moment) for moment in moments)
