"""Machines that Ray's cluster launcher (``ray up``) makes, and starts the others from the head.

Keys of its file: docs.ray.io/en/latest/cluster/vms/references/ray-cluster-configuration.html, and
the schema in Ray's own package, against which every file is checked before it is used.
"""

import contextlib
import io
import os
import re
import subprocess
import sys
import time
from abc import abstractmethod
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar

import typer
import yaml

from crossmesh.cluster.launch import scripts, sessions
from crossmesh.cluster.launch.files import File, yaml_text
from crossmesh.cluster.launch.generated import programs_path
from crossmesh.cluster.launch.launched import Launched
from crossmesh.cluster.launch.machines import scripts as machine_scripts
from crossmesh.cluster.launch.machines.cluster import LaunchedCluster, brought
from crossmesh.cluster.launch.machines.run import Machinery
from crossmesh.cluster.launch.machines.site import LaunchSite, home
from crossmesh.cluster.launch.machines.ssh import Asked, NotReached, SshMachine
from crossmesh.cluster.launch.machines.ssh_login import file_word
from crossmesh.cluster.launch.order import Order
from crossmesh.common.errors import ConfigError, RunError
from crossmesh.common.homes import user_home
from crossmesh.common.supervision import interrupts, reports
from crossmesh.emulator.executors.ray_internals import check_cluster_file

FILE = "cluster.yaml"
_AUTOSCALING = "--autoscaling-config=~/ray_bootstrap_config.yaml"  # by which it makes the others
_NAME = 35  # longest name of a cluster: GCE takes 63, and Ray adds 28 for names of machines
_OWN = ("*.pid", "*.log", "ray.folder", "address", "lock")
_POLL_S = 0.1
_END_S = 10.0  # so long ray up may take to end after it was asked to
_COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
# What ray up says at every start and means for others: how to use Ray, which crossmesh does itself.
_NOISE = re.compile(
    r"Useful commands|To terminate the cluster|To retrieve the IP|To port-forward|To submit a job|"
    r"To connect to a terminal|To monitor autoscaling|^\s*(ray|RAY_API_SERVER\S*) (down|"
    r"get-head-ip|dashboard|job|submit|attach|exec|monitor)|Autoscaler v2 is now enabled|"
    r"Shared connection to|Permanently added|\.bashrc: No such|Requirement already satisfied|"
    r"The output above is from|Commands shown in|or from within the cluster|^-+$|"
    r"Usage stats|refers to a file|To ensure this mount updates|urllib3|^\s*(!!!)?\s*$"
)
_INSIDE = re.compile(r"Traceback |\s|\^")  # of a traceback, all but its last line


class VirtualMachines(LaunchedCluster):
    """Virtual machines of a cloud, which ``ray up`` makes for one launch."""

    ray: ClassVar[str] = "ray[default]"  # which the head needs to start the others
    tools: ClassVar[tuple[str, ...]] = ("ray", "ssh", "rsync")
    usual_port: ClassVar[int] = 6379
    head_packages: ClassVar[tuple[str, ...]] = ()

    @property
    @abstractmethod
    def launcher_keys(self) -> dict[str, Any]:
        """What only this kind says in the file: the provider and its nodes."""

    @property
    @abstractmethod
    def rays_keys(self) -> str:
        """A pattern for the files in ``~/.ssh`` of the keys that Ray makes for this cloud."""

    @abstractmethod
    def resolved(self, tree: dict[str, Any]) -> dict[str, Any]:
        """The file with what only the cloud knows, such as today's image.

        Raises:
            ConfigError: If the cloud cannot be asked, or does not have it.
        """

    @abstractmethod
    def removed(self, name: str, folder: Path, wait: Callable[[], None]) -> None:
        """Remove every machine of a launch, also those that are made meanwhile.

        Raises:
            RunError: If some remain.
        """

    def machinery(self, launched: Launched) -> Machinery:
        """What ``ray up`` makes."""
        return _RayUp(self, launched)

    def site(self, name: str, folder: Path) -> LaunchSite:
        """Its machines are new: their keys are written down for this launch alone.

        An address that another machine had before, with another key, is no reason to refuse it.
        """
        options = self.ssh.options(new_keys=folder / "known_hosts")
        return LaunchSite(name, options, self._container(name))

    def more_files(self, order: Order, folder: Path) -> Iterable[File]:
        """The file for ``ray up``, checked by Ray itself."""
        tree = launcher_tree(self, order.name, folder)
        check(tree)
        return [File(FILE, machine_scripts.HEADER + yaml_text(tree))]


def cluster_name(name: str) -> str:
    """A launch's name as Ray can put it into names of machines, which clouds limit.

    >>> cluster_name("aws-digits-ab3x")
    'aws-digits-ab3x'
    >>> cluster_name("gcp-" + 38 * "a" + "-ab3x")
    'gcp-aaaaaaaaaaaaaaaaaaaaaaaaaa-ab3x'
    """
    return name if len(name) <= _NAME else name[: _NAME - 5].rstrip("-") + name[-5:]


def launcher_tree(cluster: VirtualMachines, name: str, folder: Path) -> dict[str, Any]:
    """The file for ``ray up``."""
    there = home(name)
    ssh = cluster.ssh
    auth = {"ssh_user": ssh.user, "ssh_private_key": ssh.private_key and str(ssh.key),
            "ssh_proxy_command": ssh.proxy_command}  # fmt: skip
    head_packages = scripts.quoted(cluster.head_packages)
    address = f'"$RAY_HEAD_IP:{cluster.port or cluster.usual_port}"'
    tree: dict[str, Any] = {
        "cluster_name": cluster_name(name),
        "max_workers": cluster.nodes - 1,
        **cluster.launcher_keys,
        "auth": {key: value for key, value in auth.items() if value is not None},
        "file_mounts": _mounts(cluster, there, folder),
        # The head copies its folder to the others: not what is its own in it.
        "rsync_exclude": ["**/__pycache__", "run/", *_OWN],
        "setup_commands": [],
        "head_setup_commands": [f"bash {there}/setup.sh {head_packages}".rstrip()],
        "worker_setup_commands": [f"bash {there}/setup.sh"],
        # ray up looks for the last word in the commands, and warns if it is not there.
        "head_start_ray_commands": [f"bash {there}/ray.sh head {_AUTOSCALING} 'ray start'"],
        "worker_start_ray_commands": [f'bash {there}/ray.sh worker {address} "ray start"'],
    }
    if cluster.image is not None:
        tree["docker"] = {"image": cluster.image, "container_name": f"crossmesh-{name}"}
    return tree


def _mounts(cluster: VirtualMachines, there: str, folder: Path) -> dict[str, str]:
    """Remote paths and what is copied there; modes are kept."""
    more = {f"{there}/{name}": str(source) for name, source in brought(cluster).items()}
    return {there: str(folder / "node"), **more}


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


class _RayUp(Machinery):
    def __init__(self, cluster: VirtualMachines, launched: Launched) -> None:
        self._cluster = cluster
        self._launched = launched
        self._file = launched.folder / FILE

    def started(self, site: LaunchSite) -> SshMachine:
        """The head; it makes the others by itself."""
        tree = self._cluster.resolved(yaml.safe_load(self._file.read_text("utf-8")))
        self._file.write_text(machine_scripts.HEADER + yaml_text(tree), "utf-8")
        typer.echo(f"making {self._cluster.nodes} machines", err=True)
        self._launched.remember(head=None)
        self._ray(
            "up", "--yes", "--no-config-cache", "--log-style=pretty", "--log-color=false", FILE
        )
        address = self._ray("get-head-ip", FILE, is_shown=False)
        self._launched.remember(head=address.splitlines()[-1].strip())
        return self.head(site)

    def head(self, site: LaunchSite) -> SshMachine:
        """The head that was made."""
        address = self._launched.remembered("head")
        if address is None:
            raise NotReached(f"{site.name} has no head")
        machine = site.machine(address, "the head", *self._key_options())
        machine.connect(heed=False)
        return machine

    def _key_options(self) -> list[str]:
        """Options of ssh for the keys that Ray has made, where the file names none."""
        if self._cluster.ssh.key is not None:
            return []
        keys = sorted((user_home() / ".ssh").glob(self._cluster.rays_keys))
        return ["-oIdentitiesOnly=yes", *(f"-oIdentityFile={file_word(key)}" for key in keys)]

    def given_back(self, site: LaunchSite) -> bool:
        """Remove the machines."""
        try:
            self._cluster.removed(cluster_name(site.name), self._launched.folder, reports.renew)
        except RunError as error:
            what = f"crossmesh cancel {site.name} tries again"
            typer.echo(f"warning: {error}; machines cost money: {what}", err=True)
            return False
        return True

    def _ray(self, *words: str, is_shown: bool = True) -> str:
        code, text = ray(self._launched.folder, *words, is_shown=is_shown)
        if code:
            reasons = [line for line in text.splitlines() if line and not _INSIDE.match(line)]
            raise RunError(f"ray {words[0]} has failed: {reasons[-1] if reasons else code}")
        return text


def ray(folder: Path, *words: str, is_shown: bool = True) -> tuple[int, str]:
    """Run a command of Ray in a folder; what it says of itself is left out.

    It ends with this process, also if that is killed.

    Returns:
        Its exit code, and all that it said, which is in ``ray.log`` there too.

    Raises:
        Asked: If a signal asks for the end, which ends the command.
    """
    environment = {
        **os.environ,
        "PATH": programs_path(),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_UP_enable_autoscaler_v2": "1",  # its default, said so that it does not announce it
        "PYTHONWARNINGS": "ignore",
        "PYTHONUNBUFFERED": "1",
    }
    command = [
        *(sys.executable, "-P", sessions.__file__, str(os.getpid()), str(_END_S)),
        *(sys.executable, "-m", "ray.scripts.scripts", *words),
    ]
    with (folder / "ray.log").open("ab") as log:
        begin = log.tell()
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=log,
            stderr=log, start_new_session=True,
        )  # fmt: skip
        written, is_asked = begin, False
        try:
            while True:
                is_over = process.poll() is not None
                reports.renew()
                if is_shown:
                    written = _show(folder / "ray.log", written, is_over=is_over)
                if is_over:
                    break
                if interrupts.requested():
                    is_asked = True
                    break
                time.sleep(_POLL_S)
        finally:
            sessions.end([process], 2 * _END_S)
    if is_asked:
        raise Asked
    with (folder / "ray.log").open("rb") as log:
        log.seek(begin)
        return process.returncode, _COLOUR.sub("", log.read().decode(errors="replace"))


def _show(path: Path, begin: int, *, is_over: bool) -> int:
    """Pass on whole lines from a byte on, without noise; the byte to begin with next."""
    with path.open("rb") as log:
        log.seek(begin)
        text = log.read()
    end = len(text) if is_over else text.rfind(b"\n") + 1
    is_inside = False  # a traceback: only what it ends with is of use
    for line in _COLOUR.sub("", text[:end].decode(errors="replace")).splitlines():
        is_inside = "Traceback (most recent" in line or (is_inside and bool(_INSIDE.match(line)))
        if not is_inside and not _NOISE.search(line):
            typer.echo(line, err=True)
    return begin + end
