"""Endpoints of channels within a node and between nodes, and who may enter."""

import os
import stat
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Protocol

from crossmesh.interconnect.transport.curve import CurveReceiver, Gate, check_key
from crossmesh.interconnect.transport.ends import Receiver
from crossmesh.interconnect.transport.unix import UnixReceiver

_MOST_PATH_BYTES = 107  # of a Unix socket


class Interface(Protocol):
    """An endpoint at which a channel can be bound."""

    def listen(self, name: str, capacity: int, gate: Gate | None) -> Receiver:
        """The destination of a new channel.

        Args:
            name: Of the channel, which no other has.
            capacity: Messages that may be queued.
            gate: Of this host, if it has keys.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Unix:
    """Unix sockets in a private folder, for channels within a node.

    Attributes:
        folder: Folder of this user that no other user may enter; the caller makes and removes it.
    """

    folder: Path

    def listen(self, name: str, capacity: int, gate: Gate | None) -> Receiver:
        """Bind a socket file; the folder's mode keeps other users out."""
        state = self.folder.stat()
        if state.st_uid != os.geteuid() or state.st_mode & 0o077:  # other bits are inherited
            raise ValueError(
                "Unix.folder must be a folder of this user with mode 0700, "
                f"got {self.folder} with mode {stat.S_IMODE(state.st_mode):04o}"
            )
        path = self.folder / name
        n_bytes = len(os.fsencode(path))
        if n_bytes > _MOST_PATH_BYTES:
            raise ValueError(
                f"Unix.folder must leave a socket path of <= {_MOST_PATH_BYTES} bytes, "
                f"got {n_bytes}: {path}; set TMPDIR to a folder with a shorter name"
            )
        return UnixReceiver(path, capacity)


@dataclass(frozen=True, kw_only=True)
class Tcp:
    """An encrypted port at one address of this node, for channels between nodes.

    Attributes:
        host: The node's own IP address, as a literal.
        client_key: Public key of the one peer that may connect.
    """

    host: str
    client_key: bytes

    def __post_init__(self) -> None:
        try:
            unspecified = ip_address(self.host).is_unspecified
        except ValueError:
            unspecified = True
        if unspecified:
            raise ValueError(f"Tcp.host must be one IP address of this node, got {self.host!r}")
        check_key("Tcp.client_key", self.client_key)

    def listen(self, name: str, capacity: int, gate: Gate | None) -> Receiver:
        """Bind a free port that only ``client_key`` can use."""
        if gate is None:
            raise ValueError("Channels.keys must be given to listen on tcp, got None")
        here = max(1, capacity - capacity // 2)
        return CurveReceiver(gate, name, self.host, self.client_key, here)
