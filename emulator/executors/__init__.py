"""Executors run a program; which one never changes a bit of the result."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from emulator.executors import environment
from emulator.job import Job
from tiles.aging import Aging
from tiles.measure import Measurement, Progress, TileReport
from tiles.program import Span

Watch = Callable[[Progress], None]


class Executor(Protocol):
    """Holds all tiles of a program and runs spans of it.

    Attributes:
        engine: Name of the kind.
        n_actors: Ray actors that host tiles; 0 if there are none.
        n_nodes: Machines that host tiles.
        notice: What a user should know of how the tiles were placed; may be empty.
    """

    engine: str
    n_actors: int
    n_nodes: int
    notice: str

    def write_initial_weights(self) -> None:
        """Set every tile to the network's initial weights."""
        ...

    def run(self, span: Span, watch: Watch) -> list[Measurement]:
        """Run a span; ``watch`` is called now and then with how far it is."""
        ...

    def save(self, folder: Path) -> None:
        """Write the state of every tile to ``folder``."""
        ...

    def load(self, folder: Path) -> None:
        """Read the state of every tile from ``folder``."""
        ...

    def age(self, aging: Aging | None) -> None:
        """Read every tile from programmed memories that have aged; None: from its crossbar."""
        ...

    def digests(self) -> list[bytes]:
        """sha256 of each tile's device state, in tile order."""
        ...

    def reports(self) -> list[TileReport]:
        """Rows of the tiles table, in tile order."""
        ...

    def counters(self) -> dict[str, float]:
        """Messages and bytes sent between hosts, and seconds that hosts waited for them."""
        ...

    def close(self) -> None:
        """Free everything; more calls do nothing."""
        ...


def create(job: Job) -> Executor:
    """The executor that the job's config asks for."""
    # Imported here, because a local run should not pay for importing Ray.
    if job.config.engine.kind == "local":
        from emulator.executors.local import LocalExecutor

        return LocalExecutor(job)
    environment.prepare(job.config.engine.address)
    from emulator.executors.ray import RayExecutor

    return RayExecutor(job)
