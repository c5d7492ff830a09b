"""The machines of one launch, as they are seen from here, and the folder of our files on each."""

import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from crossmesh.cluster.launch import scripts
from crossmesh.cluster.launch.machines.ssh import Answer, SshMachine
from crossmesh.common.errors import RunError
from crossmesh.common.private_folders import PrivateFolder
from crossmesh.common.supervision import reports

START_S = 120  # longest wait for a node's Ray
_SETUP_S = 3600
_COPY_S = 1800


def home(name: str) -> str:
    """The folder of a launch's files on each machine."""
    return f"~/.crossmesh/{name}"


class LaunchSite:
    """The machines of a launch; a context manager that closes their connections.

    Attributes:
        name: Of the launch.
        there: The folder of its files on each machine.

    Args:
        name: Of the launch.
        options: Options of ssh, by which it logs in.
        container: The container in which everything runs on a machine, or None.
    """

    def __init__(self, name: str, options: Sequence[str], container: str | None = None) -> None:
        self.name = name
        self.there = home(name)
        self._options = options
        self._container = container
        self._folder = PrivateFolder()
        reports.made(self._folder.path)
        self._machines: dict[str, SshMachine] = {}

    def __enter__(self) -> "LaunchSite":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for machine in self._machines.values():
            machine.close()
        self._folder.remove()

    def machine(self, address: str, field: str, *options: str) -> SshMachine:
        """A machine by its address, the same one each time, with more options of ssh."""
        if address not in self._machines:
            socket = self._folder.path / f"m{len(self._machines)}"
            self._machines[address] = SshMachine(address, field, [*self._options, *options], socket)
        return self._machines[address]

    def packed(self, sources: Mapping[str, Path]) -> Path:
        """An archive of files and folders by their paths on the machines; modes are kept."""
        path = self._folder.path / "files.tar"
        with tarfile.open(path, "w", dereference=True) as archive:
            for name, source in sources.items():
                archive.add(source, name, filter=_plain)
        return path

    def copy(self, machine: SshMachine, archive: Path) -> None:
        """Unpack an archive in our folder on a machine."""
        there = scripts.path(self.there)
        command = f"umask 077 && mkdir -p {there} && exec tar -xf - -C {there}"
        self._demand(machine.run(command, send=archive, within_s=_COPY_S), "copying files", machine)

    def script(self, machine: SshMachine, words: str, what: str, *, within_s: float) -> str:
        """Run one of our scripts; what it said.

        Raises:
            RunError: If it fails.
        """
        answer = machine.run(self.inside(f"bash {self.there}/{words}"), within_s=within_s)
        return self._demand(answer, what, machine).out

    def begin_container(self, machine: SshMachine) -> None:
        """Start the container in which everything runs."""
        answer = machine.run(f"bash {self.there}/container.sh up", within_s=_COPY_S)
        self._demand(answer, "starting the container", machine)

    def set_up(self, machine: SshMachine) -> None:
        """Run the set-up's commands."""
        self.script(machine, "setup.sh", "setup", within_s=_SETUP_S)

    def start_ray(self, machine: SshMachine, words: str) -> str:
        """Start Ray by ``ray.sh``; the address of the head."""
        return self.script(
            machine, f"ray.sh {words}", "starting Ray", within_s=START_S + 60
        ).strip()

    def inside(self, command: str) -> str:
        """A command as it is run where Ray runs."""
        if self._container is None:
            return command
        return f"docker exec {self._container} bash -c {scripts.quoted([command])}"

    @staticmethod
    def _demand(answer: Answer, what: str, machine: SshMachine) -> Answer:
        if answer.code:
            raise RunError(f"{what} failed on {machine}: {answer.last_words}")
        return answer


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Without what Python has cached, and whose files they are here."""
    if member.name.endswith("__pycache__"):
        return None
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member
