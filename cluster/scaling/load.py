"""Work of each tile host per micro-batch, counted from the program."""

from collections.abc import Sequence
from typing import NamedTuple

from crossmesh.emulator.compiler.job import Job
from crossmesh.tiles.analog.block import Block
from crossmesh.tiles.runtime.plan import Action, Receive, SendMessage, in_order, plans
from crossmesh.tiles.runtime.program import Kind, Operation, Program, Span

FLOAT_BYTES = 4


class Load(NamedTuple):
    """Amounts of work that the cost model prices.

    Attributes:
        read: Crosspoints read forward or backward, times examples.
        updated: Crosspoints updated, times examples.
        operations: Steps, whatever they do.
        messages: Messages sent, and messages received.
        bytes: Bytes of their payloads, at both ends.
    """

    read: float = 0.0
    updated: float = 0.0
    operations: float = 0.0
    messages: float = 0.0
    bytes: float = 0.0

    def __add__(self, other: tuple[float, ...]) -> "Load":  # type: ignore[override]  # adds, never joins
        return Load(*(a + b for a, b in zip(self, other, strict=True)))

    def times(self, n: float) -> "Load":
        """So much work ``n`` times over."""
        return Load(*(n * amount for amount in self))


def load_of(action: Action, blocks: Sequence[Block], micro_batch: int) -> Load:
    """The work of one action for ``micro_batch`` examples."""
    if isinstance(action, SendMessage | Receive):
        columns = sum(take.stop - take.start for take in action.edge.parts)
        return Load(messages=1, bytes=FLOAT_BYTES * columns * micro_batch)
    crosspoints = _crosspoints(action, blocks) * micro_batch
    if action.kind is Kind.PULSE:
        return Load(updated=crosspoints, operations=1)
    return Load(read=crosspoints, operations=1)


def _crosspoints(operation: Operation, blocks: Sequence[Block]) -> int:
    if operation.kind not in {Kind.READ, Kind.READ_BACK, Kind.PULSE}:
        return 0
    rows, cols = blocks[operation.tile].shape
    return rows * cols


def host_loads(program: Program, span: Span, host_of: tuple[int, ...]) -> list[Load]:
    """Work of every host in a span, in host order."""
    every = plans(in_order(program, span.schedule), host_of, set(host_of))
    loads = []
    for host in sorted(every):
        load = Load()
        for _, action in every[host]:
            load += load_of(action, program.blocks, span.micro_batch)
        loads.append(load.times(span.n_examples / span.micro_batch))
    return loads


def devices_of(job: Job) -> int:
    """Crosspoints of all tiles."""
    return sum(block.shape[0] * block.shape[1] for block in job.program.blocks)
