"""The local executor: every tile in this process."""

import time
from collections.abc import Mapping

from threadpoolctl import threadpool_limits

from crossmesh.common import free_memory
from crossmesh.common.errors import ConfigError, RunError
from crossmesh.common.storage import Storage
from crossmesh.common.supervision.reports import renew
from crossmesh.emulator.compiler.activations import Activations, activations_of, notice
from crossmesh.emulator.compiler.job import Job
from crossmesh.emulator.executors.executor import Figures, Watch
from crossmesh.emulator.executors.placement import most_to_build, tile_sizes
from crossmesh.tiles.analog.retention import Aging
from crossmesh.tiles.runtime.assignment import Assignment
from crossmesh.tiles.runtime.host import TileError, TileHost
from crossmesh.tiles.runtime.measure import HostReport, Outcome, TileReport
from crossmesh.tiles.runtime.program import Span

WATCH_EVERY_S = 0.1
_GIB = 1 << 30


class LocalExecutor:
    """One tile host with all tiles: the reference for every other executor."""

    engine = "local"
    n_actors = 0
    n_nodes = 1
    moves = 0

    def __init__(self, job: Job) -> None:
        self._job = job
        activations = activations_of(job)
        _check_memory(job, activations)
        self.notice = notice(job, activations)
        self._threads = threadpool_limits(1)  # given back by close
        config, program = job.config, job.program
        assignment = Assignment(
            program=program,
            seed=config.seed,
            host_of=(0,) * len(program.blocks),
            host=0,
            backend=job.backend,
        )
        self.host = TileHost(assignment, job.feeds)

    def write_initial_weights(self) -> None:
        """Set every tile to the network's initial weights."""
        self.host.write(self._job.initial())

    def run(self, span: Span, watch: Watch) -> Outcome:
        """Run a span."""
        due = time.perf_counter() + WATCH_EVERY_S

        def look() -> None:
            nonlocal due
            if time.perf_counter() >= due:
                watch(self.host.meter.progress)
                renew()  # a test at the end of an epoch may be long
                due = time.perf_counter() + WATCH_EVERY_S

        try:
            return self.host.run(span, look)
        except TileError as error:
            raise RunError(str(error)) from error

    def rearrange(self, left: int, examples: int, seconds: float) -> str:
        """There are no other hosts."""
        return ""

    def recover(self) -> None:
        """Nothing can be lost."""

    def save(self, folder: str) -> dict[str, str]:
        """Write the state of every tile."""
        return self.host.save(Storage(folder), renew)

    def load(self, folder: str, files: Mapping[str, str]) -> None:
        """Read the state of every tile."""
        self.host.load(Storage(folder), files)

    def age(self, aging: Aging | None) -> None:
        """Read every tile from programmed memories that have aged."""
        self.host.age(aging)

    def digests(self) -> list[bytes]:
        """sha256 of each tile's device state, in tile order."""
        return [digest for _, digest in sorted(self.host.digests().items())]

    def reports(self) -> list[TileReport]:
        """Rows of the tiles table, in tile order."""
        return sorted(self.host.reports())

    def hosts(self) -> list[HostReport]:
        """Report of the only host."""
        return [self.host.report()]

    def export(self, figures: Figures) -> None:
        """There is no cluster."""

    def close(self) -> None:
        """Give BLAS its threads back."""
        self._threads.restore_original_limits()


def _check_memory(job: Job, activations: Activations) -> None:
    """Refuse what this machine has no memory for, before it takes what there is."""
    tiles, stored = sum(tile_sizes(job)) + most_to_build(job), sum(activations.most)
    needed = tiles + stored
    if (free := free_memory.lacking(needed)) is not None:
        raise ConfigError(
            f"this machine must have {needed / _GIB:.1f} GiB of memory free for the tiles "
            f"({tiles / _GIB:.1f}) and activations ({stored / _GIB:.1f}), got {free / _GIB:.1f}; "
            "engine.kind=ray spreads them over a cluster, and smaller batches take less"
        )
