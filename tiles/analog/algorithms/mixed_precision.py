"""Mixed precision: gradients add up in digital memory, whole pulses are written to the array."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from crossmesh.tiles.analog.algorithms.accumulated_crossbar import AccumulatedCrossbar
from crossmesh.tiles.analog.algorithms.base import Algorithm
from crossmesh.tiles.analog.algorithms.lines import ALL, LineSettings, lines_of
from crossmesh.tiles.analog.array import FLOAT_BYTES
from crossmesh.tiles.analog.cells import Cell, UnitCell
from crossmesh.tiles.analog.costs import CellCosts, TransferCosts
from crossmesh.tiles.analog.devices.limits import Count
from crossmesh.tiles.analog.pulser import Site
from crossmesh.tiles.analog.update import MAX_PULSES, UpdateConfig
from crossmesh.tiles.optimizers import AnyOptimizer

_MOST = 2**15 - 1  # pulses that a count holds


class MixedPrecision(Algorithm):
    """Outer products add up in digital memory beside the tile; what makes whole pulses is written.

    Any device will do that moves where it is pushed. All weights are touched by every vector,
    which is what it costs. Names in brackets are those of aihwkit's compound.

    Source: Nandakumar et al. 2020 (doi 10.3389/fnins.2020.00406). An optimiser on the accumulator
    is our own: its steps take the place of the gradients there, the array sees pulses as ever.

    Attributes:
        every: Vectors, examples or batches between two writes [transfer_every].
        every_counts: What ``every`` counts; a batch is ``training.batch`` examples, counted on from
            epoch to epoch, also where the last of an epoch had fewer.
        lines: Lines that are written together; by default all [n_rows_per_transfer].
        line: Whether a line is a word line or a bit line.
        start: Vectors before the first write; by default ``every``. aihwkit has one more.
        granularity: What makes one pulse, in normalised units; by default a step of the cell
            [granularity].
        longest: Pulses of a device in one write at most.
        input_bins: Levels that inputs are rounded to, from minus to plus the largest; 0: none
            [n_x_bins].
        error_bins: Levels that errors are rounded to, from minus to plus the largest; 0: none
            [n_d_bins].
        rounding: Whether this rounding is ``stochastic`` or to the ``nearest`` [stoc_round_x].
        optimizer: Whose steps are added in place of gradients, of those that ``training.optimizer``
            knows, without decay; by default plain gradients. It steps once per write, with the sum
            of the gradients since.
        write: Trains of the writes, with management, as aihwkit has them; by default the pulses are
            counted.
    """

    kind: Literal["mixed_precision"] = "mixed_precision"
    every: Count = 1
    every_counts: Literal["vectors", "examples", "batches"] = "vectors"
    lines: Count | None = None
    line: Literal["word", "bit"] = "word"
    start: Count | None = None
    granularity: float | None = Field(None, gt=0)
    longest: int = Field(MAX_PULSES, ge=1, le=_MOST)
    input_bins: int = Field(0, ge=0, le=2**24)
    error_bins: int = Field(0, ge=0, le=2**24)
    rounding: Literal["stochastic", "nearest"] = "stochastic"
    optimizer: AnyOptimizer | None = None
    write: UpdateConfig | None = None

    @model_validator(mode="after")
    def _bins_are_several(self) -> Self:
        for name in ("input_bins", "error_bins"):
            if getattr(self, name) == 1:
                raise ValueError(f"{name} must be 0, or at least 2 for levels of both signs, got 1")
        return self

    @model_validator(mode="after")
    def _needs_no_weights(self) -> Self:
        decay = self.optimizer.weight_decay if self.optimizer else 0.0
        if decay:
            raise ValueError(
                "optimizer.weight_decay must be 0: weights lie in the array, where digital memory "
                f"does not see them, got {decay:g}"
            )
        if self.optimizer and self.optimizer.learning_rate is not None:
            raise ValueError(
                "optimizer.learning_rate must not be given: it is training.learning_rate, got "
                f"{self.optimizer.learning_rate:g}"
            )
        return self

    def cell(self, cell: Cell, batch: int = 1) -> "AccumulatedCell":
        """The cell, and a number beside it."""
        if cell.holds_anything:
            raise ValueError(
                f"must be one for which the cell {cell.kind} will do, got {self.kind}: a "
                "number takes every update exactly, so nothing adds up"
            )
        whole = self.granularity or cell.granularity
        if whole > 2 * cell.reach:
            raise ValueError(
                f"granularity must be within the range of the cell {cell.kind} "
                f"({2 * cell.reach:g}), or nothing is ever written, got {whole:g}"
            )
        return AccumulatedCell(algorithm=self, below=cell, batch=batch)

    @property
    def words(self) -> int:
        """Digital numbers per weight: the accumulator, the gradient and its moments."""
        return 1 + (1 + len(self.optimizer.moments) if self.optimizer else 0)

    @property
    def operations(self) -> int:
        """Operations of the optimiser's step per weight."""
        return self.optimizer.operations if self.optimizer else 0

    def line_settings(self, batch: int) -> LineSettings:
        """How lines take turns."""
        return LineSettings(
            every=self.every * (batch if self.every_counts == "batches" else 1),
            counts_examples=self.every_counts != "vectors",
            reads=self.lines or ALL,
            of_outputs=self.line == "bit",
            in_parallel=False,
            start=self.start,
        )


class AccumulatedCell(UnitCell):
    """A cell, and numbers beside it in which its updates add up.

    Attributes:
        algorithm: When and how they are written.
        below: The cell whose devices are written.
        batch: Examples between two updates of the network.
    """

    kind: Literal["accumulated"] = "accumulated"
    algorithm: MixedPrecision
    below: Cell
    batch: int

    @property
    def n_arrays(self) -> int:
        """Those of the cell."""
        return self.below.n_arrays

    @property
    def largest_conductance(self) -> float:
        """That of the cell."""
        return self.below.largest_conductance

    @property
    def reach(self) -> float:
        """That of the cell."""
        return self.below.reach

    @property
    def granularity(self) -> float:
        """That of the cell."""
        return self.below.granularity

    @property
    def cell_bytes(self) -> int:
        """Bytes of the cell, the numbers beside it, and the counts of a write."""
        counts = 2 + 2 * (self.algorithm.write is not None)
        return self.below.cell_bytes + FLOAT_BYTES * self.algorithm.words + counts

    @property
    def planes(self) -> Mapping[str, int]:
        """Those of the cell below."""
        return self.below.planes

    @property
    def words(self) -> int:
        """Numbers in digital memory beside each cell."""
        return self.below.words + self.algorithm.words

    @property
    def costs(self) -> CellCosts:
        """Those of the cell, and of the memory beside it."""
        return replace(self.below.costs, words=self.words, slots=0)

    @property
    def devices(self) -> Sequence[Any]:
        """Those of the cell."""
        return self.below.devices

    @property
    def routes(self) -> Sequence[str]:
        """From the numbers to the cells, and what moves within these."""
        settings = self.algorithm.line_settings(self.batch)
        return [settings.in_words("accumulator to cells"), *self.below.routes]

    def transfer_costs(self, site: Site) -> Sequence[TransferCosts]:
        """Every vector is added everywhere; an optimiser steps everywhere; lines are written."""
        algorithm, of_outputs = self.algorithm, self.algorithm.line == "bit"
        lines = lines_of(
            algorithm.line_settings(self.batch), site.shape, site.vectors, site.first, site.whole
        )
        costs = [
            TransferCosts(
                lines=site.shape[of_outputs],
                of_outputs=of_outputs,
                operations=2,
                words=2,
            ),
            TransferCosts(
                lines=lines.per_vector,
                of_outputs=of_outputs,
                pulsed=self.below.costs,
                slots=algorithm.write.length if algorithm.write else algorithm.longest,
                operations=1,
                words=1,
            ),
        ]
        if algorithm.optimizer is not None:  # however few lines are written then
            step = TransferCosts(
                lines=site.shape[of_outputs] / lines.every,
                of_outputs=of_outputs,
                operations=algorithm.operations,
                words=2 * algorithm.words,  # each is read and written
            )
            costs.insert(1, step)
        return [*self.below.transfer_costs(site), *costs]

    @property
    def transfers(self) -> Any:
        """Those of the cell."""
        return self.below.transfers

    def crossbar(self, site: Site) -> AccumulatedCrossbar:
        """A crossbar of such cells."""
        return AccumulatedCrossbar(self, site)
