"""Mixed precision: gradients add up in digital memory, whole pulses are written to the array."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Discriminator, Field

from crossmesh.common.frozen import Frozen, FrozenDict
from crossmesh.common.random import Purpose
from crossmesh.tiles.analog.algorithms.accumulating import add_and_count
from crossmesh.tiles.analog.algorithms.base import Algorithm
from crossmesh.tiles.analog.algorithms.chain import LineWriter
from crossmesh.tiles.analog.algorithms.lines import LineSettings, Turn, lines_of, pieces
from crossmesh.tiles.analog.array import FLOAT_BYTES, Array, Factor, State
from crossmesh.tiles.analog.cells import Cell, UnitCell
from crossmesh.tiles.analog.costs import WORD_BITS, CellCosts, TransferCosts
from crossmesh.tiles.analog.devices.limits import Count
from crossmesh.tiles.analog.pulser import Site
from crossmesh.tiles.analog.update import MAX_PULSES, UpdateConfig

_MOST = 2**15 - 1  # pulses that a count holds


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

    def step(self, gradient: Array, moments: State, n: int) -> Array:
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
        betas: Weight of the past in the means of gradients and of their squares.
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

    def step(self, gradient: Array, moments: State, n: int) -> Array:
        """What is added to the accumulator, per unit of the learning rate."""
        first, second = moments["first"], moments["second"]
        first += np.float32(1 - self.beta1) * (gradient - first)
        second += np.float32(1 - self.beta2) * (np.square(gradient) - second)
        of_first = np.float32(1 / (1 - self.beta1**n))
        of_second = np.float32(1 / (1 - self.beta2**n))
        step: Array = of_first * first / (np.sqrt(of_second * second) + np.float32(self.eps))
        return step


Optimiser = Annotated[GradientMomentum | GradientAdam, Discriminator("kind")]


class MixedPrecision(Algorithm):
    """Outer products add up in digital memory beside the tile; what makes whole pulses is written.

    Any device will do that moves where it is pushed. All weights are touched by every vector,
    which is what it costs. Names in brackets are those of aihwkit's compound.

    Source: Nandakumar et al. 2020 (doi 10.3389/fnins.2020.00406). An optimiser on the accumulator
    is our own: its steps take the place of the gradients there, the array sees pulses as ever.

    Attributes:
        every: Vectors, examples or batches between two writes [transfer_every].
        every_counts: What ``every`` counts.
        lines: Lines that are written together; by default all [n_rows_per_transfer].
        line: Whether a line is a word line or a bit line.
        start: Vectors before the first write; by default ``every``. aihwkit has one more.
        granularity: What makes one pulse, in normalised units; by default a step of the cell
            [granularity].
        longest: Pulses of a device in one write at most.
        input_bins: Levels that inputs are rounded to, from minus to plus the largest; 0: none
            [n_x_bins].
        error_bins: The same of errors [n_d_bins].
        rounding: Whether this rounding is ``stochastic`` or to the ``nearest`` [stoc_round_x].
        optimizer: Whose steps are added in place of gradients; by default plain gradients. It steps
            once per write, with the sum of the gradients since.
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
    optimizer: Optimiser | None = None
    write: UpdateConfig | None = None

    def cell(self, cell: Cell, batch: int = 1) -> "AccumulatedCell":
        """The cell, and a number beside it."""
        if cell.holds_anything:
            raise ValueError(
                f"must be one for which the cell {cell.kind} will do, got {self.kind}: a "
                "number takes every update exactly, so nothing adds up"
            )
        return AccumulatedCell(algorithm=self, below=cell, batch=batch)

    @property
    def words(self) -> int:
        """Digital numbers per weight: the accumulator, the gradient and its moments."""
        return 1 + (1 + len(self.optimizer.names) if self.optimizer else 0)

    @property
    def operations(self) -> int:
        """Operations of the optimiser's step per weight."""
        return self.optimizer.operations if self.optimizer else 0

    def line_settings(self, batch: int) -> LineSettings:
        """How lines take turns."""
        return LineSettings(
            every=self.every * (batch if self.every_counts == "batches" else 1),
            counts_examples=self.every_counts != "vectors",
            reads=self.lines or 2**53,
            of_outputs=self.line == "bit",
            in_parallel=False,
            start=self.start,
        )


class AccumulatedCell(UnitCell):
    """A cell, and numbers beside it in which its updates add up.

    Attributes:
        algorithm: When and how they are written.
        below: The cell.
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
        return self.below.cell_bytes + FLOAT_BYTES * self.algorithm.words + 2

    @property
    def words(self) -> int:
        """Numbers in digital memory beside each cell."""
        return self.below.words + self.algorithm.words

    @property
    def costs(self) -> CellCosts:
        """Those of the cell, and of the memory beside it."""
        below = self.below.costs
        bits = WORD_BITS * self.algorithm.words
        parts = {**below.parts, "buffer": below.parts.get("buffer", 0) + bits}
        return replace(below, parts=FrozenDict(parts))

    def transfer_costs(self, site: Site) -> Sequence[TransferCosts]:
        """Every vector is added everywhere, and its lines are written in turn."""
        algorithm, of_outputs = self.algorithm, self.algorithm.line == "bit"
        lines = lines_of(
            algorithm.line_settings(self.batch), site.shape, site.vectors, site.first, site.whole
        )
        costs = [
            TransferCosts(
                lines=site.shape[of_outputs],
                are_read=False,
                of_outputs=of_outputs,
                slots=0,
                operations=2,
                words=2,
            ),
            TransferCosts(
                lines=lines.per_vector,
                are_read=False,
                of_outputs=of_outputs,
                slots=algorithm.write.length if algorithm.write else algorithm.longest,
                operations=1 + algorithm.operations,
                words=algorithm.words,
            ),
        ]
        return [*self.below.transfer_costs(site), *costs]

    @property
    def transfers(self) -> Any:
        """Those of the cell."""
        return self.below.transfers

    def crossbar(self, site: Site) -> "AccumulatedCrossbar":
        """A crossbar of such cells."""
        return AccumulatedCrossbar(self, site)


class Lit(NamedTuple):
    """Lines of a tile that are written.

    Attributes:
        rows: ``(rows,)`` whether a word line is.
        columns: ``(cols,)`` 1 where a bit line is, and 0.
    """

    rows: NDArray[np.bool_]
    columns: Array


_KINDS = (np.bool_, np.float32)


class AccumulatedCrossbar:
    """A crossbar whose updates add up in digital memory first.

    Args:
        cell: Parameters of the cells.
        site: Shape, random numbers and settings.
    """

    def __init__(self, cell: AccumulatedCell, site: Site) -> None:
        algorithm = cell.algorithm
        self._settings = algorithm
        update = algorithm.write or site.update
        self._below = cell.below.crossbar(site._replace(update=update))
        self._of_outputs = algorithm.line == "bit"
        self._writer = LineWriter(self._below, site.shape, of_outputs=self._of_outputs)
        self._lines = lines_of(
            algorithm.line_settings(cell.batch), site.shape, site.vectors, site.first, site.whole
        )
        self._granularity = algorithm.granularity or cell.below.granularity
        self._stream = site.stream
        self._shape = site.shape
        self._all, self._none = (
            Lit(*(np.full(n, is_lit, kind) for n, kind in zip(site.shape, _KINDS, strict=True)))
            for is_lit in (True, False)
        )
        self._accumulator = np.zeros(site.shape, np.float32)
        self._counts = np.zeros(site.shape, np.int16)
        self._moments: dict[str, Array] = {}
        if algorithm.optimizer is not None:
            names = ("gradient", *algorithm.optimizer.names)
            self._moments = {name: np.zeros(site.shape, np.float32) for name in names}
        self._steps = np.zeros(1, np.int64)
        self.weights = self._below.weights
        self.variance = self._below.variance

    @property
    def pulses(self) -> int:
        """Pulses sent so far."""
        return self._below.pulses

    def write(self, weights: Array) -> None:
        """Write the cells, and clear what has added up."""
        self._below.write(weights)
        self._accumulator[:] = 0
        for moment in self._moments.values():
            moment[:] = 0
        self._steps[:] = 0

    def update(self, x: Array, d: Array, rate: float, first_example: int) -> None:
        """Add outer products up; write lines when they are due."""
        x = self._rounded(x, self._settings.input_bins, first_example, 0)
        d = self._rounded(d, self._settings.error_bins, first_example, 1)
        for start, stop in pieces(first_example, len(x), self._lines):
            turn = self._lines.first_turn(first_example + stop)
            due = self._due(first_example + stop) if turn is not None else self._none
            self._below.elapse(first_example + start, stop - start)
            if self._moments:
                self._gather(x[start:stop], d[start:stop], rate, is_due=turn is not None)
                if turn is not None:
                    self._add(np.zeros_like(x[0]), d[0], 0.0, due, turn)
            else:
                before = slice(start, stop - 1)
                if stop - start > 1:
                    self._accumulator += np.float32(rate) * (x[before].T @ d[before])
                self._add(x[stop - 1], d[stop - 1], rate, due, turn or 0)

    def _gather(self, x: Array, d: Array, rate: float, *, is_due: bool) -> None:
        """Add to the gradient; when lines are due, let the optimiser step with it."""
        gradient = self._moments["gradient"]
        gradient += x.T @ d
        if is_due:
            optimizer = self._settings.optimizer
            assert optimizer is not None
            self._steps += 1
            step = optimizer.step(gradient, self._moments, int(self._steps[0]))
            self._accumulator += np.float32(rate) * step
            gradient[:] = 0

    def _due(self, count: int) -> Lit:
        """The lines of the tile that are due when ``count`` vectors have been applied."""
        if self._lines.reads == self._lines.total:
            return self._all
        rows, columns = (np.ones(n, kind) for n, kind in zip(self._shape, _KINDS, strict=True))
        side = (rows, columns)[self._of_outputs]
        side[:] = 0
        side[[turn.line for turn in self._lines.due(count)]] = 1
        return Lit(rows, columns)

    def _add(self, x: Array, d: Array, rate: float, due: Lit, turn: int) -> None:
        """Add one more outer product, and write the lines that are due."""
        settings = self._settings
        any_pulses = add_and_count(
            self._accumulator, x, d, rate, self._granularity, settings.longest, *due, self._counts
        )
        if any_pulses and settings.write is None:
            self._below.pulse_counts(self._counts, slice(0, self._shape[0]), turn)
        elif any_pulses:
            for line in np.flatnonzero(self._counts.any(axis=1 - self._of_outputs)).tolist():
                counts = self._counts[:, line] if self._of_outputs else self._counts[line]
                values = counts.astype(np.float32)
                one = Turn(line, turn + line, 0, is_last=False)
                self._writer.by_trains(one, values, self._granularity)

    def _rounded(self, values: Array, bins: int, first_example: int, side: int) -> Array:
        """Vectors on levels between their largest magnitudes."""
        if not bins:
            return values
        half = np.float32(bins // 2)
        width = np.abs(values).max(axis=1, keepdims=True) / half
        width[width == 0] = 1
        steps = values / width
        if self._settings.rounding == "stochastic":
            for e, step in enumerate(steps):
                shape = (1, len(step))
                number = first_example + e
                step += self._stream.uniform(Purpose.ROUNDING, shape, draw=number, part=side)[0]
            steps = np.floor(steps)
        else:
            steps = np.trunc(steps + np.copysign(np.float32(0.5), steps))
        rounded: Array = np.clip(steps, -half, half) * width
        return rounded

    def arrays(self) -> list[tuple[Factor, Array]]:
        """Those of the cells."""
        return self._below.arrays()

    def state(self) -> State:
        """State of the cells, and what has added up."""
        below = {f"below_{name}": value for name, value in self._below.state().items()}
        return {**below, "accumulator": self._accumulator, **self._moments, "steps": self._steps}

    def load(self, state: State) -> None:
        """Take over a saved state."""
        self._below.load({name: state[f"below_{name}"] for name in self._below.state()})
        self._accumulator[:] = state["accumulator"]
        for name, moment in self._moments.items():
            moment[:] = state[name]
        self._steps[:] = state["steps"]
