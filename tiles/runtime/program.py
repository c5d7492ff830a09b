"""The records that a program is made of, and the part of a program that one host performs.

Values flow between operations. A value is named by what it is and by the node or tile it comes
from: ``x`` of a node (what it sends forward), ``y`` of a tile (partial sum of a forward read),
``z`` of a tile (partial sum of a backward read), ``d`` of a node (the error at its output), ``e``
of a node (the part of an input's error that comes from it, if there are other parts).
A value has a vector of columns for every position of every example: one for a flat value, a pixel's
channels for an image, a step's features for a sequence. An ``x`` that drives a bias line has one
more column, which is 1.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import NamedTuple

from crossmesh.interconnect.schedule import Phase, Schedule
from crossmesh.tiles.analog.block import Block
from crossmesh.tiles.analog.convolution import Window
from crossmesh.tiles.analog.tile_config import TileConfig
from crossmesh.tiles.digital import Digital, Function, Loss, Rule


class Kind(StrEnum):
    """Kinds of operations."""

    INPUT = "input"  # take the examples of a micro-batch
    READ = "read"  # forward cycle of a tile
    SUM = "sum"  # add the partial sums of a layer in tile order, and its bias if that is digital
    COMPUTE = "compute"  # function of a digital unit
    JOIN = "join"  # add values, or put them side by side
    LOSS = "loss"  # loss and first error
    GATHER = "gather"  # add what the consumers of a node send back, in tile order
    DERIVE = "derive"  # error through a function
    READ_BACK = "read_back"  # backward cycle of a tile
    PULSE = "pulse"  # update cycle of a tile, with the transfers that are due between its vectors
    TRANSFER = "transfer"  # a part of it: lines that move between the arrays of a tile
    LEARN = "learn"  # change the parameters of a digital memory: of a function, or a bias


UPDATES = frozenset({Kind.PULSE, Kind.LEARN})


class Value(NamedTuple):
    """Name of a value: ``x``, ``y``, ``z``, ``d`` or ``e``, of a node or tile.

    ``part`` distinguishes several: the node that a tile serves, or the input of a node.
    """

    role: str
    owner: str | int
    part: str | int = ""


class Take(NamedTuple):
    """Columns ``start`` to ``stop`` of a value, which an operation uses from column ``at`` on.

    Attributes:
        value: The value.
        start: First column.
        stop: One past the last.
        at: Column of the result that the first stands for.
        positions: Half-open range of the positions of each example; None: all.
        at_position: Position of the result that the first stands for.
    """

    value: Value
    start: int
    stop: int
    at: int = 0
    positions: tuple[int, int] | None = None
    at_position: int = 0

    @property
    def node(self) -> str:
        """The node whose value it is, which is none of a tile."""
        owner = self.value.owner
        assert isinstance(owner, str)
        return owner


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One record of a program, for any micro-batch.

    Attributes:
        phase: Phase of the schedule in which it runs.
        stage: Stage of the pipeline in which it runs.
        kind: Kind of operation.
        node: The node of the network that it serves.
        tile: The tile whose array or digital unit performs it.
        takes: Its inputs, in the order in which it uses them.
        gives: Its result, or None.
        width: Columns of what it makes, a column of ones not counted.
        positions: Vectors per example of what it makes; of a pulse, of what it takes.
        has_ones: Whether what it makes has a last column of ones.
        span: Half-open range of the layer's output positions that a tile serves.
        offset: Vectors of an example that the tile has seen before in the same phase.
        index: Which input's error it gives.
    """

    phase: Phase
    stage: int
    kind: Kind
    node: str
    tile: int
    takes: tuple[Take, ...] = ()
    gives: Value | None = None
    width: int = 0
    positions: int = 1
    has_ones: bool = False
    span: tuple[int, int] = (0, 1)
    offset: int = 0
    index: int = 0

    @property
    def columns(self) -> int:
        """Columns of what it makes."""
        return self.width + self.has_ones

    @property
    def vectors(self) -> int:
        """Vectors per example that a tile is driven with."""
        return self.span[1] - self.span[0]


@dataclass(frozen=True, kw_only=True)
class Program:
    """A network mapped to tiles and compiled.

    Attributes:
        n_stages: Stages of the pipeline.
        blocks: Contents of each tile or digital memory, by number.
        holders: Holder of each block, by number: a tile's configuration, or digital memory.
        scales: Weight per unit of normalised conductance, by number.
        vectors: Vectors per example of each block's whole matrix, by number.
        operations: Operations of a micro-batch, each after those that it needs.
        functions: Function of each node that computes one.
        windows: Window of each convolution.
        loss: The loss.
        outputs: Positions of the output, each with a target of its own.
        rules: What blocks of numbers learn by, by number, where a step is more than the rate times
            the error.
        class_weights: Factor of loss and errors of each class in training; empty: all are 1.
    """

    n_stages: int
    blocks: tuple[Block, ...]
    holders: tuple[TileConfig | Digital, ...]
    scales: tuple[float, ...]
    vectors: tuple[int, ...]
    operations: tuple[Operation, ...]
    functions: dict[str, Function]
    windows: dict[str, Window]
    loss: Loss
    outputs: int = 1
    rules: Mapping[int, Rule] = field(default_factory=dict)
    class_weights: tuple[float, ...] = ()

    @cached_property
    def crossbars(self) -> tuple[Block, ...]:
        """The blocks that lie on tiles of the chip, in order."""
        return tuple(block for block in self.blocks if block.home is None)

    @cached_property
    def tiles(self) -> tuple[TileConfig, ...]:
        """What each tile of the chip is, as ``crossbars``."""
        return tuple(each for each in self.holders if isinstance(each, TileConfig))

    @cached_property
    def units(self) -> tuple[int, ...]:
        """Which of the ``crossbars`` each block is, or is placed beside."""
        place = {block.tile: i for i, block in enumerate(self.crossbars)}
        return tuple(place[b.tile if b.home is None else b.home] for b in self.blocks)

    def rule(self, number: int) -> Rule | None:
        """What a block in digital memory learns by."""
        return self.rules.get(number)

    def has_digital_bias(self, operation: Operation) -> bool:
        """Whether an operation adds a digital bias to sums, or changes one."""
        is_one = operation.kind in {Kind.SUM, Kind.LEARN} and operation.node not in self.functions
        return is_one and self.holders[operation.tile] is Digital.PARAMETERS


class Sums(NamedTuple):
    """Sums since the last row of the metrics.

    Attributes:
        loss: Sum of the examples' losses.
        correct: Outputs whose class was right.
        examples: Number of examples.
    """

    loss: float = 0.0
    correct: int = 0
    examples: int = 0


NOTHING = Sums()
FEEDS = ("train", "test", "validation")  # sets of examples that hosts may read


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Micro-batches that are run together, from drained tiles to drained tiles.

    Attributes:
        schedule: Order of the slots.
        micro_batch: Examples per micro-batch; the last may be smaller.
        n_examples: Examples of the span.
        epoch: Epoch, which selects the order of the examples.
        first: Position of the span's first example in the epoch's order.
        first_example: Number of the first example over all epochs, which keys the noise.
        learning_rate: For every example's outer product.
        rates: The same for each update of the span, where they are not all alike.
        evaluation: Number of the evaluation, or None for training.
        log_every: Examples between two rows of the metrics.
        measured: What was measured since the last row, before this span.
        is_last: Whether the rest becomes a row, since an epoch ends with the span.
        keeps_outputs: Whether outputs are kept and given back in place of a loss, without targets.
        feed: Which examples, of ``FEEDS``.
    """

    schedule: Schedule
    micro_batch: int
    n_examples: int
    epoch: int
    first: int
    first_example: int
    learning_rate: float
    evaluation: int | None
    log_every: int
    measured: Sums = NOTHING
    is_last: bool = True
    rates: tuple[float, ...] = ()
    keeps_outputs: bool = False
    feed: str = "train"

    @property
    def n_micro_batches(self) -> int:
        """Micro-batches of the span."""
        return -(-self.n_examples // self.micro_batch)

    @property
    def examples_per_update(self) -> int:
        """Examples between two updates of a tile, at most."""
        return self.micro_batch * self.schedule.micro_batches_per_update

    def rate(self, micro_batch: int) -> float:
        """Learning rate of the update that a micro-batch is a part of."""
        if not self.rates:
            return self.learning_rate
        return self.rates[micro_batch // self.schedule.micro_batches_per_update]

    def ends_update(self, micro_batch: int) -> bool:
        """Whether a micro-batch is the last of those whose updates are applied together."""
        after = micro_batch + 1
        n = self.schedule.micro_batches_per_update
        return after % n == 0 or after == self.n_micro_batches

    def first_of_update(self, micro_batch: int) -> int:
        """Number of the first example of the update that a micro-batch is a part of."""
        per_update = self.schedule.micro_batches_per_update
        return self.first_example + micro_batch // per_update * per_update * self.micro_batch

    def examples(self, micro_batch: int) -> tuple[int, int]:
        """First and one past the last example of a micro-batch, counted from the span's start."""
        start = micro_batch * self.micro_batch
        return start, min(start + self.micro_batch, self.n_examples)
