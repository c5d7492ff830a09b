"""Clusters that generated files set up, and where the training starts by itself."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from abc import abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import IO, ClassVar, Self, TextIO

import typer

from crossmesh.cluster.launch.files import LaunchPlan
from crossmesh.cluster.launch.launched import Launched
from crossmesh.cluster.launch.launcher import Launcher
from crossmesh.cluster.launch.order import Order
from crossmesh.common.errors import ConfigError, is_secret, masked
from crossmesh.common.frozen import FrozenDict
from crossmesh.common.supervision import interrupts, reports

_LAST_WORDS_S = 5.0  # longest wait for the rest of a script's output
_POLL_S = 0.2  # between two looks at whether a script has ended


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

    def show(self, order: Order, folder: Path, *, write: bool) -> None:
        """Show the files, or write them and say how they are used."""
        self._check_config(order)
        if not write:
            self._without_secrets().plan(order, folder.absolute()).show()
            return
        plan = self.plan(order, folder.absolute())
        plan.write()
        typer.echo(f"written to {folder}; start with: {plan.start}\n{plan.after}")

    def preflight(self, order: Order, folder: Path) -> Iterable[str]:
        """The programs that the plan's script needs."""
        self._check_config(order)
        plan = self.plan(order, folder.absolute())
        for tool in plan.tools:
            if shutil.which(tool, path=programs_path()) is None:
                yield f"launching on {self.kind} requires the program {tool}, which is not on PATH"
        if self.package is not None and importlib.util.find_spec(self.package) is None:
            yield f"launching on {self.kind} requires the Python package {self.package}"

    def launch(self, order: Order, launched: Launched) -> int:
        """Write the files and run their script."""
        plan = self.plan(order, launched.folder)
        plan.write()
        reports.next_command(f"stop what may still be running with: {plan.end}")
        return run_script(plan)

    def _check_config(self, order: Order) -> None:
        if order.is_resumed:
            raise ConfigError(
                f"CONFIG must be a config, got the run directory {order.source}; with the config, "
                "an existing run directory is resumed"
            )

    def _without_secrets(self) -> Self:
        """The cluster as it may be shown: masked here, for in the files a value may be quoted."""
        shown = {
            name: "***" if is_secret(name) else masked(value)
            for name, value in self.variables.items()
        }
        return self.model_copy(update={"variables": FrozenDict(shown)})


def programs_path() -> str:
    """Where programs are found: Ray's lies beside this Python."""
    beside = str(Path(sys.executable).parent)
    return os.pathsep.join([beside, os.environ.get("PATH", os.defpath)])


def run_script(plan: LaunchPlan) -> int:
    """Run a plan's script to its end, which gives back what it took; a signal is passed on to it.

    What it says goes where this process says things, so that it is in the launch's log.
    """
    assert plan.script is not None
    with interrupts.deferred():
        command = ["bash", str(plan.folder / plan.script)]
        reports.share_terminal()  # ssh asks there
        script = subprocess.Popen(
            command,
            env={**os.environ, "PATH": programs_path()},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        streams = ((script.stdout, sys.stdout), (script.stderr, sys.stderr))
        readers = [threading.Thread(target=_passed_on, args=pair, daemon=True) for pair in streams]
        for reader in readers:
            reader.start()
        is_signalled = False
        while script.poll() is None:
            if interrupts.requested() and not is_signalled:
                script.send_signal(signal.SIGTERM)
                is_signalled = True
            reports.renew()  # machines cost money until it has given them back
            time.sleep(_POLL_S)
        for reader in readers:
            reader.join(_LAST_WORDS_S)  # what it has left running may hold its output
        return script.returncode


def _passed_on(source: IO[bytes], sink: TextIO) -> None:
    with source:
        for line in source:
            sink.write(line.decode("utf-8", "replace"))
            sink.flush()
