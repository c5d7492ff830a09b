"""What a kind of cluster must say: how a training gets there."""

import importlib.util
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from abc import abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import ClassVar, Self

import typer

from crossmesh.cluster.launch.config import Cluster
from crossmesh.cluster.launch.files import LaunchPlan
from crossmesh.cluster.launch.order import Order
from crossmesh.common.errors import ConfigError, is_secret, masked
from crossmesh.common.frozen import FrozenDict
from crossmesh.common.supervision import interrupts, reports
from crossmesh.emulator.cli.main import app

_POLL_S = 0.2  # between two looks at whether a script has ended


class Launcher(Cluster):
    """A kind of cluster; subclasses name it by a field ``kind`` and have a field ``nodes``.

    Paths of this machine are fields ``token`` and ``wheel``: they begin at the cluster's file.
    """

    @abstractmethod
    def launch(self, order: Order, files: Path | None, *, dry_run: bool) -> int:
        """Train on the cluster.

        Args:
            order: What is trained.
            files: Folder for generated files; None for the usual one.
            dry_run: Whether to show what would be done instead.

        Returns:
            The exit status of the training.
        """


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

    def launch(self, order: Order, files: Path | None, *, dry_run: bool) -> int:
        """Train from here, or show the command that does."""
        if dry_run:
            address, where = self.described
            command = shlex.join(["crossmesh", *order.arguments(address)])
            typer.echo(f"Would train {where}:\n{command}")
            return 0
        with self.reached(quiet=order.given["quiet"]) as (address, environment):
            for name in ("RAY_ADDRESS", *(("RAY_AUTH_TOKEN",) if environment else ())):
                os.environ.pop(name, None)  # which would count instead
            os.environ.update(environment)
            return app(order.arguments(address), standalone_mode=False) or 0


class GeneratedCluster(Launcher):
    """A cluster that generated files set up, and where the training starts by itself.

    Attributes:
        package: Python package that must be beside Ray, or None.
    """

    package: ClassVar[str | None] = None

    @abstractmethod
    def plan(self, order: Order, folder: Path) -> LaunchPlan:
        """The files, which will lie in ``folder``, and how they are used.

        Raises:
            ConfigError: If the cluster or the training is none that can be launched.
        """

    def launch(self, order: Order, files: Path | None, *, dry_run: bool) -> int:
        """Write the files and run their script, or show them."""
        if order.is_resumed:
            raise ConfigError(
                f"CONFIG must be a config, got the run directory {order.source}; with the config, "
                "an existing run directory is resumed"
            )
        folder = files or Path("launched") / f"{self.name}-{order.config.name}"
        if dry_run and files is None:
            self._without_secrets().plan(order, folder.absolute()).show()
            return 0
        plan = self.plan(order, folder.absolute())
        plan.write()
        if dry_run:
            typer.echo(f"written to {folder}; start with: {plan.start}\n{plan.after}")
            return 0
        self._check_tools(plan)
        reports.next_command(f"stop what may still be running with: {plan.end}")
        try:
            return _run(plan)
        finally:  # also when interrupted
            typer.echo(plan.after, err=True)

    def _without_secrets(self) -> Self:
        """The cluster as it may be shown: masked here, for in the files a value may be quoted."""
        shown = {
            name: "***" if is_secret(name) else masked(value)
            for name, value in self.variables.items()
        }
        return self.model_copy(update={"variables": FrozenDict(shown)})

    def _check_tools(self, plan: LaunchPlan) -> None:
        for tool in plan.tools:
            if shutil.which(tool, path=_path()) is None:
                raise ConfigError(
                    f"launching on {self.kind} requires the program {tool}, which is not on PATH; "
                    f"the files are in {plan.folder}"
                )
        if self.package is not None and importlib.util.find_spec(self.package) is None:
            raise ConfigError(
                f"launching on {self.kind} requires the Python package {self.package}; "
                f"the files are in {plan.folder}"
            )


def _path() -> str:
    """Where programs are found: Ray's lies beside this Python."""
    beside = str(Path(sys.executable).parent)
    return os.pathsep.join([beside, os.environ.get("PATH", os.defpath)])


def _run(plan: LaunchPlan) -> int:
    """Run the script to its end, which gives back what it took; a signal is passed on to it."""
    with interrupts.deferred():
        command = ["bash", str(plan.folder / plan.script)]
        reports.share_terminal()  # ssh asks there
        script = subprocess.Popen(command, env={**os.environ, "PATH": _path()}, stderr=sys.stderr)
        is_signalled = False
        while script.poll() is None:
            if interrupts.requested() and not is_signalled:
                script.send_signal(signal.SIGTERM)
                is_signalled = True
            reports.renew()  # machines cost money until it has given them back
            time.sleep(_POLL_S)
        return script.returncode
