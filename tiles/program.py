"""The records that a program is made of, and the part of a program that one host performs.

Values flow between operations. A value is named by what it is and by the node or tile it comes
from: ``x`` of a node (what it sends forward), ``y`` of a tile (partial sum of a forward read),
``z`` of a tile (partial sum of a backward read), ``d`` of a node (the error at its output), ``e``
of a node (the part of its input's error that comes from it, if there are other parts).
Every ``x`` has one more column than the node has outputs: it is 1 and drives the bias line.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from interconnect.schedule import Phase, Schedule
from tiles.tile import Block


class Kind(StrEnum):
    """What an operation does."""

    INPUT = "input"  # take the examples of a micro-batch
    READ = "read"  # forward cycle of a tile
    SUM = "sum"  # add the partial sums of a layer in tile order
    ACTIVATE = "activate"  # activation function
    LOSS = "loss"  # loss and first error
    GATHER = "gather"  # add what the consumers of a node send back, in tile order
    DERIVE = "derive"  # error through an activation function
    READ_BACK = "read_back"  # backward cycle of a tile
    PULSE = "pulse"  # update cycle of a tile


class Value(NamedTuple):
    """Name of a value: ``x``, ``y``, ``z``, ``d`` or ``e``, of a node or tile."""

    role: str
    owner: str | int


class Take(NamedTuple):
    """Columns ``start`` to ``stop`` of a value, which an operation uses from column ``at`` on."""

    value: Value
    start: int
    stop: int
    at: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One record of a program, for any micro-batch.

    Attributes:
        phase: Phase of the schedule in which it runs.
        stage: Stage of the pipeline in which it runs.
        kind: What it does.
        node: The node of the network that it serves.
        tile: The tile whose array or digital unit performs it.
        takes: What it needs, in the order in which it uses it.
        gives: What it makes, or None.
        width: Columns of what it makes.
    """

    phase: Phase
    stage: int
    kind: Kind
    node: str
    tile: int
    takes: tuple[Take, ...] = ()
    gives: Value | None = None
    width: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A network mapped to tiles and compiled.

    Attributes:
        n_stages: Stages of the pipeline.
        blocks: What each tile holds, by tile number.
        scales: Weight per unit of normalised conductance, by tile number.
        operations: What is done for each micro-batch, in an order that respects every need.
        functions: Activation function of each activation node.
        loss: Name of the loss.
    """

    n_stages: int
    blocks: tuple[Block, ...]
    scales: tuple[float, ...]
    operations: tuple[Operation, ...]
    functions: dict[str, str]
    loss: str


class Sums(NamedTuple):
    """What was measured since the last row of the metrics.

    Attributes:
        loss: Sum of the examples' losses.
        correct: Examples whose class was right.
        examples: How many there were.
    """

    loss: float = 0.0
    correct: int = 0
    examples: int = 0


NOTHING = Sums()


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
        evaluation: Number of the evaluation, or None for training.
        log_every: Examples between two rows of the metrics.
        measured: What was measured since the last row, before this span.
        is_last: Whether the rest becomes a row, since an epoch ends with the span.
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

    @property
    def n_micro_batches(self) -> int:
        """Micro-batches of the span."""
        return -(-self.n_examples // self.micro_batch)

    def examples(self, micro_batch: int) -> tuple[int, int]:
        """First and one past the last example of a micro-batch, counted from the span's start."""
        start = micro_batch * self.micro_batch
        return start, min(start + self.micro_batch, self.n_examples)
