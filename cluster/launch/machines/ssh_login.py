"""How machines are logged in to: options of OpenSSH's ``ssh`` (man.openbsd.org/ssh_config)."""

from pathlib import Path

from pydantic import Field

from crossmesh.cluster.launch.config import Text, Word
from crossmesh.common.frozen import Frozen
from crossmesh.emulator.data.config import UserPath

CONNECT_S = 5  # longest wait for a machine to answer
_ALIVE_S, _ALIVE_TRIES = 5, 3  # so a connection that carries nothing is given up after 15 s


def file_word(path: Path) -> str:
    """A file as options of ssh take it, whatever it is called.

    >>> file_word(Path("/my keys/100%"))
    '"/my keys/100%%"'
    """
    return f'"{path}"'.replace("%", "%%")


class Ssh(Frozen):
    """SSH login to the machines. What is not said here, ssh takes from its own configuration.

    Attributes:
        user: Name of the account.
        private_key: File with the key; by default what ssh or Ray finds.
        proxy_command: ssh's ProxyCommand, where machines are reached through another.
        port: Port of the machines' ssh servers; by default ssh's.
        known_hosts: File with the machines' own keys, besides which none is accepted. By default
            ssh's own file: a machine that is new is written there, and one whose key has changed
            is refused.
    """

    user: Word = "ubuntu"
    private_key: Text | None = None
    proxy_command: Text | None = None
    port: int | None = Field(None, ge=1, le=65535)
    known_hosts: UserPath | None = None

    @property
    def key(self) -> Path | None:
        """The file with the private key."""
        return None if self.private_key is None else Path(self.private_key).expanduser()

    def options(self, new_keys: Path | None = None) -> list[str]:
        """Options of ``ssh``: it never asks, and gives up soon.

        Args:
            new_keys: File in which keys of new machines are written, unless ``known_hosts`` names
                those that are known; by default ssh's own.
        """
        known = self.known_hosts or new_keys
        chosen = {
            "BatchMode": "yes",
            "ConnectTimeout": str(CONNECT_S),
            "ServerAliveInterval": str(_ALIVE_S),
            "ServerAliveCountMax": str(_ALIVE_TRIES),
            "StrictHostKeyChecking": "yes" if self.known_hosts else "accept-new",
            "UserKnownHostsFile": known and file_word(known.absolute()),
            "ProxyCommand": self.proxy_command,
            "IdentitiesOnly": "yes" if self.key else None,
            "IdentityFile": self.key and file_word(self.key),
            "LogLevel": "ERROR",
            "Port": self.port,
            "User": self.user,
        }
        return [f"-o{name}={value}" for name, value in chosen.items() if value is not None]
