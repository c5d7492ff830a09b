"""Several Ray nodes on this machine, which end with the process that started them.

Each node has an address of its own in 127.0.0.0/8, which Linux serves on the loopback device: with
127.0.0.1 Ray would take the machine's outside address, the same for all.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from crossmesh.cluster.launch import sessions
from crossmesh.cluster.launch.settings import NODE, QUIET
from crossmesh.cluster.launch.tokens import checked_token, token_variables, write_token
from crossmesh.common.errors import ConfigError, RunError
from crossmesh.common.private_folders import NoPrivateFolder, PrivateFolder
from crossmesh.common.supervision import interrupts

FIRST = 2  # last number of the head's address
_STARTED = "Ray runtime started"  # what ``ray start`` says when the node belongs to the cluster
_POLL_S = 0.1
_END_S = 10.0  # longest wait for a node to end by itself; one that is idle takes 4 s
_LINES_SHOWN = 4


class LocalNode:
    """A Ray node: its processes, address and folder.

    Attributes:
        number: From 0, which is the head.
        ip: Its address.
        folder: Its folder.
        leader: The process that started all others of it, in a session of their own that it ends.
    """

    def __init__(self, number: int, folder: Path) -> None:
        self.number = number
        self.ip = f"127.0.0.{FIRST + number}"
        self.folder = folder / str(number)
        self.leader: subprocess.Popen[bytes] | None = None
        self.folder.mkdir(mode=0o700)

    @property
    def pids(self) -> list[int]:
        """Ids of all its processes."""
        return [] if self.leader is None else list(sessions.members(self.leader.pid))

    @property
    def raylet_pid(self) -> int:
        """Id of the process without which the node is lost."""
        assert self.leader is not None
        programs = sessions.members(self.leader.pid)
        return next(pid for pid, program in programs.items() if program.endswith("/raylet"))

    def start(
        self,
        options: Mapping[str, object],
        environment: Mapping[str, str],
        cores: Sequence[int] | None = None,
    ) -> None:
        """Begin to start it, on some cores of this machine or on all."""
        settings = {
            "node-ip-address": self.ip,
            "temp-dir": self.folder,
            "min-worker-port": 0,
            "max-worker-port": 0,
            "include-log-monitor": "false",
            "log-style": "record",
            "log-color": "false",
            **options,
        }
        head = [] if self.number else ["--head"]
        pinned = [] if cores is None else [_taskset(), "--cpu-list", ",".join(map(str, cores))]
        with interrupts.deferred(), self._log.open("wb") as log:
            self.leader = subprocess.Popen(
                [
                    *(sys.executable, "-P", sessions.__file__, str(os.getpid()), str(_END_S)),
                    *("--remove", str(self.folder.parent)),
                    *pinned,
                    *(sys.executable, "-m", "ray.scripts.scripts", "start", "--block", *head),
                    *(f"--{name}={value}" for name, value in settings.items()),
                ],
                cwd=self.folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def has_started(self) -> bool:
        """Whether it belongs to the cluster.

        Raises:
            RunError: If it has ended instead.
        """
        if _STARTED in self._log.read_text(errors="replace"):
            return True
        if self.leader is not None and self.leader.poll() is not None:
            raise RunError(f"node {self.number} of the cluster could not start: {self.last_words}")
        return False

    @property
    def last_words(self) -> str:
        """The last lines of its log."""
        lines = self._log.read_text(errors="replace").splitlines()
        return " | ".join(line.strip() for line in lines[-_LINES_SHOWN:] if line.strip())

    @property
    def _log(self) -> Path:
        return self.folder / "start.log"


class LocalNodes:
    """Ray nodes on this machine; a context manager.

    Attributes:
        nodes: The nodes, the head first.
        address: Address of the cluster.
        environment: Variables that a process needs, before it imports Ray, to use the cluster.

    Args:
        n: Number of nodes.
        cpus_per_node: CPUs that Ray counts on each.
        object_store_bytes: Memory of each for Ray's objects.
        variables: Environment variables of the nodes besides.
        token: File with the token; by default a fresh one is made.
        port: Port on which the head listens; by default a free one.
        timeout_s: Longest wait until all nodes have joined.
        cores: Cores of this machine that these nodes may use, with ``taskset``; by default all.
        metrics_port: Port of the head for Prometheus; by default a free one.
    """

    def __init__(  # noqa: PLR0913  because each is a setting of its own
        self,
        n: int,
        *,
        cpus_per_node: int = 1,
        object_store_bytes: int = 256 << 20,
        variables: Mapping[str, str] | None = None,
        token: Path | None = None,
        port: int | None = None,
        timeout_s: float = 120.0,
        cores: Sequence[int] | None = None,
        metrics_port: int | None = None,
    ) -> None:
        self.nodes: list[LocalNode] = []
        self._n = n
        self._options = {"num-cpus": cpus_per_node, "object-store-memory": object_store_bytes}
        self._variables = dict(variables or {})
        self._timeout_s = timeout_s
        self._cores = cores
        self._metrics = {} if metrics_port is None else {"metrics-export-port": metrics_port}
        self._port = _free_port() if port is None else checked_port(port)
        self.address = f"127.0.0.{FIRST}:{self._port}"
        if token is not None:
            checked_token(token, "token")
        self._folder = _private_folder()
        self._token = token or self._folder.path / "token"
        self.environment = {**QUIET, **token_variables(self._token)}

    def __enter__(self) -> "LocalNodes":
        try:
            write_token(self._token)
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End all nodes and remove their folders; signals wait for it."""
        with interrupts.deferred():
            running = [node.leader for node in self.nodes if node.leader is not None]
            self.nodes = []
            sessions.end(running, _END_S)
            self._folder.remove()

    def _start(self) -> None:
        deadline = time.monotonic() + self._timeout_s
        head_only = {"port": self._port, "include-dashboard": "false"}
        self.nodes = [LocalNode(0, self._folder.path)]
        options = {**self._options, **head_only, **self._metrics}
        self.nodes[0].start(options, self._node_environment, self._cores)
        self._await(self.nodes, deadline)
        self._join(self._n - 1, self._cores, deadline)

    def add(self, cores: Sequence[int] | None = None) -> LocalNode:
        """Have one more node join, on some cores of this machine or on all."""
        self._n += 1
        self._join(1, cores, time.monotonic() + self._timeout_s)
        return self.nodes[-1]

    def _join(self, n: int, cores: Sequence[int] | None, deadline: float) -> None:
        first = len(self.nodes)
        nodes = [LocalNode(number, self._folder.path) for number in range(first, first + n)]
        self.nodes += nodes
        for node in nodes:
            options = {**self._options, "address": self.address}
            node.start(options, self._node_environment, cores)
        self._await(nodes, deadline)

    def _await(self, nodes: list[LocalNode], deadline: float) -> None:
        missing = nodes
        while missing := [node for node in missing if not node.has_started()]:
            if time.monotonic() > deadline:
                names = ", ".join(str(node.number) for node in missing)
                raise RunError(
                    f"node {names} of {self._n} did not join the cluster within "
                    f"{self._timeout_s:g} s (timeout_s): {missing[0].last_words or 'no log'}"
                )
            time.sleep(_POLL_S)

    @property
    def _node_environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        return {**kept, **NODE, **self._variables, **self.environment}


def _taskset() -> str:
    found = shutil.which("taskset")
    if found is None:
        raise ConfigError("cores must come with the program taskset (util-linux), got none")
    return found


def _private_folder() -> PrivateFolder:
    try:
        return PrivateFolder()
    except NoPrivateFolder as error:
        raise ConfigError(str(error)) from None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


def checked_port(port: int) -> int:
    """A port on which nothing listens yet.

    Raises:
        ConfigError: If something does.
    """
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("", port))
    except OSError as error:
        reason = (error.strerror or "unavailable").lower()
        raise ConfigError(f"port must be free on this machine, got {port} ({reason})") from None
    return port
