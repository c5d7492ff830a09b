"""Tiki-Taka with a digital buffer between the arrays, choppers, and a reference that follows."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from crossmesh.common.random import Purpose
from crossmesh.tiles.analog.algorithms.accumulating import accumulate
from crossmesh.tiles.analog.algorithms.chain import ChainCell
from crossmesh.tiles.analog.algorithms.chain_crossbar import Link
from crossmesh.tiles.analog.algorithms.lines import Due, Lines
from crossmesh.tiles.analog.algorithms.tiki_taka import AddingLink, TikiTaka
from crossmesh.tiles.analog.array import Array, State
from crossmesh.tiles.analog.cells import Crossbar
from crossmesh.tiles.analog.devices.limits import Level
from crossmesh.tiles.analog.pulser import Site
from crossmesh.tiles.analog.update import MAX_PULSES, UpdateConfig


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

    def link(self, k: int, cell: ChainCell, arrays: Sequence[Crossbar], site: Site) -> Link:
        """A buffer, choppers, and the references of every line."""
        return FollowingLink(self, k, cell, arrays, site)


class BufferedLink(AddingLink):
    """A buffer between two arrays: numbers of the next array's pulses, for every weight."""

    def __init__(
        self, algorithm: TikiTaka2, k: int, cell: ChainCell, arrays: Sequence[Crossbar], site: Site
    ) -> None:
        super().__init__(algorithm, k, cell, arrays, site)
        self._settings = algorithm
        self._of_outputs = algorithm.line == "bit"
        self.buffer = np.zeros(site.shape, np.float32)
        self._counts = np.zeros(site.shape[not self._of_outputs], np.int16)
        self._step = cell.cells[k + 1].granularity
        self._threshold = algorithm.threshold(k, cell, self.lines)
        visible, seen = cell.factors[k], cell.factors[k + 1]
        self._share = visible / seen if visible else 1.0

    def move(self, turn: Due, rate: float, fast_rate: float) -> None:
        """Add the line to the buffer, and write what makes whole pulses."""
        self._take(turn, self._reader.read(turn), self._scale(rate, fast_rate))

    def _scale(self, rate: float, fast_rate: float) -> float:
        """Pulses per unit of what is read."""
        del fast_rate
        return self._rate(rate) * self._share / self._threshold

    def _take(
        self, turn: Due, values: Array, scale: float, *, cap: float = 0.0, write: bool = True
    ) -> None:
        settings = self._settings
        line = self._line(self.buffer, turn)
        counts = self._counts
        any_pulses = accumulate(
            line, values, scale, settings.longest, settings.forget, settings.momentum, cap, counts
        )
        if any_pulses and write:
            if settings.write is None:
                self._writer.by_counts(turn, counts)
            else:
                self._writer.by_trains(turn, counts.astype(np.float32), self._step)

    def _line(self, values: Array, turn: Due) -> Array:
        """A view of a line."""
        return values[:, turn.line] if self._of_outputs else values[turn.line]

    def reset(self) -> None:
        """Empty the buffer."""
        self.buffer[:] = 0

    def state(self) -> State:
        """The buffer."""
        return {"buffer": self.buffer}


class ChoppedLink(BufferedLink):
    """A buffer whose lines change their sign now and then."""

    def __init__(
        self,
        algorithm: ChoppedTikiTaka2,
        k: int,
        cell: ChainCell,
        arrays: Sequence[Crossbar],
        site: Site,
    ) -> None:
        super().__init__(algorithm, k, cell, arrays, site)
        self._chopping = algorithm
        self._stream = site.stream
        self.choppers = np.ones(self.lines.own, np.float32)
        self.signs = self.choppers

    def move(self, turn: Due, rate: float, fast_rate: float) -> None:
        """Add the line with its sign, write what makes whole pulses, and perhaps change the sign.

        The sign changes after the write, so that the next updates have the new one.
        """
        scale = self._scale(rate, fast_rate) * float(self.choppers[turn.line])
        self._take(turn, self._reader.read(turn), scale)
        if self._changes(turn):
            self.choppers[turn.line] *= -1

    def _scale(self, rate: float, fast_rate: float) -> float:
        scale = super()._scale(rate, fast_rate)
        follows = self._chopping.follows_fast_rate and fast_rate
        return scale / fast_rate if follows else scale

    def _changes(self, turn: Due) -> bool:
        chopping = self._chopping
        if not chopping.chop_at_random:
            return (turn.passes + 1) % chopping.period == 0
        first = (turn.passes & 0x7FFFFFFF, turn.line)
        drawn = self._stream.uniform(Purpose.CHOPPER, (1, 1), first=first)
        return bool(drawn[0, 0] < chopping.chop)

    def reset(self) -> None:
        """Empty the buffer; all signs are positive."""
        super().reset()
        self.choppers[:] = 1

    def state(self) -> State:
        """The buffer and the signs."""
        return {**super().state(), "choppers": self.choppers}


class FollowingLink(ChoppedLink):
    """A buffer with choppers that adds what a line has changed since its sign did."""

    def __init__(
        self, algorithm: Agad, k: int, cell: ChainCell, arrays: Sequence[Crossbar], site: Site
    ) -> None:
        super().__init__(algorithm, k, cell, arrays, site)
        self._tail = np.float32(min(algorithm.tail / algorithm.period, 1))
        self._cap = algorithm.longest * algorithm.buffer_cap
        self.mean = np.zeros(site.shape, np.float32)
        self.past = np.zeros(site.shape, np.float32)
        self.changed = np.zeros(self.lines.own, np.int64)

    def move(self, turn: Due, rate: float, fast_rate: float) -> None:
        """Add the line less its reference; a sign that changes makes its mean the reference."""
        values = self._reader.read(turn)
        mean, past = self._line(self.mean, turn), self._line(self.past, turn)
        if self.changed[turn.line]:
            past[:] = mean
            self.changed[turn.line] = 0
        scale = self._scale(rate, fast_rate) * float(self.choppers[turn.line])
        is_known = turn.passes > self._chopping.period
        self._take(turn, values - past, scale, cap=self._cap, write=is_known)
        mean *= np.float32(1) - self._tail
        mean += self._tail * values
        if self._changes(turn):
            self.choppers[turn.line] *= -1
            self.changed[turn.line] = 1

    def reset(self) -> None:
        """Forget the references as well."""
        super().reset()
        for array in (self.mean, self.past, self.changed):
            array[:] = 0

    def state(self) -> State:
        """The buffer, the signs, and the references."""
        state: dict[str, Any] = {"mean": self.mean, "past": self.past, "changed": self.changed}
        return {**super().state(), **state}
