"""Tiki-Taka: gradients go to a fast array, whose lines are read and added to a slow one."""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from crossmesh.common.frozen import Many
from crossmesh.tiles.analog.algorithms.chain import ChainAlgorithm, ChainCell, factors
from crossmesh.tiles.analog.algorithms.chain_crossbar import FastRate, Link, array_names
from crossmesh.tiles.analog.algorithms.line_access import LineReader, LineWriter
from crossmesh.tiles.analog.algorithms.lines import Due, Lines, LineSettings, lines_of
from crossmesh.tiles.analog.array import Array, State
from crossmesh.tiles.analog.cells import Cell, Crossbar, Pair, Pairs
from crossmesh.tiles.analog.costs import CellCosts, TransferCosts
from crossmesh.tiles.analog.devices.limits import Count, Level
from crossmesh.tiles.analog.pulser import Site
from crossmesh.tiles.analog.read import ReadConfig
from crossmesh.tiles.analog.update import UpdateConfig

_MOST_ARRAYS = 16


class TikiTaka(ChainAlgorithm):
    """Gradients on an array A, which is read line by line and added to the array C of the weights.

    Asymmetric devices pull A towards their symmetry point, which must be 0 and then forgets old
    gradients as momentum does. With ``visible`` above 0 this is residual learning: A holds what C
    lacks, and with more ``arrays`` each holds what those behind it lack. Names in brackets are
    those of aihwkit's compounds.

    Source: Gokmen & Haensch 2020 (doi 10.3389/fnins.2020.00103); residual learning: Wu et al.
    2025 (arXiv 2502.06309), with several arrays Li et al. 2025 (arXiv 2510.02516).

    Attributes:
        arrays: Arrays of the chain, each with the cell of the tile.
        fast_cell: Cell of all arrays but the last, if it is another one.
        visible: What A counts in the weight; 0: reads see C alone. Of more arrays, the power of
            the distance from the last [gamma].
        fast_rate: Rate of the updates of A, whatever ``training.learning_rate`` is; with
            ``auto_rate`` the part of a whole train that the largest product gives [fast_lr].
        auto_rate: Whether the rate of A follows running means of the largest input and error of
            its tile [auto_scale].
        auto_momentum: Weight of the past in these means [auto_momentum].
        every: Vectors between two transfers; a list has one for each array but the last
            [transfer_every].
        every_counts: Whether ``every`` counts vectors, or examples of however many vectors.
        reads: Lines that are transferred together [n_reads_per_transfer].
        line: Whether a line is a word line or a bit line [transfer_columns].
        in_parallel: Whether each tile of a layer transfers lines of its own; by default the lines
            of the whole layer take turns, so that no mapping changes when a line has its turn.
        transfer_rate: Factor of what is read from A; a list as of ``every`` [transfer_lr].
        rate_scales: Whether that is multiplied by ``training.learning_rate``
            [scale_transfer_lr].
        average_granularity: Whether the trains of A are scaled for the mean step of all arrays, as
            aihwkit does, or for its own.
        read: Periphery of the line reads; by default that of the tile, without management
            [transfer_forward].
        write: Trains of the writes; by default those of the tile [transfer_update].
    """

    kind: Literal["tiki_taka"] = "tiki_taka"
    arrays: int = Field(2, ge=2, le=_MOST_ARRAYS)
    fast_cell: Cell | None = None
    visible: float = Field(0.0, ge=0, le=1)
    fast_rate: float = Field(0.1, gt=0)
    auto_rate: bool = False
    auto_momentum: float = Field(0.99, ge=0, lt=1)
    every: Count | Many[Count] = 1
    every_counts: Literal["vectors", "examples"] = "vectors"
    reads: Count = 1
    line: Literal["word", "bit"] = "word"
    in_parallel: bool = False
    transfer_rate: Level | Many[Level] = 1.0
    rate_scales: bool = True
    average_granularity: bool = False
    read: ReadConfig | None = None
    write: UpdateConfig | None = None

    words: ClassVar[int] = 0  # digital, per weight and link
    operations: ClassVar[int] = 1  # digital, per weight of a line: it is scaled
    moved_words: ClassVar[int] = 0  # read or written per weight of a line
    needs_symmetry: ClassVar[bool] = True  # so that the first array forgets

    @model_validator(mode="after")
    def _lists_fit_the_arrays(self) -> Self:
        for name in ("every", "transfer_rate"):
            given = getattr(self, name)
            if isinstance(given, tuple) and len(given) != self.arrays - 1:
                raise ValueError(
                    f"{name} must have one value for each array but the last "
                    f"({self.arrays - 1}), got {len(given)}"
                )
        return self

    def cell(self, cell: Cell, batch: int = 1) -> ChainCell:
        """A chain of such cells."""
        fast = self.fast_cell or cell
        for each in (fast, cell):
            check_moves_both_ways(each, self.kind)
        cells = (*[fast] * (self.arrays - 1), cell)
        return ChainCell(
            algorithm=self, cells=cells, factors=tuple(factors(self.visible, self.arrays))
        )

    def doubts(self, cells: Sequence[Cell]) -> Sequence[str]:
        """Why weights on such cells will hardly learn by it."""
        why = symmetry_lacks(cells[0]) if self.needs_symmetry else ""
        if not why:
            return ()
        return [
            f"{self.kind}: old gradients stay on the fast array of cells {cells[0].kind}, as "
            f"{why}; sgd or mixed_precision do not need them to go"
        ]

    def doubts_of_run(self, cells: Sequence[Cell], site: Site, vectors: int) -> Sequence[str]:
        """Whether more lines of a layer are due than vectors go by."""
        doubts = []
        for k, name in enumerate(array_names(len(cells))[:-1]):
            lines = self.lines(k, site)
            if lines.reads > lines.every:
                often = "vector" if lines.every == 1 else f"{lines.every} vectors"
                doubts.append(
                    f"{self.kind}: {lines.reads} lines of {name} are transferred every {often} "
                    "(reads, every); a chip waits for all that is more than one line per vector"
                )
        return doubts

    def fast(self, cells: Sequence[Cell]) -> FastRate:
        """The rate of A in a chain of cells."""
        steps = [cell.granularity for cell in cells]
        share = steps[0] * len(steps) / sum(steps) if self.average_granularity else 1.0
        return FastRate(self.fast_rate, self.auto_rate, self.auto_momentum, share)

    def write_update(self, update: UpdateConfig) -> UpdateConfig:
        """Trains of the arrays that are written, given those of the tile."""
        return self.write or update

    def of_link(self, name: str, k: int) -> Any:
        """A setting of the link behind array ``k``."""
        given = getattr(self, name)
        return given[k] if isinstance(given, tuple) else given

    def line_settings(self, k: int) -> LineSettings:
        """How the lines of array ``k`` take turns."""
        return LineSettings(
            every=self.of_link("every", k),
            counts_examples=self.every_counts == "examples",
            reads=self.reads,
            of_outputs=self.line == "bit",
            in_parallel=self.in_parallel,
        )

    def lines(self, k: int, site: Site) -> Lines:
        """The turns of the lines of array ``k`` on a tile."""
        return lines_of(self.line_settings(k), site.shape, site.vectors, site.first, site.whole)

    def slots(self, update: UpdateConfig) -> int:
        """Slots of the pulse trains that write a line, given the trains of the tile."""
        return self.write_update(update).length

    def costs_of_link(self, k: int, costs: Sequence[CellCosts], site: Site) -> TransferCosts:
        """What the transfers from array ``k`` cost on a tile."""
        return TransferCosts(
            lines=self.lines(k, site).per_vector,
            of_outputs=self.line == "bit",
            reads=(costs[k],),
            pulsed=costs[k + 1],
            slots=self.slots(site.update),
            operations=self.operations,
            words=self.moved_words,
        )

    def link(self, k: int, cell: ChainCell, arrays: Sequence[Crossbar], site: Site) -> Link:
        """What lies between array ``k`` and the next."""
        return AddingLink(self, k, cell, arrays, site)


def symmetry_lacks(cell: Cell) -> str:
    """Why pulses up and down lead a cell to no point of its own, or nothing."""
    if isinstance(cell, Pair | Pairs):
        is_one_way = any(device.moves_one_way for device in cell.devices)
        return "one of a pair takes each direction" if is_one_way else ""
    return next(filter(None, (getattr(d, "lacks_symmetry", "") for d in cell.devices)), "")


def check_moves_both_ways(cell: Cell, kind: str) -> None:
    """Refuse what cannot be a part of a chain, with the reason.

    Raises:
        ValueError: If it cannot.
    """
    rule = f"must be one for which the cell {cell.kind} will do, got {kind}: "
    if cell.holds_anything:
        raise ValueError(f"{rule}a number takes every update exactly, so nothing is transferred")
    if cell.transfers:
        raise ValueError(f"{rule}the cell has transfers of its own")
    alone = () if isinstance(cell, Pair | Pairs) else cell.devices
    if any(getattr(device, "moves_one_way", False) for device in alone):
        raise ValueError(f"{rule}its devices move one way only, which takes a pair of them")


class AddingLink:
    """Adds what is read from an array to the next, by trains.

    Args:
        algorithm: Settings.
        k: Number of the array that is read.
        cell: The chain.
        arrays: Its arrays.
        site: Shape, random numbers of array ``k``, and settings.
    """

    def __init__(
        self, algorithm: TikiTaka, k: int, cell: ChainCell, arrays: Sequence[Crossbar], site: Site
    ) -> None:
        of_outputs = algorithm.line == "bit"
        self.lines = algorithm.lines(k, site)
        self.signs: Array | None = None
        self._transfer_rate = algorithm.of_link("transfer_rate", k)
        self._rate_scales = algorithm.rate_scales
        self._reader = LineReader(
            algorithm.read or site.read, arrays[k], site, of_outputs=of_outputs
        )
        written = site._replace(
            update=algorithm.write_update(site.update), stream=site.stream.of_plane(k + 1)
        )
        self._writer = LineWriter(
            arrays[k + 1], cell.cells[k + 1].granularity, written, of_outputs=of_outputs
        )

    def move(self, turn: Due, rate: float, fast_rate: float) -> None:
        """Add the line, times the rate of transfers."""
        del fast_rate
        self._writer.by_trains(turn, self._reader.read(turn), self._rate(rate))

    def _rate(self, rate: float) -> float:
        return float(self._transfer_rate * (rate if self._rate_scales else 1.0))

    def reset(self) -> None:
        """Nothing is remembered."""

    def state(self) -> State:
        """Nothing is remembered."""
        return {}
