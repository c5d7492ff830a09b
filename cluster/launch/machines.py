"""Ray's cluster launcher: files for ``ray up`` on machines of one's own, on EC2 and on GCE.

Keys: docs.ray.io/en/latest/cluster/vms/references/ray-cluster-configuration.html, and the schema
in Ray's own package, against which every file is checked before it is used.
"""

import contextlib
import importlib.metadata
import io
import re
import shlex
from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from crossmesh.cluster.launch import machine_scripts, scripts
from crossmesh.cluster.launch.config import Port, Text, Word
from crossmesh.cluster.launch.files import SCRIPT, File, LaunchPlan, yaml_text
from crossmesh.cluster.launch.generated import GeneratedCluster
from crossmesh.cluster.launch.order import Order
from crossmesh.cluster.launch.tokens import checked_token
from crossmesh.common.errors import ConfigError
from crossmesh.common.frozen import Frozen, Many
from crossmesh.emulator.data.config import UserPath
from crossmesh.emulator.executors.ray_internals import check_cluster_file

_START_S = 120  # longest wait for a node's Ray


class Ssh(Frozen):
    """SSH login to the machines.

    Attributes:
        user: Name of the account.
        private_key: File with the key; by default what ssh or Ray finds.
        proxy_command: ssh's ProxyCommand, where machines are reached through another.
    """

    user: Word = "ubuntu"
    private_key: Text | None = None
    proxy_command: Text | None = None


class LaunchedCluster(GeneratedCluster):
    """Machines that Ray's cluster launcher (``ray up``) sets up over ssh.

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
        port: Port on which the head listens.
        token: File with the token; by default a fresh one beside the generated files.
        timeout_s: Longest wait until all nodes have joined, from when the head is up.
        ssh: SSH login to the machines.
        head_setup: What Ray's own defaults install on the head to start workers from there.
    """

    head_setup: ClassVar[tuple[str, ...]] = ()
    storage: Text
    cpus_per_node: int | None = Field(None, ge=1)
    activate: Many[Text] = ()
    setup: Many[Text] = ()
    image: Word | None = None
    wheel: UserPath | None = None
    port: Port = 6379
    token: UserPath | None = None
    timeout_s: float = Field(900.0, gt=0)
    ssh: Ssh = Ssh()

    @property
    def joining_s(self) -> float:
        """``timeout_s``: the head starts the training while the workers are set up."""
        return self.timeout_s

    @property
    @abstractmethod
    def launcher_keys(self) -> dict[str, Any]:
        """What only this kind says in the file for ``ray up``: the provider and its nodes."""

    @property
    def ending(self) -> str:
        """The command that gives the machines back."""
        return "ray down --yes cluster.yaml"

    def run_directory(self, order: Order, folder: Path) -> str:
        """On the head, unless cluster or options say where."""
        return order.run_dir or f"{home(self)}/runs/{order.name}"

    def plan(self, order: Order, folder: Path) -> LaunchPlan:
        """The files that set machines up, train on them, and fetch the run.

        Raises:
            ConfigError: If Ray's own checks refuse them.
        """
        tree = launcher_tree(self, folder)
        check(tree)
        run_dir = self.run_directory(order, folder)
        address = f"127.0.0.1:{self.port}"
        train = scripts.training_script(order, run_dir, address, _prologue(self))
        files = (
            File("cluster.yaml", machine_scripts.HEADER + yaml_text(tree)),
            File("launch.sh", _launch_script(self, order, run_dir), SCRIPT),
            scripts.config_file(order, "node/"),
            scripts.environment_file(self.variables, self.activate),
            File("node/train.sh", train, SCRIPT),
            File("node/job.sh", machine_scripts.JOB, SCRIPT),
            File("node/ray.sh", _ray_script(self), SCRIPT),
        )
        end = f"cd {shlex.quote(str(folder))} && {self.ending}"
        return LaunchPlan(
            folder=folder,
            files=files,
            script="launch.sh",
            tools=("ray", "ssh", "rsync"),
            after=machine_scripts.AFTER.format(folder=shlex.quote(str(folder)), end=end),
            end=end,
            token=None if self.token else "node/token",
        )


def launcher_tree(machines: LaunchedCluster, folder: Path) -> dict[str, Any]:
    """The file for ``ray up``."""
    there = home(machines)
    ray = f"bash {there}/ray.sh"
    ssh = machines.ssh
    auth = {"ssh_user": ssh.user, "ssh_private_key": ssh.private_key,
            "ssh_proxy_command": ssh.proxy_command}  # fmt: skip
    tree: dict[str, Any] = {
        "cluster_name": machines.name,
        "max_workers": machines.nodes - 1,
        **machines.launcher_keys,
        "auth": {key: value for key, value in auth.items() if value is not None},
        "file_mounts": _mounts(machines, folder),
        "rsync_exclude": ["**/__pycache__"],
        "setup_commands": [*machines.setup, *_installing(machines)],
        "head_setup_commands": list(machines.head_setup),
        "worker_setup_commands": [],
        "head_start_ray_commands": [f"{ray} head"],
        "worker_start_ray_commands": [f'{ray} worker "$RAY_HEAD_IP"'],
    }
    if machines.image is not None:
        tree["docker"] = {"image": machines.image, "container_name": f"crossmesh-{machines.name}"}
    return tree


def check(tree: dict[str, Any]) -> None:
    """Have Ray's schema and validator judge a file.

    Raises:
        ConfigError: With what they say.
    """
    # Ray depends on it, so it is there wherever Ray is.
    from jsonschema.exceptions import ValidationError  # type: ignore[import-untyped]  # has none

    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            check_cluster_file(tree)
    except (ValidationError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"the cluster's file must be one that Ray accepts: {reason}") from None


def home(machines: LaunchedCluster) -> str:
    """The folder of our files on each node."""
    return f"~/.crossmesh/{machines.name}"


def _mounts(machines: LaunchedCluster, folder: Path) -> dict[str, str]:
    """Remote paths and what is copied there; modes are kept."""
    there = home(machines)
    mounts = {there: str(folder / "node")}
    if machines.token is not None:
        mounts[f"{there}/token"] = str(checked_token(machines.token, "token"))
    if machines.wheel is not None:
        if not machines.wheel.is_file():
            raise ConfigError(f"wheel must be an existing file, got {machines.wheel}")
        mounts[f"{there}/{machines.wheel.name}"] = str(machines.wheel)
    if machines.code == "shipped":
        for source in sorted(Path(__file__).parents[2].glob("[a-z_]*")):  # links in a checkout
            if source.name != "__pycache__":
                mounts[f"{there}/code/crossmesh/{source.name}"] = str(source.resolve())
    return mounts


def _installing(machines: LaunchedCluster) -> list[str]:
    """Commands that install what runs need on a node."""
    if machines.wheel is not None:
        return [f"python3 -m pip install {scripts.path(f'{home(machines)}/{machines.wheel.name}')}"]
    if machines.code == "shipped" and machines.image is None:
        return [f"python3 -m pip install {scripts.quoted(_dependencies())}"]
    return []


def _dependencies() -> list[str]:
    """What crossmesh depends on, in the versions used here, so that all nodes compute the same."""
    required = importlib.metadata.requires("crossmesh") or []
    names = [re.split(r"[^A-Za-z0-9._-]", text)[0] for text in required if "extra ==" not in text]
    versions = {name: importlib.metadata.version(name) for name in names}
    versions["ray[default]"] = versions.pop("ray")  # which the launcher needs
    return [f"{name}=={version}" for name, version in versions.items()]


def _prologue(machines: LaunchedCluster) -> list[str]:
    begin = ['. "$here/env.sh"']
    if machines.code == "shipped":  # to the head by ray up, from there to the actors by Ray
        begin.append('export PYTHONPATH="$here/code${PYTHONPATH:+:$PYTHONPATH}"')
    return begin


def _ray_script(machines: LaunchedCluster) -> str:
    """Starts and ends one node's Ray, and nothing else."""
    cpus = [] if machines.cpus_per_node is None else [f"--num-cpus={machines.cpus_per_node}"]
    options = scripts.quoted([*cpus, "--include-log-monitor=false"])
    return machine_scripts.RAY.format(
        port=machines.port,
        folder=scripts.PRIVATE_FOLDER,
        options=options,
        seconds=_START_S,
        version=importlib.metadata.version("ray"),
    )


def _launch_script(machines: LaunchedCluster, order: Order, run_dir: str) -> str:
    return machine_scripts.LAUNCH.format(
        job=f"bash {home(machines)}/job.sh",
        here=shlex.quote(f"runs/{order.config.name}"),
        from_there=shlex.quote(run_dir.rstrip("/") + "/"),
        to_here=shlex.quote(f"runs/{order.config.name}/"),
        end=machines.ending,
    )
