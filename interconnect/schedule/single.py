"""Schedules whose micro-batch is a batch: one after the other, or a stream that never drains."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

from crossmesh.interconnect.schedule.slots import Phase, Slot


class UpdatesEach:
    """A micro-batch is a batch, with an update of its own."""

    splits_batches: ClassVar[bool] = False
    micro_batches_per_update: ClassVar[int] = 1

    @classmethod
    def for_batch(cls, micro_batches: int) -> Self:
        """One micro-batch is a batch."""
        return cls()

    @staticmethod
    def staleness(n_stages: int) -> int:
        """None: weights change between batches."""
        return 0


@dataclass(frozen=True, kw_only=True)
class Sequential(UpdatesEach):
    """One micro-batch at a time: forward, loss, backward, update. Equals plain SGD.

    >>> [(s.tick, s.phase.name, s.stage) for s in Sequential().slots(1, 1)]
    [(0, 'FORWARD', 0), (1, 'LOSS', 0), (2, 'BACKWARD', 0), (3, 'UPDATE', 0)]
    """

    name: ClassVar[str] = "sequential"
    overlaps: ClassVar[bool] = False
    stays_full: ClassVar[bool] = False
    round: ClassVar[int] = 1

    def slots(self, n_stages: int, n_micro_batches: int) -> Iterator[Slot]:
        """Every slot, in order."""
        last = n_stages - 1
        for m in range(n_micro_batches):
            start = m * (2 * n_stages + 2)
            for stage in range(n_stages):
                yield Slot(start + stage, Phase.FORWARD, stage, m)
            yield Slot(start + n_stages, Phase.LOSS, last, m)
            for stage in range(last, -1, -1):
                yield Slot(start + 2 * n_stages - stage, Phase.BACKWARD, stage, m)
            for stage in range(n_stages):
                yield Slot(start + 2 * n_stages + 1, Phase.UPDATE, stage, m)

    def ticks(self, n_stages: int, n_micro_batches: int) -> int:
        """``(2 L + 1) N + N``: L forward, 1 loss, L backward and 1 update per micro-batch."""
        return (2 * n_stages + 2) * n_micro_batches


@dataclass(frozen=True, kw_only=True)
class Asynchronous(UpdatesEach):
    """A micro-batch enters every tick; each update is applied when its error arrives.

    Stage s of S updates with an error that is 2 (S - 1 - s) updates old, and its backward read
    sees the present weights: an array cannot stash old ones.
    """

    name: ClassVar[str] = "asynchronous"
    overlaps: ClassVar[bool] = True
    stays_full: ClassVar[bool] = True
    round: ClassVar[None] = None

    @staticmethod
    def staleness(n_stages: int) -> int:
        """Twice the stages behind the first: the way of a micro-batch to the loss and back."""
        return 2 * (n_stages - 1)

    def slots(self, n_stages: int, n_micro_batches: int) -> Iterator[Slot]:
        """Every slot, in order."""
        last = n_stages - 1
        for t in range(self.ticks(n_stages, n_micro_batches)):
            yield from _forward_and_loss(t, n_stages, n_micro_batches)
            for phase in (Phase.BACKWARD, Phase.UPDATE):
                for stage in range(n_stages):
                    m = t - (2 * last - stage)
                    if 0 <= m < n_micro_batches:
                        yield Slot(t, phase, stage, m)

    def ticks(self, n_stages: int, n_micro_batches: int) -> int:
        """``N + 2 (L - 1)``: one micro-batch per tick once the pipeline is full."""
        return n_micro_batches + 2 * (n_stages - 1)


@dataclass(frozen=True, kw_only=True)
class ForwardOnly(UpdatesEach):
    """Forward only; a micro-batch enters every tick."""

    name: ClassVar[str] = "evaluation"
    overlaps: ClassVar[bool] = True
    stays_full: ClassVar[bool] = True
    round: ClassVar[None] = None

    def slots(self, n_stages: int, n_micro_batches: int) -> Iterator[Slot]:
        """Every slot, in order."""
        for t in range(self.ticks(n_stages, n_micro_batches)):
            yield from _forward_and_loss(t, n_stages, n_micro_batches)

    def ticks(self, n_stages: int, n_micro_batches: int) -> int:
        """``N + L - 1``."""
        return n_micro_batches + n_stages - 1


def _forward_and_loss(tick: int, n_stages: int, n_micro_batches: int) -> Iterator[Slot]:
    """Tick of a pipeline that a micro-batch enters every tick; the loss needs none of its own."""
    for stage in range(n_stages):
        if 0 <= tick - stage < n_micro_batches:
            yield Slot(tick, Phase.FORWARD, stage, tick - stage)
    m = tick - (n_stages - 1)
    if 0 <= m < n_micro_batches:
        yield Slot(tick, Phase.LOSS, n_stages - 1, m)
