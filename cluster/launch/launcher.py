"""What a kind of cluster must say: how a training gets there, and how it is followed."""

import contextlib
import os
import shlex
import shutil
import signal
import socket
import time
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import ClassVar

import typer

from crossmesh.cluster.launch.config import Cluster
from crossmesh.cluster.launch.launched import JobState, Launched
from crossmesh.cluster.launch.order import Order
from crossmesh.common.errors import RunError
from crossmesh.emulator.cli.main import app

_LOOK_S = 0.5  # between two looks at a log that is followed


class Launcher(Cluster):
    """A kind of cluster; subclasses name it by a field ``kind`` and have a field ``nodes``.

    Paths of this machine are fields ``token`` and ``wheel``: they begin at the cluster's file.
    How a launch is followed is said here for trainings whose process, or one that waits for them,
    is on this machine, and whose run directory is too; other kinds say it themselves.

    Attributes:
        ask_s: Seconds between two questions how a launch stands, which others have to answer.
    """

    ask_s: ClassVar[float] = _LOOK_S

    @abstractmethod
    def show(self, order: Order, folder: Path, *, write: bool) -> None:
        """Show what a launch would do, or write its files where that is wanted."""

    def preflight(self, order: Order, folder: Path) -> Iterable[str]:
        """What stands in the way of a launch, a line each; nothing is started for it."""
        return ()

    @abstractmethod
    def launch(self, order: Order, launched: Launched) -> int:
        """Train on the cluster, or hand the training over to it.

        Args:
            order: What is trained.
            launched: The launch, which has its folder.

        Returns:
            The exit status of what was done from here.
        """

    def run_directory(self, order: Order, folder: Path) -> str:
        """The run directory, as seen from where the training is started."""
        return str(Path(order.run_dir_here).absolute())

    def state(self, launched: Launched) -> JobState:
        """How the training stands."""
        code = launched.exit_code
        if code is not None:
            kinds = {0: "done", 130: "cancelled"}
            return JobState(kinds.get(code, "failed"), exit_code=code)  # type: ignore[arg-type]
        if launched.record.host != socket.gethostname():
            return JobState("running", f"as far as {launched.record.host} knows, where to look")
        if launched.process is None:
            return JobState("lost", "its process has ended without a word")
        run = self.glance(launched)
        return JobState("running" if run is not None else "starting")

    def follow(self, launched: Launched, *, to_end: bool) -> None:
        """Print the log, with ``to_end`` until the training has ended."""
        written, asks_at, is_over = 0, 0.0, not to_end
        while True:
            if to_end and time.monotonic() >= asks_at:
                is_over = self.state(launched).is_over
                asks_at = time.monotonic() + self.ask_s
            with contextlib.suppress(FileNotFoundError), launched.log.open("rb") as log:
                log.seek(written)
                text = log.read()
                written += len(text)
                typer.echo(text.decode("utf-8", "replace"), nl=False)
            if is_over:
                return
            time.sleep(_LOOK_S)

    def is_kept(self, launched: Launched) -> bool:
        """Whether ``cancel`` has something to remove after the end."""
        return launched.has_machines

    def cancel(self, launched: Launched) -> None:
        """Ask the training to save its state and to end, and machines to be given back.

        Raises:
            RunError: If there is nobody to ask.
        """
        process = launched.process
        if process is None:
            raise RunError(f"{launched.name} cannot be asked to end: {self.state(launched).detail}")
        os.kill(process, signal.SIGTERM)

    def fetch(self, launched: Launched, to: Path) -> None:
        """Bring the run directory here.

        Raises:
            RunError: If there is none.
        """
        run = Path(launched.run_dir)
        if not run.is_dir():
            raise RunError(f"{launched.name} has left no run directory at {run}")
        if run.resolve() != to.resolve():
            copied(run, to)

    def glance(self, launched: Launched) -> Path | None:
        """A folder of this machine with the run's files, once it has any, as they are now."""
        run = Path(launched.run_dir)
        return run if (run / "config.yaml").is_file() else None


def copied(run: Path, to: Path) -> None:
    """Copy a run directory as far as it has come: files may vanish meanwhile, and others come.

    Raises:
        RunError: If it cannot be read or written.
    """
    try:
        shutil.copytree(run, to, dirs_exist_ok=True)
    except shutil.Error as error:
        failed = [(source, why) for source, _, why in error.args[0] if Path(source).exists()]
        for source, why in failed:
            raise RunError(f"{source} cannot be copied to {to}: {why}") from None
    except OSError as error:
        raise RunError(f"{run} cannot be copied to {to}: {error.strerror}") from None


class ClusterAtHand(Launcher):
    """A Ray cluster with a node on this machine: the training runs in this process.

    Signals, progress and errors are then those of ``crossmesh train``.
    """

    @property
    @abstractmethod
    def described(self) -> tuple[str, str]:
        """Its address, and where that is, as they are shown by ``--dry-run``."""

    @abstractmethod
    def reached(self, *, quiet: bool) -> AbstractContextManager[tuple[str, Mapping[str, str]]]:
        """The cluster while a training runs: its address, and variables that Ray needs to use it.

        Raises:
            ConfigError: If the cluster cannot be used.
        """

    def show(self, order: Order, folder: Path, *, write: bool) -> None:
        """Show the command that trains; there are no files."""
        address, where = self.described
        command = shlex.join(["crossmesh", *order.arguments(address)])
        typer.echo(f"Would train {where}:\n{command}")

    def launch(self, order: Order, launched: Launched) -> int:
        """Train from here."""
        with self.reached(quiet=order.given["quiet"]) as (address, environment):
            for name in ("RAY_ADDRESS", *(("RAY_AUTH_TOKEN",) if environment else ())):
                os.environ.pop(name, None)  # which would count instead
            os.environ.update(environment)
            return app(order.arguments(address), standalone_mode=False) or 0
