"""What machines that are reached by ssh have in common: their fields, their files, the launch."""

import importlib.metadata
import re
import socket
from abc import abstractmethod
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import ClassVar

from pydantic import Field

from crossmesh.cluster.launch import scripts
from crossmesh.cluster.launch.config import PACKAGE, Port, Text, Word
from crossmesh.cluster.launch.files import SCRIPT, File, LaunchPlan
from crossmesh.cluster.launch.generated import GeneratedCluster
from crossmesh.cluster.launch.launched import JobState, Launched
from crossmesh.cluster.launch.launcher import copied
from crossmesh.cluster.launch.machines import scripts as machine_scripts
from crossmesh.cluster.launch.machines.run import (
    RUN,
    MachineRun,
    Machinery,
    RemoteTraining,
    fetched,
)
from crossmesh.cluster.launch.machines.site import START_S, LaunchSite, home
from crossmesh.cluster.launch.machines.ssh import NotReached
from crossmesh.cluster.launch.machines.ssh_login import Ssh
from crossmesh.cluster.launch.order import Order
from crossmesh.cluster.launch.tokens import checked_token
from crossmesh.common.errors import ConfigError, RunError
from crossmesh.common.frozen import Many
from crossmesh.common.supervision import interrupts, reports
from crossmesh.emulator.data.config import UserPath


class LaunchedCluster(GeneratedCluster):
    """Machines that are reached over ssh.

    Attributes:
        storage: Needed here: nodes have no disk in common otherwise.
        cpus_per_node: CPUs that Ray counts on each; by default what it finds.
        activate: Shell commands at the beginning of every shell on a node, as ``source
            /opt/crossmesh/bin/activate``.
        setup: Shell commands that set a node up once, before Ray starts.
        image: Container image in which everything runs; by default none.
        wheel: crossmesh's wheel, copied to each node and installed with pip; by default none.
            With ``code: shipped`` and no image, pip installs what crossmesh depends on, in the
            versions used here.
        port: Port on which the head listens; by default a free one, on clouds 6379.
        token: File with the token; by default a fresh one beside the generated files.
        timeout_s: Longest wait until all nodes have joined, from when the head is up.
        relaunches: How often a lost head is replaced, and the run resumed from its last
            checkpoint.
        ssh: SSH login to the machines.
    """

    storage: Text
    cpus_per_node: int | None = Field(None, ge=1)
    activate: Many[Text] = ()
    setup: Many[Text] = ()
    image: Word | None = None
    wheel: UserPath | None = None
    port: Port | None = None
    token: UserPath | None = None
    timeout_s: float = Field(900.0, gt=0)
    relaunches: int = Field(1, ge=0)
    ssh: Ssh = Ssh()

    ask_s: ClassVar[float] = 2.0  # each time by a connection of its own
    tools: ClassVar[tuple[str, ...]] = ("ssh",)
    ray: ClassVar[str] = "ray"
    usual_port: ClassVar[int] = 0  # a free one: others may have theirs on the same machine

    @property
    def joining_s(self) -> float:
        """``timeout_s``: the head starts the training while the workers are set up."""
        return self.timeout_s

    @abstractmethod
    def machinery(self, launched: Launched) -> Machinery:
        """How this kind gets the machines of a launch, and gives them back."""

    def more_files(self, order: Order, folder: Path) -> Iterable[File]:
        """Files that only this kind has, for this machine.

        Raises:
            ConfigError: If they cannot be used.
        """
        return ()

    @property
    def is_prepared(self) -> bool:
        """Whether the machines have what runs need before they are set up."""
        return not (self.setup or self.wheel or self.image or self.code == "shipped")

    def run_directory(self, order: Order, folder: Path) -> str:
        """On the head, unless cluster or options say where."""
        return order.run_dir or f"{home(order.name)}/run"

    def plan(self, order: Order, folder: Path) -> LaunchPlan:
        """The files that set machines up and train there."""
        brought(self)
        run_dir = self.run_directory(order, folder)
        train = scripts.training_script(order, run_dir, '"$(cat "$here/address")"', _prologue(self))
        job = machine_scripts.JOB.format(run=scripts.path(run_dir), config=scripts.CONFIG)
        files = [
            *self.more_files(order, folder),
            *scripts.config_files(order, "node/"),
            scripts.environment_file(self.variables, self.activate),
            File("node/processes.sh", machine_scripts.PROCESSES),
            File("node/setup.sh", _setup_script(self, home(order.name)), SCRIPT),
            File("node/ray.sh", _ray_script(self), SCRIPT),
            File("node/train.sh", train, SCRIPT),
            File("node/job.sh", job, SCRIPT),
        ]
        if self.image is not None:
            files.append(File("node/container.sh", _container_script(self, order, run_dir), SCRIPT))
        end = f"crossmesh cancel {order.name}"
        return LaunchPlan(
            folder=folder,
            files=tuple(files),
            script=None,
            tools=self.tools,
            after="It says its name, by which crossmesh cancel ends it and gives the machines back",
            end=end,
            token=None if self.token else "node/token",
        )

    def launch(self, order: Order, launched: Launched) -> int:
        """Set the machines up, train there, fetch the run, and give them back."""
        self.plan(order, launched.folder).write()
        again = f"end what may still run with: crossmesh cancel {launched.name}"
        reports.next_command(again)
        launched.remember(phase="starting")
        with interrupts.deferred(), self.site(launched.name, launched.folder) as site:
            return self._run(site, launched).result(keep=order.keep)

    def state(self, launched: Launched) -> JobState:
        """How the training stands: what the launch has noted, or what the head says."""
        if launched.exit_code is not None:
            return super().state(launched)
        if launched.process is not None:
            return JobState("running" if launched.remembered("phase") == "running" else "starting")
        is_here = launched.record.host == socket.gethostname()
        gone = "its process has ended" if is_here else f"launched on {launched.record.host}"
        what_to_do = f"crossmesh cancel {launched.name} ends it and gives the machines back"
        try:
            with self.site(launched.name, launched.folder) as site:
                head = self.machinery(launched).head(site)
                what, code, _ = RemoteTraining(site, head).status()
        except NotReached as error:
            return JobState("lost", f"{gone}; {error}; {what_to_do}")
        if what == "running":
            return JobState("running", f"{gone}; {what_to_do}")
        ended = "" if code is None else f"; the training has ended with {code}"
        return JobState("lost", f"{gone}{ended}; {what_to_do}", code)

    def follow(self, launched: Launched, *, to_end: bool) -> None:
        """Print the log; if what launched is gone, what the training says on the head."""
        if launched.process is not None or launched.exit_code is not None:
            super().follow(launched, to_end=to_end)
            return
        with self.site(launched.name, launched.folder) as site:
            RemoteTraining(site, self.machinery(launched).head(site)).show(to_end=to_end)

    def cancel(self, launched: Launched) -> None:
        """Ask for the end; if what launched is gone, do here what it would have done."""
        if launched.process is not None:
            super().cancel(launched)
            return
        with self.site(launched.name, launched.folder) as site:
            code = self._run(site, launched).wind_up()
        if launched.exit_code is None:
            launched.end(code)

    def fetch(self, launched: Launched, to: Path) -> None:
        """Bring the run directory here: what the launch has fetched, or else from the head."""
        here = launched.folder / RUN
        if (here / "config.yaml").is_file():
            copied(here, to)
            return
        with self.site(launched.name, launched.folder) as site:
            head = self.machinery(launched).head(site)
            if not fetched(site, head, launched.run_dir, to):
                raise RunError(f"{launched.name} has left no run directory at {launched.run_dir}")

    def glance(self, launched: Launched) -> Path | None:
        """The run without its checkpoints, copied from the head; or all that was fetched."""
        here = launched.folder / RUN
        if (here / "config.yaml").is_file():
            return here
        seen = launched.folder / "seen"
        with self.site(launched.name, launched.folder) as site:
            head = self.machinery(launched).head(site)
            is_there = fetched(site, head, launched.run_dir, seen, whole=False)
        return seen if is_there else None

    def site(self, name: str, folder: Path) -> LaunchSite:
        """The machines of a launch."""
        return LaunchSite(name, self.ssh.options(), self._container(name))

    def _run(self, site: LaunchSite, launched: Launched) -> MachineRun:
        return MachineRun(self.machinery(launched), site, launched, self.relaunches)

    def _container(self, name: str) -> str | None:
        return None if self.image is None else f"crossmesh-{name}"


def sources(machines: LaunchedCluster, folder: Path) -> dict[str, Path]:
    """What is copied to each machine, by its path in our folder there."""
    made = {path.name: path for path in sorted((folder / "node").iterdir())}
    return {**made, **brought(machines)}


def brought(machines: LaunchedCluster) -> dict[str, Path]:
    """What of it is not made for the launch.

    Raises:
        ConfigError: If it cannot be copied.
    """
    found = {}
    if machines.token is not None:
        found["token"] = checked_token(machines.token, "token")
    if machines.wheel is not None:
        if not machines.wheel.is_file():
            raise ConfigError(f"wheel must be an existing file, got {machines.wheel}")
        found[machines.wheel.name] = machines.wheel
    if machines.code == "shipped":
        for source in sorted(PACKAGE.glob("[a-z_]*")):  # links in a checkout
            if source.name != "__pycache__":
                found[f"code/crossmesh/{source.name}"] = source.resolve()
    return found


def _setup_script(machines: LaunchedCluster, there: str) -> str:
    install = ""
    if machines.wheel is not None:
        install = f"python3 -m pip install {scripts.path(f'{there}/{machines.wheel.name}')}"
    elif machines.code == "shipped" and machines.image is None:
        install = f"python3 -m pip install {scripts.quoted(_dependencies(machines.ray))}"
    return machine_scripts.SETUP.format(setup="\n".join(machines.setup), install=install)


def _dependencies(ray: str) -> list[str]:
    """What crossmesh depends on, in the versions used here, so that all nodes compute the same."""
    required = importlib.metadata.requires("crossmesh") or []
    names = [re.split(r"[^A-Za-z0-9._-]", text)[0] for text in required if "extra ==" not in text]
    versions = {name: importlib.metadata.version(name) for name in names}
    versions[ray] = versions.pop("ray")
    return [f"{name}=={version}" for name, version in versions.items()]


def _prologue(machines: LaunchedCluster) -> list[str]:
    begin = ['. "$here/env.sh"']
    if machines.code == "shipped":  # to the head by ssh, from there to the actors by Ray
        begin.append('export PYTHONPATH="$here/code${PYTHONPATH:+:$PYTHONPATH}"')
    return begin


def _ray_script(machines: LaunchedCluster) -> str:
    """Starts and ends one node's Ray, and nothing else."""
    cpus = [] if machines.cpus_per_node is None else [f"--num-cpus={machines.cpus_per_node}"]
    # Free ports, so that several users can have nodes on one machine.
    ports = ["--min-worker-port=0", "--max-worker-port=0", "--dashboard-agent-listen-port=0"]
    return machine_scripts.RAY.format(
        port=machines.port or machines.usual_port,
        folder=scripts.PRIVATE_FOLDER,
        options=scripts.quoted([*cpus, *ports, "--include-log-monitor=false"]),
        seconds=START_S,
        version=importlib.metadata.version("ray"),
    )


def _container_script(machines: LaunchedCluster, order: Order, run_dir: str) -> str:
    made: list[str] = []
    for folder in filter(None, (machines.shared_folder, run_dir)):
        if not any(PurePosixPath(folder).is_relative_to(top) for top in (home(order.name), *made)):
            made.append(folder)
    return machine_scripts.CONTAINER.format(
        name=f"crossmesh-{order.name}",
        made=" ".join(map(scripts.path, made)),
        there="" if machines.data_dir is None else scripts.path(machines.data_dir),
        image=machines.image,
    )
