"""What a run will need, said before it starts: memory, disk for checkpoints, and soon its time."""

import itertools
from dataclasses import dataclass, replace

from crossmesh.common import free_memory
from crossmesh.common.durations import duration
from crossmesh.common.errors import ConfigError
from crossmesh.common.storage import Storage
from crossmesh.emulator.compiler.activations import activations_of
from crossmesh.emulator.compiler.job import Job
from crossmesh.emulator.executors.placement import PROCESS_BYTES, most_to_build, tile_sizes
from crossmesh.tiles.runtime.holders import make_holder

_FILE_BYTES = 672  # of a tile's file besides its arrays (measured)
_ARRAY_BYTES = 480  # of each array besides its values (measured)
_NEAR = 0.9  # share of what is free beyond which a user is warned
_LONG_S = 10.0  # of a run whose time is said


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a run will need.

    Attributes:
        memory_bytes: Of all processes together.
        checkpoint_bytes: Of a checkpoint.
        kept: Checkpoints that will be kept.
        there: Of these, how many take the place of one that is there.
        free_memory: Bytes that are free on this machine; None where nothing says so.
        free_disk: Bytes that are free for checkpoints; None where nothing says so, or none are.
    """

    memory_bytes: int
    checkpoint_bytes: int
    kept: int
    there: int
    free_memory: int | None
    free_disk: int | None

    @property
    def disk_bytes(self) -> int:
        """Bytes of the checkpoints that are kept, and of the one that is being written."""
        return (self.kept + 1) * self.checkpoint_bytes

    def __str__(self) -> str:
        """A line for the user."""
        said = f"needs about {_room(self.memory_bytes, 'memory', self.free_memory)}"
        if self.kept:
            said += f", {_room(self.disk_bytes, 'disk for checkpoints', self.free_disk)}"
        return said

    @property
    def warning(self) -> str:
        """A line about what may not suffice; empty if all does."""
        more = self.disk_bytes - self.there * self.checkpoint_bytes
        if self.free_disk is not None and more > _NEAR * self.free_disk:
            return (
                "the disk may not hold the checkpoints: without room for one, training continues "
                "with those before; checkpoint.storage and checkpoint.keep say where and how many"
            )
        return ""

    def check_disk(self) -> None:
        """Refuse a disk that cannot hold what will be kept.

        Raises:
            ConfigError: If it cannot.
        """
        needed = (self.kept - self.there) * self.checkpoint_bytes
        if self.free_disk is not None and needed > self.free_disk:
            raise ConfigError(
                f"checkpoint.storage must have {free_memory.in_words(needed)} free for "
                f"{self.kept - self.there} checkpoints (checkpoint.keep), got "
                f"{free_memory.in_words(self.free_disk)}"
            )


def _room(needed: int, what: str, free: int | None) -> str:
    said = f"{free_memory.in_words(needed)} of {what}"
    return said if free is None else f"{said} ({free_memory.in_words(free)} free)"


def estimate(job: Job, storage: Storage | None, n_actors: int = 0, done: int = 0) -> Estimate:
    """What a run needs, from its program.

    Args:
        job: The job.
        storage: Where its checkpoints lie; None: nowhere.
        n_actors: Ray actors that it runs in; 0: in this process.
        done: Checkpoints that are there already, whose room is used again.
    """
    memory = sum(tile_sizes(job)) + sum(activations_of(job).most)
    memory += (2 if n_actors else 1) * job.dataset.n_bytes
    memory += max(1, n_actors) * (PROCESS_BYTES + most_to_build(job))
    kept = min(job.config.checkpoint.keep, _written(job)) if storage else 0
    return Estimate(
        memory_bytes=memory,
        checkpoint_bytes=checkpoint_bytes(job) if storage else 0,
        kept=kept,
        there=min(done, kept),
        free_memory=free_memory.free_bytes(),
        free_disk=storage.free_bytes() if storage else None,
    )


def _written(job: Job) -> int:
    """Checkpoints that are written at least: at the end of every epoch, and within epochs."""
    every = job.config.checkpoint.every_examples
    within = 0 if every is None else (job.n_train - 1) // every
    return job.config.training.epochs * (1 + within)


def checkpoint_bytes(job: Job) -> int:
    """Bytes of a checkpoint's tiles on disk; the manifest is small beside them."""
    program = job.program
    kinds: dict[object, tuple[int, int, int, int]] = {}
    total = 0
    for number, (holder, block) in enumerate(zip(program.holders, program.blocks, strict=True)):
        kind = holder, program.rule(number)
        if kind not in kinds:
            kinds[kind] = _state_bytes(job, number)
        rows, cols = block.shape
        fixed, per_row, per_column, per_cell = kinds[kind]
        total += fixed + per_row * rows + per_column * cols + per_cell * rows * cols
    return total


def _state_bytes(job: Job, number: int) -> tuple[int, int, int, int]:
    """Bytes of a file: fixed, for each row, for each column, and for each crosspoint.

    Learned from the four smallest tiles, since every array is of all crosspoints or of a side.
    """
    one, wide, high, large = (
        _file_bytes(job, number, shape) for shape in itertools.product((1, 2), (1, 2))
    )
    per_cell = large - wide - high + one
    per_row, per_column = high - one - per_cell, wide - one - per_cell
    return one - per_row - per_column - per_cell, per_row, per_column, per_cell


def _file_bytes(job: Job, number: int, shape: tuple[int, int]) -> int:
    program = job.program
    block = replace(program.blocks[number], shape=shape)
    state = make_holder(program, number, job.config.seed, job.backend, block).state()
    return _FILE_BYTES + sum(_ARRAY_BYTES + array.nbytes for array in state.values())


def time_line(left_s: float) -> str:
    """A line about the time that training will take; empty if it is short."""
    return f"training takes about {duration(left_s)}" if left_s > _LONG_S else ""
