"""Machines made of namespaces: what a cluster looks like to the programs that run it.

Each has processes, an address, a name, ``/tmp``, ``/dev/shm``, ``/run`` and a home of its own; the
repository, this Python and one shared folder are at the same paths on all of them. No namespace has
a name, so that nothing can collide, and all end with the test, also when that is killed.

    with Machines("login", "n1", "n2") as machines:
        machines["n1"].run("hostname").stdout
"""

import contextlib
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.hosts import Process, wait_for

ROOT = Path(__file__).parents[2]
HOME = Path(pwd.getpwuid(os.getuid()).pw_dir)
_OWN_BYTES = 3 << 30
_NAMESPACES = ("--net", "--uts", "--mount", "--ipc", "--pid")
_TOOLS = ("ip", "unshare", "nsenter")
# Removes the shared folder when the test ends, also when that is killed.
_SWITCH = """
import os, shutil, sys, time
os.write(1, b"ready\\n")
while os.read(0, 1024):
    pass
for _ in range(100):
    shutil.rmtree(sys.argv[1], ignore_errors=True)
    if not os.path.exists(sys.argv[1]):
        break
    time.sleep(0.1)
"""


def why_not() -> str | None:
    """Why machines cannot be had here; None if they can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "needs Linux and root, to make namespaces"
    if missing := [tool for tool in _TOOLS if shutil.which(tool) is None]:
        return f"needs {', '.join(missing)} (iproute2, util-linux)"
    tried = subprocess.run(
        ["unshare", *_NAMESPACES, "--fork", "--mount-proc", "mount", "-t", "tmpfs", "x", "/mnt"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return f"needs namespaces: {tried.stderr.strip()}" if tried.returncode else None


class Command(subprocess.Popen):
    """A command on a machine: signals reach it, and not only what entered the machine for it."""

    def send_signal(self, sig: int) -> None:
        """Send it a signal; nothing if it has ended."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        while self.poll() is None:
            if pids := children.read_text().split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pids[0]), sig)
                return
            time.sleep(0.01)


class Machine:
    """A machine, from ``boot`` to ``kill``.

    Attributes:
        name: Its host name.
        address: Its address.
    """

    def __init__(self, name: str, number: int, machines: "Machines") -> None:
        self.name = name
        self.address = f"10.79.0.{number + 1}"
        self._port = f"port{number}"
        self._machines = machines
        self._holder: subprocess.Popen[bytes] | None = None
        self._pid = 0
        self._commands: list[Command] = []

    def boot(self) -> None:
        """Make it, empty; also again after ``kill``."""
        settings = json.dumps(self._machines.settings(self))
        self._holder = subprocess.Popen(
            ["unshare", *_NAMESPACES, "--fork", "--mount-proc", "--propagation", "private",
             sys.executable, str(ROOT / "tests/cluster/machine_init.py"), settings],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True, env=self._machines.env, cwd="/",
        )  # fmt: skip
        _await_ready(self._holder, self.name)
        holder = self._holder.pid
        self._pid = int(Path(f"/proc/{holder}/task/{holder}/children").read_text())
        self._machines.plug(self._port, self._pid)
        for words in (f"address add {self.address}/24 dev eth0", "link set eth0 up",
                      "link set lo up"):  # fmt: skip
            self.run("ip", *words.split())

    def kill(self) -> None:
        """Switch it off: all its processes end at once, and what only it had is gone."""
        if self._holder is not None:
            if self._pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._pid, signal.SIGKILL)
            _close(self._holder)
            for command in self._commands:
                command.wait(timeout=30)
        self._holder, self._pid, self._commands = None, 0, []

    def cut(self) -> None:
        """Pull its cable; ``mend`` plugs it in again."""
        self._machines.switch("link", "set", self._port, "down")

    def mend(self) -> None:
        """Undo ``cut``."""
        self._machines.switch("link", "set", self._port, "up")

    @property
    def is_on(self) -> bool:
        """Whether it runs."""
        return self._holder is not None

    @property
    def root(self) -> Path:
        """Its ``/`` as this process sees it: ``machine.root / "tmp"``."""
        return Path(f"/proc/{self._pid}/root")

    def popen(
        self, *command: object, env: Mapping[str, str] | None = None,
        cwd: Path | str | None = None, **options,
    ) -> Command:  # fmt: skip
        """Start a command here; ``cwd`` is a path of this machine, by default its home."""
        enter = ["nsenter", "-t", str(self._pid), "-n", "-u", "-m", "-i", "-p",
                 f"--wdns={cwd or HOME}", "--"]  # fmt: skip
        started = Command(
            [*enter, *map(str, command)], env={**self._machines.env, **(env or {})},
            start_new_session=True, **options,
        )  # fmt: skip
        self._commands.append(started)
        return started

    def run(
        self, *command: object, check: bool = True, timeout_s: float = 60.0, **options
    ) -> subprocess.CompletedProcess[str]:
        """Run a command here to its end; its output is text.

        Raises:
            RuntimeError: If it fails and ``check`` is set, with what it said.
        """
        process = self.popen(
            *command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, **options,
        )  # fmt: skip
        try:
            out, errors = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            out, errors = process.communicate()
            raise RuntimeError(
                f"{self.name}: {command} took {timeout_s} s: {out}{errors}"
            ) from None
        if check and process.returncode:
            raise RuntimeError(f"{self.name}: {command} ended {process.returncode}: {out}{errors}")
        return subprocess.CompletedProcess(process.args, process.returncode, out, errors)

    def files(self) -> list[str]:
        """What lies in ``/tmp`` and ``/dev/shm``, but for what all machines see there."""
        kept = {Path(*Path(path).parts[:3]) for path in self._machines.kept}
        found = (
            path for place in ("/tmp", "/dev/shm") for path in (self.root / place[1:]).iterdir()
        )
        seen = (Path("/") / path.relative_to(self.root) for path in found)
        return [str(path) for path in seen if path not in kept]

    def processes(self) -> list[Process]:
        """Everything that runs here, but for the first process; ids are those of this process."""
        return list(self._processes())

    def _processes(self) -> Iterator[Process]:
        ours = Path(f"/proc/{self._pid}/ns/pid").readlink()
        for folder in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                is_here = folder.name.isdigit() and (folder / "ns/pid").readlink() == ours
                if is_here and int(folder.name) != self._pid:
                    raw = (folder / "cmdline").read_bytes()
                    if raw:  # else a zombie
                        command = raw.replace(b"\0", b" ").decode(errors="replace").strip()
                        yield Process(int(folder.name), command)


class Machines:
    """Machines joined by a switch; a context manager.

    Attributes:
        shared: A folder at this same path on all machines, and here.
        env: Environment of every command there; a test may change it.

    Args:
        names: Host names, in the order of addresses.
        shared_home: Whether all have the same home, as the nodes of a cluster do.
    """

    def __init__(self, *names: str, shared_home: bool = False) -> None:
        self._machines = {name: Machine(name, k, self) for k, name in enumerate(names)}
        self._shared_home = shared_home
        self._switch: subprocess.Popen[bytes] | None = None
        self.shared = Path()
        self.env = {
            "PATH": f"{Path(sys.executable).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:"
            "/usr/bin:/sbin:/bin",
            "HOME": str(HOME), "USER": "root", "LANG": "C.UTF-8", "TERM": "dumb",
            "PYTHONPATH": str(ROOT), "COLUMNS": "200",
        }  # fmt: skip

    def __enter__(self) -> "Machines":
        self.shared = Path(tempfile.mkdtemp(prefix="crossmesh-machines-"))
        try:
            self._switch = subprocess.Popen(
                ["unshare", "--net", sys.executable, "-c", _SWITCH, str(self.shared)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
            )  # fmt: skip
            _await_ready(self._switch, "switch")
            self.switch("link", "add", "bridge", "type", "bridge")
            for device in ("bridge", "lo"):
                self.switch("link", "set", device, "up")
            (self.shared / "home").mkdir()
            for machine in self:
                machine.boot()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __getitem__(self, name: str) -> Machine:
        return self._machines[name]

    def __iter__(self) -> Iterator[Machine]:
        return iter(self._machines.values())

    def close(self) -> None:
        """End all machines, and remove the shared folder."""
        for machine in self:
            machine.kill()
        if self._switch is not None:
            _close(self._switch)
            self._switch = None
        shutil.rmtree(self.shared, ignore_errors=True)

    def switch(self, *words: str) -> None:
        """Run ``ip`` where the switch is."""
        assert self._switch is not None
        _shell("nsenter", "-t", str(self._switch.pid), "-n", "ip", *words)

    def plug(self, port: str, pid: int) -> None:
        """Connect the machine whose first process is given to the switch."""
        deadline = time.monotonic() + 10
        while True:  # until the port of the machine that was there is gone
            try:
                self.switch("link", "add", port, "type", "veth", "peer", "name", "eth0",
                            "netns", str(pid))  # fmt: skip
                break
            except RuntimeError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        self.switch("link", "set", port, "master", "bridge", "up")

    @property
    def kept(self) -> list[str]:
        """Folders that all machines see: the repository, this Python, kernels, what is shared."""
        prefixes = {sys.prefix, sys.base_prefix, str(Path(os.path.realpath(sys.executable)).parent)}
        cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "crossmesh"
        cache.mkdir(parents=True, exist_ok=True)  # of compiled kernels
        return sorted({str(ROOT), str(cache), str(self.shared), *prefixes})

    def settings(self, machine: Machine) -> dict:
        """What the first process of a machine is told."""
        return {
            "name": machine.name,
            "own": ["/tmp", "/dev/shm", "/run", *([] if self._shared_home else [str(HOME)])],
            "kept": self.kept,
            "binds": [[str(self.shared / "home"), str(HOME)]] if self._shared_home else [],
            "stage": "/mnt",
            "bytes": _OWN_BYTES,
            "hosts": "".join(f"{each.address} {each.name}\n" for each in self),
        }


def _await_ready(process: subprocess.Popen[bytes], name: str) -> None:
    assert process.stdout is not None
    said = process.stdout.readline()
    if said != b"ready\n":
        said += process.stdout.read()
        _close(process)
        raise RuntimeError(f"{name} could not be set up: {said.decode(errors='replace')}")


def _close(process: subprocess.Popen[bytes]) -> None:
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()
    process.wait(timeout=30)


def _shell(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")


__all__ = ["HOME", "ROOT", "Machine", "Machines", "Process", "wait_for", "why_not"]
