"""The protocol of executors, which both engines implement."""

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from crossmesh.tiles.analog.retention import Aging
from crossmesh.tiles.runtime.measure import HostReport, Outcome, Progress, TileReport
from crossmesh.tiles.runtime.program import Span

Watch = Callable[[Progress], None]


class Figures(NamedTuple):
    """How a run goes.

    Attributes:
        examples: Examples trained.
        examples_per_second: Recent rate, once known.
        loss: Recent training loss, once known.
        accuracy: Recent training accuracy, once known.
        recoveries: Losses survived.
        moves: So often tiles moved.
        checkpoints: Checkpoints written.
        checkpoint_seconds: Seconds spent writing them.
    """

    examples: int
    examples_per_second: float | None
    loss: float | None
    accuracy: float | None
    recoveries: int
    moves: int
    checkpoints: int
    checkpoint_seconds: float


class Executor(Protocol):
    """Holds all tiles of a program and runs spans of it.

    Attributes:
        engine: Name of the kind.
        notice: Remarks for the user on placement and memory of the tiles, in lines;
            may be empty.
        moves: So often tiles were put into other hosts while the executor ran.
    """

    engine: str
    notice: str
    moves: int

    @property
    def n_actors(self) -> int:
        """Ray actors that host tiles; 0 if there are none."""
        ...

    @property
    def n_nodes(self) -> int:
        """Machines that host tiles."""
        ...

    def write_initial_weights(self) -> None:
        """Set every tile to the network's initial weights."""
        ...

    def run(self, span: Span, watch: Watch) -> Outcome:
        """Run a span; ``watch`` is called now and then with how far it is.

        Raises:
            HostLost: If a tile host, or the way to it, is lost; ``recover`` is due then.
        """
        ...

    def rearrange(self, left: int, examples: int, seconds: float) -> str:
        """Put tiles into other hosts, between two spans and where that pays; bits stay.

        Args:
            left: Examples that are still to be trained.
            examples: Examples of the span before.
            seconds: Seconds that it took.

        Returns:
            What was done, or why something was not, in a line; empty where nothing was.

        Raises:
            HostLost: As ``run``.
        """
        ...

    def recover(self) -> None:
        """Replace hosts that are lost; all tiles must be loaded or written afterwards."""
        ...

    def save(self, folder: str) -> dict[str, str]:
        """Write the state of every tile to ``folder``; sha256 of each file by its name.

        Raises:
            NotWritten: If there is no room, or no permission.
        """
        ...

    def load(self, folder: str, files: Mapping[str, str]) -> None:
        """Read the state of every tile from ``folder``.

        Args:
            folder: The folder that ``save`` wrote.
            files: The digests that it returned.

        Raises:
            Damaged: If a file is not what was written.
        """
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

    def hosts(self) -> list[HostReport]:
        """Latest report of every host, in order: its place, and how its time was spent."""
        ...

    def export(self, figures: Figures) -> None:
        """Give figures to what watches the cluster, if the config says so."""
        ...

    def close(self) -> None:
        """Free everything; more calls do nothing."""
        ...
