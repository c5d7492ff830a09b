"""Machines with ssh servers of their own, and one from which trainings are launched on them."""

import json
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from tests.cluster.machines import HOME, ROOT, Machine, Machines, wait_for

LAPTOP = "laptop"
WITHIN_S = 600
BIN = Path(sys.executable).parent
SMALL = ("training.epochs=2", "training.examples=64")
CONFIG = """\
Port 22
HostKey {folder}/host_key
PidFile none
AuthorizedKeysFile {keys}
PermitRootLogin yes
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
MaxStartups 100
Subsystem sftp internal-sftp
"""


class SshMachines:
    """A laptop and machines that it reaches by ssh, each known by its key.

    Attributes:
        machines: All of them.
        nodes: Those with an ssh server.
        key: File with the private key that they accept.
        storage: A folder that the nodes share.
    """

    def __init__(self, machines: Machines) -> None:
        self.machines = machines
        self.laptop = machines[LAPTOP]
        self.nodes = [machine for machine in machines if machine is not self.laptop]
        self.key = machines.shared / "key"
        self.storage = machines.shared / "storage"
        self.storage.mkdir()
        make_key(self.key)
        lines = []
        for machine in self.nodes:
            folder = machines.shared / machine.name
            folder.mkdir()
            make_key(folder / "host_key")
            kind, public, *_ = (folder / "host_key.pub").read_text().split()
            lines.append(f"{machine.name},{machine.address} {kind} {public}\n")
            self.serve(machine)
        self.known_hosts = machines.shared / "known_hosts"
        self.known_hosts.write_text("".join(lines))

    def serve(self, machine: Machine) -> None:
        """Start a machine's ssh server."""
        folder = self.machines.shared / machine.name
        keys = f"{self.key}.pub"
        (folder / "sshd_config").write_text(CONFIG.format(folder=folder, keys=keys))
        machine.run("/usr/sbin/sshd", "-f", folder / "sshd_config", "-E", folder / "sshd.log")

    def cluster(self, name: str = "mine", **fields: object) -> Path:
        """The file of a cluster of all machines with a server."""
        head, *workers = (machine.name for machine in self.nodes)
        path = self.machines.shared / f"{name}.yaml"
        path.write_text(yaml.safe_dump({
            "extends": "on-premises", "name": name, "head": head, "workers": workers,
            "storage": str(self.storage), "cpus_per_node": 1,
            "activate": [f'export PATH="{BIN}:$PATH"'],
            "variables": {"PYTHONPATH": str(ROOT)},
            "ssh": {"user": "root", "private_key": str(self.key),
                    "known_hosts": str(self.known_hosts)},
            **fields,
        }))  # fmt: skip
        return path

    def crossmesh(self, *words: object, **options: object):
        """Start the command on the laptop."""
        return self.laptop.popen(
            sys.executable, "-m", "crossmesh", *words, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, **options,
        )  # fmt: skip

    def ended(self, *words: object, timeout_s: float = 480.0):
        """Run the command on the laptop to its end: exit code, standard output, standard error."""
        process = self.crossmesh(*words)
        try:
            out, errors = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            out, errors = process.communicate()
            raise AssertionError(f"{words} took over {timeout_s} s: {out}{errors}") from None
        return process.returncode, out, errors

    def launches(self) -> list[Path]:
        """Folders of launches, as this process sees them."""
        folder = self.home(self.laptop) / "launched"
        return sorted(folder.iterdir()) if folder.is_dir() else []

    def status(self, name: str) -> dict:
        """What ``crossmesh status`` says."""
        return json.loads(self.ended("status", name, "--json")[1])

    @staticmethod
    def home(machine: Machine) -> Path:
        """The home on a machine, as this process sees it."""
        return machine.root / HOME.relative_to("/")

    def left(self) -> list[str]:
        """What is left of launches on the nodes: processes, and folders of ours."""
        found = []
        for machine in self.nodes:
            found += [f"{machine.name}: {process.command[:100]}" for process in machine.processes()
                      if "sshd" not in process.command]  # fmt: skip
            folders = [
                self.home(machine) / ".crossmesh",
                *(machine.root / "tmp").glob("crossmesh-p-*"),
            ]
            found += [f"{machine.name}: {path.name}" for path in folders if path.exists()]
        return found


class Launch:
    """A launch that goes on, with what it says."""

    def __init__(self, hosts, *words):
        self.hosts = hosts
        self.process = hosts.crossmesh("launch", *words)
        self.said = ""
        self._lock = threading.Lock()
        streams = (self.process.stdout, self.process.stderr)
        self._readers = [threading.Thread(target=self._read, args=(stream,)) for stream in streams]
        for reader in self._readers:
            reader.start()

    def _read(self, stream):
        with stream:
            for line in stream:
                with self._lock:
                    self.said += line

    def await_word(self, word):
        wait_for(lambda: word in self.said or self.process.poll() is not None, WITHIN_S)
        assert word in self.said, self.said

    @property
    def name(self):
        self.await_word("end it with: ")
        return re.search(r"^launch (\S+): ", self.said, re.MULTILINE)[1]

    @property
    def folder(self):
        return self.hosts.home(self.hosts.laptop) / "launched" / self.name

    def kill(self):
        """End it and its parent at once, as a lost laptop would."""
        self.kill_processes(self.hosts)
        self.ended()

    @staticmethod
    def kill_processes(hosts):
        """End all launches at once."""
        for process in hosts.laptop.processes():
            if " launch " in process.command:
                process.signal(signal.SIGKILL)

    def ended(self):
        code = self.process.wait(WITHIN_S)
        for reader in self._readers:
            reader.join()
        return code

    def summary(self):
        return json.loads((self.folder / "run" / "summary.json").read_text())


def make_key(path: Path) -> None:
    """A pair of keys without a password."""
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(path)], check=True
    )


@contextmanager
def ssh_machines(*nodes: str) -> Iterator[SshMachines]:
    """A laptop and machines with these names."""
    with Machines(LAPTOP, *nodes) as machines:
        yield SshMachines(machines)
