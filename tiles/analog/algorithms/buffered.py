"""Tiki-Taka with a digital buffer between the arrays, choppers, and a reference that follows."""

import math
from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from crossmesh.tiles.analog.algorithms.buffered_links import (
    BufferedLink,
    ChoppedLink,
    FollowingLink,
)
from crossmesh.tiles.analog.algorithms.chain import ChainCell
from crossmesh.tiles.analog.algorithms.chain_crossbar import Link
from crossmesh.tiles.analog.algorithms.lines import Lines
from crossmesh.tiles.analog.algorithms.tiki_taka import TikiTaka
from crossmesh.tiles.analog.cells import Cell, Crossbar
from crossmesh.tiles.analog.devices.limits import Level
from crossmesh.tiles.analog.pulser import Site
from crossmesh.tiles.analog.update import MAX_PULSES, UpdateConfig

_LEAST_SHARE = 0.1  # of the range, through which a run should be able to move weights


class TikiTaka2(TikiTaka):
    """Tiki-Taka with a buffer: a weight is pulsed when enough has been read for a whole pulse.

    The buffer H adds up what is read, in pulses of C, so that the noise of reads and updates
    averages out and few states are enough. With ``auto_rate`` and ``auto_granularity`` both arrays
    are used alike whatever the network's inputs and errors are.

    Source: Gokmen 2021 (doi 10.3389/frai.2021.699148); automatic settings: Rasch et al. 2024
    (doi 10.1038/s41467-024-51221-z).

    Attributes:
        granularity: What must be read for one pulse, in steps of C [thres_scale]; in steps of A for
            the kinds with choppers [buffer_granularity].
        auto_granularity: Times so much, over the vectors of a pass over all lines, one at a time,
            or 0: times 1 [auto_granularity].
        longest: Pulses of a device in one write at most [transfer_update.desired_bl].
        forget: Whether a pulse leaves ``momentum`` of the buffer, or takes away what it wrote
            [forget_buffer].
        momentum: What stays of the buffer, or of what was written [momentum].
        write: Trains of the writes, as aihwkit has them; by default the pulses are counted, so that
            all that is wanted is delivered [transfer_update].
    """

    kind: Literal["tiki_taka_2"] = "tiki_taka_2"  # type: ignore[assignment]  # narrows it
    granularity: float = Field(1.0, gt=0, le=1e6)
    auto_granularity: float = Field(0.0, ge=0, le=1e9)
    longest: int = Field(1, ge=1, le=MAX_PULSES)
    forget: bool = True
    momentum: float = Field(0.1, ge=0, lt=1)

    words: ClassVar[int] = 1
    operations: ClassVar[int] = 3  # scaled, added, compared
    moved_words: ClassVar[int] = 2  # the buffer, read and written

    def slots(self, update: UpdateConfig) -> int:
        """The longest write, where pulses are counted."""
        return self.write.length if self.write else self.longest

    def link(self, k: int, cell: ChainCell, arrays: Sequence[Crossbar], site: Site) -> Link:
        """A buffer."""
        return BufferedLink(self, k, cell, arrays, site)

    def doubts_of_run(self, cells: Sequence[Cell], site: Site, vectors: int) -> Sequence[str]:
        """Whether the turns of a line are too few to move weights through much of their range."""
        waiting, lines = super().doubts_of_run(cells, site, vectors), self.lines(0, site)
        turns = vectors * lines.reads // (lines.every * lines.total)
        writes = max(turns - self.passes_before_writes, 0)
        share = min(writes * self.longest * cells[-1].granularity / (2 * cells[-1].reach), 1)
        if share >= _LEAST_SHARE:
            return waiting
        unwritten = self.passes_before_writes
        return [
            *waiting,
            f"{self.kind}: each line has {turns} turn{'s' * (turns != 1)} in this run"
            + (f", of which the first {unwritten} write nothing" if unwritten else "")
            + f", so weights move by at most {100 * share:.2g} % of their range; more epochs, "
            "reads or longest move them further"
            + (", and so does a larger chop" * bool(unwritten)),
        ]

    @property
    def passes_before_writes(self) -> int:
        """Passes over all lines before the first that writes."""
        return 0

    def threshold(self, k: int, cell: ChainCell, lines: Lines) -> float:
        """What must be read from array ``k``, line by line, for one pulse of the next."""
        return self._of_step(cell.cells[k + 1].granularity, lines)

    def _of_step(self, step: float, lines: Lines) -> float:
        whole = self.granularity * step
        if self.auto_granularity:
            whole *= self.auto_granularity / (lines.total * lines.every)
        return whole


class ChoppedTikiTaka2(TikiTaka2):
    """Tiki-Taka with a buffer and choppers: the sign of a line's updates changes now and then.

    An error of the reference counts with both signs in turn, so it averages out; it may be about a
    quarter of the range.

    Source: Rasch et al. 2024 (doi 10.1038/s41467-024-51221-z).

    Attributes:
        chop: Changes of a line's sign per pass over all lines [in_chop_prob].
        chop_at_random: Whether the sign changes with this probability, or at every so manieth pass
            [in_chop_random].
        follows_fast_rate: Whether what is read is divided by the rate of A, so that C moves by the
            learning rate [correct_gradient_magnitudes].
    """

    kind: Literal["chopped_tiki_taka_2"] = "chopped_tiki_taka_2"  # type: ignore[assignment]
    arrays: Literal[2] = 2
    line: Literal["word"] = "word"
    chop: float = Field(0.1, gt=0, le=1)
    chop_at_random: bool = False
    momentum: float = Field(0.0, ge=0, lt=1)
    follows_fast_rate: bool = False

    operations: ClassVar[int] = 4  # and multiplied by the sign

    def link(self, k: int, cell: ChainCell, arrays: Sequence[Crossbar], site: Site) -> Link:
        """A buffer, and the choppers of its lines."""
        return ChoppedLink(self, k, cell, arrays, site)

    def threshold(self, k: int, cell: ChainCell, lines: Lines) -> float:
        """What must be read from array ``k``, line by line, for one pulse of the next."""
        read, written = cell.cells[k].granularity, cell.cells[k + 1].granularity
        return self._of_step(written if self.follows_fast_rate else read, lines)

    @property
    def period(self) -> int:
        """Passes over all lines between two changes of a sign, where they are regular."""
        return max(math.ceil(1 / self.chop), 2)


class Agad(ChoppedTikiTaka2):
    """Tiki-Taka with a reference that follows: what a line held before its last change of sign.

    Only the change since then counts, so no reference must be programmed and any symmetry will do.
    Within the first period nothing is written.

    Source: Rasch et al. 2024 (doi 10.1038/s41467-024-51221-z).

    Attributes:
        tail: How much the reads before a change of sign count in the reference, in periods
            [tail_weightening].
        buffer_cap: Largest buffer, in longest writes, where writes do not forget; 0: any
            [buffer_cap].
    """

    kind: Literal["agad"] = "agad"  # type: ignore[assignment]  # narrows it
    chop: float = Field(0.02, gt=0, le=1)
    chop_at_random: Literal[False] = False
    tail: float = Field(5.0, gt=0)
    buffer_cap: Level = 0.0

    words: ClassVar[int] = 3
    needs_symmetry: ClassVar[bool] = False
    operations: ClassVar[int] = 7  # and less the reference, whose mean is moved
    moved_words: ClassVar[int] = 5  # the mean as well, and the reference is read

    @property
    def passes_before_writes(self) -> int:
        """A period, and the pass in which the signs change."""
        return self.period + 1

    def link(self, k: int, cell: ChainCell, arrays: Sequence[Crossbar], site: Site) -> Link:
        """A buffer, choppers, and the references of every line."""
        return FollowingLink(self, k, cell, arrays, site)
