"""The vectors that drive each tile while the network is read exactly."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossmesh.emulator.compiler.compile import compile_program
from crossmesh.emulator.compiler.job import Job
from crossmesh.interconnect.schedule import ForwardOnly
from crossmesh.tiles.analog.backends import EmulatedTiles
from crossmesh.tiles.analog.block import Block
from crossmesh.tiles.analog.tile import Tile
from crossmesh.tiles.analog.tile_config import TileConfig
from crossmesh.tiles.digital import EXACT
from crossmesh.tiles.runtime.assignment import Assignment
from crossmesh.tiles.runtime.host import TileHost
from crossmesh.tiles.runtime.program import Program, Span

Array = NDArray[np.float32]
MICRO_BATCH = 64  # examples, whatever the config says, so that it changes no bit of a product
MOST_VECTORS = 1024  # kept of each tile, about
_SPREAD, _WHOLE = np.uint64(0x9E3779B1), np.uint64(1 << 32)  # Knuth's multiplicative hash


@dataclass(frozen=True, kw_only=True)
class Recording:
    """What was read exactly.

    Attributes:
        program: The program, whose blocks are those of the job's.
        inputs: ``(vectors, rows)`` that drove each tile, by its number.
        weights: ``(rows, cols)`` of the network that each tile holds, by its number.
    """

    program: Program
    inputs: dict[int, Array]
    weights: dict[int, Array]


class RecordingTile(Tile):
    """An exact tile that keeps some of the vectors that drive it.

    Args:
        block: The part of a layer's matrix that it holds.
        seed: The run's seed.
        vectors: Vectors of an example that the layer's matrix is driven with.
        every: It keeps one of so many, spread over their numbers: not by a period, which may be
            that of an image's rows.
    """

    def __init__(self, block: Block, seed: int, vectors: int, every: int) -> None:
        super().__init__(EXACT, block, 1.0, seed, vectors)
        self._every = np.uint64(every)
        self._kept: list[Array] = []

    def forward(self, x: Array, first_example: int) -> Array:
        """The product, and a copy of some of the vectors."""
        numbers = np.arange(first_example, first_example + len(x), dtype=np.uint64)
        self._kept.append(x[numbers * _SPREAD % _WHOLE < _WHOLE // self._every])
        return super().forward(x, first_example)

    @property
    def kept(self) -> Array:
        """``(vectors, rows)`` in the order in which they came."""
        return np.concatenate(self._kept)


class RecordingTiles(EmulatedTiles):
    """Maker of tiles that record.

    Args:
        examples: Examples that will be read.
    """

    def __init__(self, examples: int) -> None:
        self._examples = examples
        self.tiles: list[RecordingTile] = []

    def make(
        self, config: TileConfig, block: Block, scale: float, seed: int, vectors: int = 1
    ) -> Tile:
        """A tile that records, whatever the config says of it."""
        every = max(1, vectors * self._examples // MOST_VECTORS)
        tile = RecordingTile(block, seed, vectors, every)
        self.tiles.append(tile)
        return tile


def record(job: Job, examples: int) -> Recording:
    """Read the first ``examples`` of the first epoch exactly, as in a test.

    Args:
        job: The job, whose given weights are read.
        examples: How many to read; at most as many as there are.
    """
    program = compile_program(job.network, job.program.loss, job.given, job.program.outputs)
    recording = RecordingTiles(examples)
    host = in_this_process(program, job, recording, "train")
    span = Span(
        schedule=ForwardOnly(),
        micro_batch=MICRO_BATCH,
        n_examples=examples,
        epoch=0,
        first=0,
        first_example=0,
        learning_rate=0.0,
        evaluation=0,
        log_every=examples,
    )
    host.run(span)
    return Recording(
        program=program,
        inputs={tile.block.tile: tile.kept for tile in recording.tiles},
        weights={tile.block.tile: tile.weights for tile in recording.tiles},
    )


def in_this_process(program: Program, job: Job, backend: EmulatedTiles, read: str) -> TileHost:
    """A host of all tiles of a program, with their first weights, that reads some examples.

    Args:
        program: The program.
        job: The job that it is of.
        backend: Maker of its tiles.
        read: Which examples its tests read: those to ``train`` or to ``test`` with.
    """
    assignment = Assignment(
        program=program,
        seed=job.config.seed,
        host_of=(0,) * len(program.blocks),
        host=0,
        backend=backend,
    )
    host = TileHost(assignment, {read: job.feeds[read]})
    host.write(job.initial())
    return host
