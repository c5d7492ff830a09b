"""When each pipeline stage works on each micro-batch. Pure arithmetic, no clock.

A tick is the time that a stage takes for one phase of one micro-batch. Schedules yield their
slots in the order (tick, phase, stage, micro-batch), which is the order in which every executor
performs them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, NamedTuple, Protocol, Self

from crossmesh.common.registry import Registry


class Phase(IntEnum):
    """Work of a stage in a slot, in the order of one tick."""

    FORWARD = 0
    LOSS = 1
    BACKWARD = 2
    UPDATE = 3


class Slot(NamedTuple):
    """One stage busy with one phase of one micro-batch."""

    tick: int
    phase: Phase
    stage: int
    micro_batch: int


class Schedule(Protocol):
    """The order of forward, loss, backward and update over all stages.

    Attributes:
        name: Name in configs.
        splits_batches: Whether a batch may be several micro-batches.
        overlaps: Whether stages work on different micro-batches at the same time.
        stays_full: Whether a micro-batch enters as soon as the first stage is free.
    """

    name: ClassVar[str]
    splits_batches: ClassVar[bool]
    overlaps: ClassVar[bool]
    stays_full: ClassVar[bool]

    @classmethod
    def for_batch(cls, micro_batches: int) -> "Schedule":
        """The schedule for batches of ``micro_batches`` micro-batches each."""
        ...

    @staticmethod
    def staleness(n_stages: int) -> int:
        """Updates of the first stage between a forward read and the update that it leads to."""
        ...

    @property
    def micro_batches_per_update(self) -> int:
        """Micro-batches whose updates are applied together."""
        ...

    @property
    def round(self) -> int | None:
        """Micro-batches after which the pipeline is empty; None: only at the end of a run."""
        ...

    def slots(self, n_stages: int, n_micro_batches: int) -> Iterator[Slot]:
        """All slots of a run from an empty pipeline to an empty one.

        Args:
            n_stages: Stages of the pipeline.
            n_micro_batches: Micro-batches of the run.

        Yields:
            Slots in the order (tick, phase, stage, micro-batch).
        """
        ...

    def ticks(self, n_stages: int, n_micro_batches: int) -> int:
        """Ticks of that run, from the start of its first slot to the end of its last.

        Args:
            n_stages: Stages of the pipeline.
            n_micro_batches: Micro-batches of the run.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Sequential:
    """One micro-batch at a time: forward, loss, backward, update. Equals plain SGD.

    >>> [(s.tick, s.phase.name, s.stage) for s in Sequential().slots(1, 1)]
    [(0, 'FORWARD', 0), (1, 'LOSS', 0), (2, 'BACKWARD', 0), (3, 'UPDATE', 0)]
    """

    name: ClassVar[str] = "sequential"
    splits_batches: ClassVar[bool] = False
    overlaps: ClassVar[bool] = False
    stays_full: ClassVar[bool] = False
    micro_batches_per_update: int = 1
    round: ClassVar[int] = 1

    @classmethod
    def for_batch(cls, micro_batches: int) -> Self:
        """One micro-batch is a batch."""
        return cls()

    @staticmethod
    def staleness(n_stages: int) -> int:
        """None: weights change between batches."""
        return 0

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
class Synchronous:
    """The micro-batches of a batch are pipelined; updates are applied at the batch's end.

    The schedule of PipeLayer (Song et al., HPCA 2017, doi 10.1109/HPCA.2017.55).
    """

    name: ClassVar[str] = "synchronous"
    splits_batches: ClassVar[bool] = True
    overlaps: ClassVar[bool] = True
    stays_full: ClassVar[bool] = False
    micro_batches_per_update: int

    @property
    def round(self) -> int:
        """A batch."""
        return self.micro_batches_per_update

    @classmethod
    def for_batch(cls, micro_batches: int) -> Self:
        """Updates at the end of the batch."""
        return cls(micro_batches_per_update=micro_batches)

    @staticmethod
    def staleness(n_stages: int) -> int:
        """None: weights change between batches."""
        return 0

    def slots(self, n_stages: int, n_micro_batches: int) -> Iterator[Slot]:
        """Every slot, in order."""
        start = 0
        for first in range(0, n_micro_batches, self.micro_batches_per_update):
            batch = range(first, min(first + self.micro_batches_per_update, n_micro_batches))
            yield from self._batch(n_stages, batch, start)
            start += 2 * n_stages + len(batch) + 1

    @staticmethod
    def _batch(n_stages: int, batch: range, start: int) -> Iterator[Slot]:
        size, end = len(batch), 2 * n_stages + len(batch)
        # When the batch's first micro-batch meets each place; the others follow tick by tick.
        delays = [(stage, Phase.FORWARD, stage) for stage in range(n_stages)]
        delays.append((n_stages, Phase.LOSS, n_stages - 1))
        delays += [(2 * n_stages - stage, Phase.BACKWARD, stage) for stage in range(n_stages)]
        for t in range(end):
            for delay, phase, stage in delays:
                if 0 <= t - delay < size:
                    yield Slot(start + t, phase, stage, batch[t - delay])
        for stage in range(n_stages):
            for m in batch:
                yield Slot(start + end, Phase.UPDATE, stage, m)

    def ticks(self, n_stages: int, n_micro_batches: int) -> int:
        """``2 L + B + 1`` for every batch of B micro-batches."""
        whole, rest = divmod(n_micro_batches, self.micro_batches_per_update)
        per_batch = 2 * n_stages + 1 + self.micro_batches_per_update
        return whole * per_batch + (2 * n_stages + 1 + rest if rest else 0)


@dataclass(frozen=True, kw_only=True)
class Asynchronous:
    """A micro-batch enters every tick; each update is applied when its error arrives.

    Stage s of S updates with an error that is 2 (S - 1 - s) updates old, and its backward read
    sees the present weights: an array cannot stash old ones.
    """

    name: ClassVar[str] = "asynchronous"
    splits_batches: ClassVar[bool] = False
    overlaps: ClassVar[bool] = True
    stays_full: ClassVar[bool] = True
    micro_batches_per_update: int = 1
    round: ClassVar[None] = None

    @classmethod
    def for_batch(cls, micro_batches: int) -> Self:
        """One micro-batch is a batch."""
        return cls()

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
class ForwardOnly:
    """Forward only; a micro-batch enters every tick."""

    name: ClassVar[str] = "evaluation"
    splits_batches: ClassVar[bool] = False
    overlaps: ClassVar[bool] = True
    stays_full: ClassVar[bool] = True
    micro_batches_per_update: int = 1
    round: ClassVar[None] = None

    @classmethod
    def for_batch(cls, micro_batches: int) -> Self:
        """One micro-batch is a batch."""
        return cls()

    @staticmethod
    def staleness(n_stages: int) -> int:
        """None: weights change between batches."""
        return 0

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


_OWN: tuple[type[Schedule], ...] = (Sequential, Synchronous, Asynchronous)
SCHEDULES: Registry[type[Schedule]] = Registry(
    "crossmesh.schedules", {cls.name: cls for cls in _OWN}
)


def schedule(name: str, micro_batches_per_update: int = 1) -> Schedule:
    """The training schedule that a config file names."""
    return SCHEDULES[name].for_batch(micro_batches_per_update)
