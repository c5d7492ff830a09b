"""Hosts of a cluster as network namespaces of this machine, and what may befall them.

Each host has a namespace with its own address, its own folder for temporary files, and a Ray node;
a switch in a namespace of its own joins them, so nothing of the machine's own network is touched.
Whatever runs in the namespaces ends with ``Hosts``; what a killed test has left goes when the next
one begins. A head that has ended by itself says why, and ``repair`` makes all hosts again.
"""

import contextlib
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from crossmesh.cluster.launch.settings import NODE

ROOT = Path(__file__).parents[1]
COMMAND = (sys.executable, "-m", "crossmesh")
PORT = 6379
DISK_BYTES = 16 << 20
# A head whose raylet stands still for 3 s, as on a very busy machine, is taken for dead and ends.
# Tests that measure no times wait three times as long.
PATIENT = {"RAY_health_check_failure_threshold": "8"}
_LINKED_S = 30.0  # longest wait for a cable that was plugged in
# Succeeds if a host answers at a port where nothing listens.
_KNOCK = """
import contextlib, socket, sys
with contextlib.suppress(ConnectionRefusedError):
    socket.create_connection((sys.argv[1], 9), timeout=2)
"""
_PREFIX = "crossmesh-"  # namespaces and folders: crossmesh-<pid of the test>-<token>[-<name>]
_OWNED = re.compile(_PREFIX + r"(\d+)-[0-9a-f]{4}(-\w+)?")


def why_not() -> str | None:
    """Why hosts cannot be had here; None if they can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "needs Linux and root, to make network namespaces"
    if not all(shutil.which(tool) for tool in ("ip", "ss")):
        return "needs iproute2 (ip, ss)"
    name = f"{_PREFIX}{os.getpid()}-{secrets.token_hex(2)}-probe"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode:
        return f"needs network namespaces: {made.stderr.strip()}"
    _shell("ip", "netns", "del", name)
    return None


@dataclass(frozen=True)
class Process:
    """A process of a host."""

    pid: int
    command: str

    @property
    def is_frozen(self) -> bool:
        """Whether SIGSTOP has stopped it."""
        try:
            stat = Path(f"/proc/{self.pid}/stat").read_text()
        except OSError:
            return False
        return stat.rpartition(")")[2].split()[0] == "T"

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; nothing if it is gone."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)


@dataclass(frozen=True)
class Port:
    """Where a process of a host listens."""

    address: str
    number: int
    pid: int


class Host:
    """A network namespace with an address, a folder for temporary files and a Ray node.

    Attributes:
        is_lost: Whether its Ray node is dead, or will be taken for dead.
    """

    def __init__(self, name: str, switch: str, number: int, folder: Path) -> None:
        self.namespace = name
        self.address = f"10.77.0.{number + 1}"
        self.folder = folder
        self.is_lost = False
        self._number = number
        self._switch = switch
        self._node: subprocess.Popen[bytes] | None = None
        folder.mkdir(mode=0o700)
        _shell("ip", "netns", "add", name)
        _shell("ip", "-n", switch, "link", "add", self._plug, "type", "veth", "peer", "name",
               "eth0", "netns", name)  # fmt: skip
        _shell("ip", "-n", switch, "link", "set", self._plug, "master", "bridge", "up")
        _shell("ip", "-n", name, "address", "add", f"{self.address}/24", "dev", "eth0")
        for device in ("eth0", "lo"):
            _shell("ip", "-n", name, "link", "set", device, "up")

    @property
    def _plug(self) -> str:
        return f"port{self._number}"

    # Processes

    def popen(self, *command: str, env: dict[str, str], **options) -> subprocess.Popen[bytes]:
        """Start a command on this host."""
        command = ("ip", "netns", "exec", self.namespace, *command)
        env = {**env, "TMPDIR": str(self.folder)}
        return subprocess.Popen(command, env=env, start_new_session=True, **options)

    def processes(self) -> list[Process]:
        """Everything that runs here."""
        listed = _shell("ip", "netns", "pids", self.namespace, lenient=True)
        found = []
        for pid in map(int, listed.split()):
            with contextlib.suppress(OSError):
                raw = Path(f"/proc/{pid}/cmdline").read_bytes()
                found.append(Process(pid, raw.replace(b"\0", b" ").decode(errors="replace")))
        return found

    def actors(self) -> list[Process]:
        """The tile actors here."""
        return [each for each in self.processes() if each.command.startswith("ray::TileActor")]

    def raylet(self) -> Process:
        """The raylet of this host's Ray node, which holds the actors' lives."""
        return next(p for p in self.processes() if p.command.split(" ")[0].endswith("/raylet"))

    def ports(self) -> list[Port]:
        """Where the processes of this host listen."""
        table = _shell("ip", "netns", "exec", self.namespace, "ss", "-Hltnp")
        rows = re.findall(r"^LISTEN\s+\d+\s+\d+\s+(\S+):(\d+)\s+\S+\s*(.*)$", table, re.MULTILINE)
        return [
            Port(address.strip("[]"), int(number), int(pid))
            for address, number, users in rows
            for pid in re.findall(r"pid=(\d+)", users)
        ]

    # The Ray node

    def start_node(self, head: str | None, env: dict[str, str]) -> None:
        """Begin to start this host's Ray node, as head or for a head's address."""
        settings = {
            "node-ip-address": self.address,
            "temp-dir": str(self.folder / "ray"),
            "num-cpus": "2",
            "object-store-memory": str(100 << 20),
            "include-log-monitor": "false",
            **({"address": head} if head else {"port": str(PORT), "include-dashboard": "false"}),
        }
        flags = [] if head else ["--head"]
        with (self.folder / "node.log").open("wb") as log:
            self._node = self.popen(
                sys.executable, "-m", "ray.scripts.scripts", "start", "--block", *flags,
                *(f"--{name}={value}" for name, value in settings.items()),
                env=env, cwd=self.folder, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            )  # fmt: skip

    def await_node(self, head: "Host", within_s: float = 120) -> None:
        """Wait until the Ray node belongs to the cluster, whose head must live.

        Raises:
            RuntimeError: If that fails, with what the nodes have said.
        """
        log = self.folder / "node.log"

        def is_decided() -> bool:
            return "Ray runtime started" in log.read_text() or self.is_over or head.is_over

        with contextlib.suppress(TimeoutError):
            wait_for(is_decided, within_s)
        if head.is_over:
            raise RuntimeError(f"the head's Ray has ended: {head.said()}")
        if self.is_over or "Ray runtime started" not in log.read_text():
            said = "" if head is self else f"\nThe head: {head.said()}"
            raise RuntimeError(f"no Ray node on {self.address}: {self.said()}{said}")

    @property
    def is_over(self) -> bool:
        """Whether its Ray node was started and has ended."""
        return self._node is not None and self._node.poll() is not None

    def said(self) -> str:
        """The ends of what its Ray node, raylet and GCS have logged."""
        logs = [self.folder / "node.log"]
        for name in ("raylet", "gcs_server"):
            logs += self.folder.glob(f"ray/session_2*/logs/{name}.out")
        said = []
        for log in logs:
            lines = log.read_text(errors="replace").splitlines()
            said += [
                f"-- {log.name}",
                *[line for line in lines if "[state-dump]" not in line][-30:],
            ]
        return "\n".join(said)

    def end_processes(self) -> None:
        """Kill everything here, frozen or not."""
        _kill_all(self.namespace)
        if self._node is not None:
            self._node.wait()
            self._node = None

    # Faults

    def lose_raylet(self, number: signal.Signals) -> None:
        """Kill or freeze the raylet."""
        self.is_lost = True
        self.raylet().signal(number)

    def cut(self) -> None:
        """Pull this host's cable; ``mend`` plugs it in again."""
        self.is_lost = True
        _shell("ip", "-n", self._switch, "link", "set", self._plug, "down")

    def mend(self) -> None:
        """Undo ``cut`` and ``mislead``: hosts that were not found are looked up again."""
        _shell("ip", "-n", self._switch, "link", "set", self._plug, "up")
        for which in (("nud", "permanent"), ("dev", "eth0")):
            _shell("ip", "-n", self.namespace, "neighbour", "flush", *which)

    def await_link(self, other: "Host") -> None:
        """Wait until a connection to another host is accepted or refused, and not lost."""
        command = (
            "ip",
            "netns",
            "exec",
            self.namespace,
            sys.executable,
            "-c",
            _KNOCK,
            other.address,
        )
        deadline = time.monotonic() + _LINKED_S
        while (tried := subprocess.run(command, capture_output=True, check=False)).returncode:
            if time.monotonic() > deadline:
                said = tried.stderr.decode().strip().rpartition("\n")[2]
                state = _shell("ip", "-n", self._switch, "link", "show", self._plug)
                raise RuntimeError(
                    f"{self.address} does not reach {other.address}: {said}\n{state}"
                )

    def mislead(self, other: "Host") -> None:
        """Send all that goes to another host where nobody is; ``mend`` undoes it."""
        _shell("ip", "-n", self.namespace, "neighbour", "replace", other.address,
               "lladdr", "02:00:00:00:00:00", "dev", "eth0", "nud", "permanent")  # fmt: skip

    def sever(self, other: "Host") -> int:
        """Reset one established channel of ours that comes from another host; its port here.

        Channels of ours listen at the host's own address alone, Ray's ports at all of them.
        """
        pids = {actor.pid for actor in self.actors()}
        own = {p.number for p in self.ports() if p.address == self.address and p.pid in pids}
        ss = ("ip", "netns", "exec", self.namespace, "ss")
        for number in sorted(own):
            ends = ("src", f"{self.address}:{number}", "dst", other.address)
            if _shell(*ss, "-Htn", "state", "established", *ends):
                _shell(*ss, "-K", "-tn", *ends)
                return number
        raise LookupError(f"no channel from {other.address} to {self.address}")


class Hosts:
    """Hosts joined by a switch, with Ray on all of them, the head on the first; a context manager.

    Attributes:
        address: Of the Ray cluster.
        env: Environment of every command.
        disk: A small file system that all hosts share, ``DISK_BYTES`` large.

    Args:
        n: Number of hosts.
        ray: Whether Ray runs on them.
        is_timed: Whether lost nodes are noticed as fast as on clusters that crossmesh launches.
    """

    def __init__(self, n: int, *, ray: bool = True, is_timed: bool = False) -> None:
        self._n = n
        self._ray = ray
        self._health = {} if is_timed else PATIENT
        self._stack = contextlib.ExitStack()
        self._hosts: list[Host] = []
        self._runs: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> "Hosts":
        sweep()
        with self._stack:
            self._build()
            if self._ray:
                self._start_nodes()
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()
        for run in self._runs:
            run.wait()
        self._hosts.clear()
        self._runs.clear()

    def __getitem__(self, number: int) -> Host:
        return self._hosts[number]

    def __iter__(self) -> Iterator[Host]:
        return iter(self._hosts)

    def _build(self) -> None:
        token = f"{_PREFIX}{os.getpid()}-{secrets.token_hex(2)}"
        folder = Path(tempfile.gettempdir()) / token
        self._stack.callback(_remove, token)
        folder.mkdir(mode=0o700)
        self.disk = folder / "disk"
        self.disk.mkdir()
        _shell("mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "crossmesh", str(self.disk))
        (folder / "token").write_text(secrets.token_hex(32))
        (folder / "token").chmod(0o600)
        kept = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
        self.env = {
            **kept, **NODE, **self._health, "PYTHONPATH": str(ROOT), "COLUMNS": "200",
            "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(folder / "token"),
        }  # fmt: skip
        switch = f"{token}-switch"
        _shell("ip", "netns", "add", switch)
        _shell("ip", "-n", switch, "link", "add", "bridge", "type", "bridge")
        _shell("ip", "-n", switch, "link", "set", "bridge", "up")
        for k in range(self._n):
            self._hosts.append(Host(f"{token}-{k}", switch, k, folder / str(k)))
            self._stack.callback(self._hosts[k].end_processes)
        self.address = f"{self._hosts[0].address}:{PORT}"

    def _start_nodes(self) -> None:
        head, *others = self._hosts
        head.start_node(None, self.env)
        head.await_node(head)
        for host in others:
            host.start_node(self.address, self.env)
        for host in others:
            host.await_node(head)

    def replace(self, host: Host) -> None:
        """Give a host whose node is lost a fresh one, as a new machine would have."""
        host.end_processes()
        host.mend()
        for other in self._hosts:
            host.await_link(other)
        shutil.rmtree(host.folder)
        host.folder.mkdir(mode=0o700)
        host.start_node(self.address, self.env)
        host.await_node(self._hosts[0])
        host.is_lost = False

    def repair(self) -> None:
        """Kill the runs, and have every host as it was in the beginning."""
        for run in self._runs:
            run.kill()
            run.wait()
        try:
            self._replace_lost()
        except RuntimeError as error:  # all of them again, with a switch of their own
            print(error)  # noqa: T201  because pytest shows it with the test that failed
            self.__exit__()
            self.__enter__()
        for host in self._hosts:
            for left in host.folder.glob("crossmesh-*"):
                shutil.rmtree(left) if left.is_dir() else left.unlink()

    def _replace_lost(self) -> None:
        head, *others = self._hosts
        if head.is_over:
            raise RuntimeError(f"the head's Ray has ended: {head.said()}")
        for host in self._hosts:
            host.mend()
        for host in others:
            if host.is_lost or host.is_over:
                self.replace(host)

    def crossmesh(self, *arguments: object, cwd: Path) -> subprocess.Popen[bytes]:
        """Start the command on the head; ``cwd`` gets its output as ``stdout`` and ``stderr``."""
        command = [*COMMAND, *map(str, arguments)]
        with (cwd / "stdout").open("wb") as out, (cwd / "stderr").open("wb") as errors:
            run = self._hosts[0].popen(*command, env=self.env, cwd=cwd, stdout=out, stderr=errors)
        self._runs.append(run)
        return run

    def actors(self) -> list[Process]:
        """The tile actors on all hosts."""
        return [actor for host in self._hosts for actor in host.actors()]


def sweep() -> None:
    """Remove what tests that no longer run have left."""
    namespaces = [line.split()[0] for line in _shell("ip", "netns", "list").splitlines()]
    folders = [path.name for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*")]
    for name in namespaces + folders:
        owned = _OWNED.fullmatch(name)
        if owned and not Path(f"/proc/{owned[1]}").exists():
            _remove("-".join(name.split("-")[:3]))


def _remove(token: str) -> None:
    """Kill what runs in the namespaces of a token, then remove them and their folder."""
    listed = _shell("ip", "netns", "list")
    namespaces = [name for name in listed.split() if name.startswith(f"{token}-")]
    for name in namespaces:
        _kill_all(name)
    for name in namespaces:
        _shell("ip", "netns", "del", name, lenient=True)
    folder = Path(tempfile.gettempdir()) / token
    _shell("umount", "--lazy", str(folder / "disk"), lenient=True)
    shutil.rmtree(folder, ignore_errors=True)


def _kill_all(namespace: str) -> None:
    deadline = time.monotonic() + 20
    while pids := _shell("ip", "netns", "pids", namespace, lenient=True).split():
        for pid in map(int, pids):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)  # ends stopped ones as well
        if time.monotonic() > deadline:
            raise RuntimeError(f"{namespace}: processes {pids} outlive SIGKILL")
        time.sleep(0.02)


def _shell(*command: str, lenient: bool = False) -> str:
    """Output of a command; failures raise with what it said."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and not lenient:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def wait_for(condition: Callable[[], object], within_s: float, what: str = "") -> float:
    """Wait until a condition holds; the seconds it took. It is asked seldom after a while."""
    start = time.monotonic()
    while not condition():
        waited_s = time.monotonic() - start
        if waited_s > within_s:
            raise TimeoutError(f"not within {within_s} s: {what or condition}")
        time.sleep(min(0.25, max(0.02, waited_s / 20)))
    return time.monotonic() - start
