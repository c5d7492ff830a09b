"""Schedules that pipeline the micro-batches of a batch and update at its end.

They differ in the order of a stage's slots, and so in time and in the activations that are kept,
never in values: weights change between batches only.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

from crossmesh.interconnect.schedule.slots import Phase, Slot


@dataclass(frozen=True, kw_only=True)
class UpdatesTogether(ABC):
    """The micro-batches of a batch are pipelined; updates are applied at the batch's end."""

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
            size = min(self.micro_batches_per_update, n_micro_batches - first)
            end = start + self._batch_ticks(n_stages, size) - 1
            passes = (
                Slot(start + tick, phase, stage, first + m)
                for m in range(size)
                for tick, phase, stage in self._passes(n_stages, size, m)
            )
            yield from sorted(passes)
            for stage in range(n_stages):
                for m in range(size):
                    yield Slot(end, Phase.UPDATE, stage, first + m)
            start = end + 1

    def ticks(self, n_stages: int, n_micro_batches: int) -> int:
        """Those of every batch; a last one may be smaller."""
        whole, rest = divmod(n_micro_batches, self.micro_batches_per_update)
        of_whole = self._batch_ticks(n_stages, self.micro_batches_per_update)
        return whole * of_whole + (self._batch_ticks(n_stages, rest) if rest else 0)

    @abstractmethod
    def _batch_ticks(self, n_stages: int, size: int) -> int:
        """Ticks of a batch of ``size`` micro-batches, of which the updates take the last."""

    @abstractmethod
    def _passes(self, n_stages: int, size: int, m: int) -> Iterator[tuple[int, Phase, int]]:
        """Tick, phase and stage of forward, loss and backward of a batch's micro-batch ``m``."""


class Synchronous(UpdatesTogether):
    """A micro-batch enters every tick; in one tick a stage passes one forward and one backward.

    The schedule of PipeLayer (Song et al., HPCA 2017, doi 10.1109/HPCA.2017.55).
    """

    name: ClassVar[str] = "synchronous"

    def _batch_ticks(self, n_stages: int, size: int) -> int:
        """``2 L + B + 1``."""
        return 2 * n_stages + size + 1

    def _passes(self, n_stages: int, size: int, m: int) -> Iterator[tuple[int, Phase, int]]:
        for stage in range(n_stages):
            yield m + stage, Phase.FORWARD, stage
            yield m + 2 * n_stages - stage, Phase.BACKWARD, stage
        yield m + n_stages, Phase.LOSS, n_stages - 1


class GPipe(UpdatesTogether):
    """All micro-batches of a batch pass forward, then all pass backward, in the same order.

    Every stage keeps the activations of the whole batch. Source: Huang et al., NeurIPS 2019
    (arXiv 1811.06965), and the backward order of PyTorch's ``ScheduleGPipe``.
    """

    name: ClassVar[str] = "gpipe"

    def _batch_ticks(self, n_stages: int, size: int) -> int:
        """``2 (B + L - 1) + 1``."""
        return 2 * (size + n_stages - 1) + 1

    def _passes(self, n_stages: int, size: int, m: int) -> Iterator[tuple[int, Phase, int]]:
        turn = size + n_stages - 1  # the last stage has passed all forward
        for stage in range(n_stages):
            yield m + stage, Phase.FORWARD, stage
            yield turn + n_stages - 1 - stage + m, Phase.BACKWARD, stage
        yield m + n_stages - 1, Phase.LOSS, n_stages - 1


class OneForwardOneBackward(UpdatesTogether):
    """A stage alternates one forward and one backward as soon as an error has reached it.

    As long as GPipe, but stage s of L keeps the activations of at most L - s micro-batches. Source:
    the flushed schedule of Narayanan et al., SC 2021 (arXiv 2104.04473).
    """

    name: ClassVar[str] = "1f1b"

    def _batch_ticks(self, n_stages: int, size: int) -> int:
        """``2 (B + L - 1) + 1``."""
        return 2 * (size + n_stages - 1) + 1

    def _passes(self, n_stages: int, size: int, m: int) -> Iterator[tuple[int, Phase, int]]:
        for stage in range(n_stages):
            enters_freely = m < n_stages - stage  # no error has reached the stage yet
            yield stage + m * (1 if enters_freely else 2), Phase.FORWARD, stage
            yield 2 * n_stages - 1 - stage + 2 * m, Phase.BACKWARD, stage
        yield n_stages - 1 + 2 * m, Phase.LOSS, n_stages - 1
