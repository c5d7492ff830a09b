"""What a schedule is: slots of stages, phases and micro-batches. Pure arithmetic, no clock.

A tick is the time that a stage takes for one phase of one micro-batch. Schedules yield their
slots in the order (tick, phase, stage, micro-batch), which is the order in which every executor
performs them.
"""

from collections.abc import Iterator
from enum import IntEnum
from typing import ClassVar, NamedTuple, Protocol


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
