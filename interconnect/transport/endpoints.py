"""Endpoints of channels and their protection: private folders, encrypted ports, keys."""

import os
import stat
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Protocol

import zmq
from zmq.auth.thread import ThreadAuthenticator

Socket = zmq.Socket[bytes]


@dataclass(frozen=True, kw_only=True)
class Keys:
    """CURVE key pair of one tile host.

    Attributes:
        public: Public key, 40 bytes of Z85; hand it to the peers.
        secret: Secret key, 40 bytes of Z85; it never leaves the host.
    """

    public: bytes
    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        check_key("Keys.public", self.public)
        check_key("Keys.secret", self.secret)

    @classmethod
    def generate(cls) -> "Keys":
        """A new key pair."""
        public, secret = zmq.curve_keypair()
        return cls(public=public, secret=secret)


def check_key(name: str, key: bytes) -> None:
    """Refuse what is no CURVE key; ``name`` is what it was given as."""
    if len(key) != 40:
        raise ValueError(f"{name} must be 40 bytes of Z85, got {len(key)} bytes")


class Gate:
    """Encrypts tcp channels, and lets into each only the one peer that it is for."""

    def __init__(self, context: "zmq.Context[Socket]", keys: Keys) -> None:
        self._context = context
        self._keys = keys
        self._authenticator: ThreadAuthenticator | None = None  # started by the first to guard

    def guard(self, socket: Socket, name: str, client_key: bytes) -> None:
        """Make ``socket``, not bound yet, admit ``client_key`` alone."""
        if self._authenticator is None:
            self._authenticator = ThreadAuthenticator(self._context)
            self._authenticator.start()
        self._authenticator.configure_curve_callback(name, _OnlyKey(client_key))
        socket.setsockopt_string(zmq.ZAP_DOMAIN, name)
        socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
        socket.setsockopt(zmq.CURVE_SERVER, 1)
        # libzmq 4.3.5 queues the client's credential as a message that is never counted as read:
        # a queue of one would stay full for ever.
        socket.setsockopt(zmq.RCVHWM, int(socket.getsockopt(zmq.RCVHWM)) + 1)
        socket.setsockopt(zmq.CURVE_SECRETKEY, self._keys.secret)

    def present(self, socket: Socket, server_key: bytes) -> None:
        """Make ``socket``, not connected yet, show our key and demand ``server_key``."""
        socket.setsockopt(zmq.CURVE_PUBLICKEY, self._keys.public)
        socket.setsockopt(zmq.CURVE_SECRETKEY, self._keys.secret)
        socket.setsockopt(zmq.CURVE_SERVERKEY, server_key)

    def close(self) -> None:
        """End the thread that answers who may enter, if there is one."""
        if self._authenticator is not None:
            self._authenticator.stop()
            self._authenticator = None


@dataclass(frozen=True)
class _OnlyKey:
    """Credentials provider that knows one client."""

    client_key: bytes

    def callback(self, _domain: str, key: bytes) -> bool:
        """Whether ``key`` may enter."""
        return key == self.client_key


class Interface(Protocol):
    """An endpoint at which a channel can be bound."""

    def bind(self, socket: Socket, name: str, gate: Gate | None) -> str:
        """Bind ``socket`` under ``name``, which no other socket has; return its address."""


@dataclass(frozen=True, kw_only=True)
class Ipc:
    """Unix sockets in a private folder, for channels within a node.

    Attributes:
        folder: Folder of this user that no other user may enter; the caller makes and removes it.
    """

    folder: Path

    def bind(self, socket: Socket, name: str, gate: Gate | None) -> str:
        """Bind a socket file; the folder's mode keeps other users out."""
        state = self.folder.stat()
        if state.st_uid != os.geteuid() or state.st_mode & 0o077:  # other bits are inherited
            raise ValueError(
                "Ipc.folder must be a folder of this user with mode 0700, "
                f"got {self.folder} with mode {stat.S_IMODE(state.st_mode):04o}"
            )
        path = self.folder / name
        n_bytes = len(os.fsencode(path))
        if n_bytes > zmq.IPC_PATH_MAX_LEN:
            raise ValueError(
                f"Ipc.folder must leave a socket path of <= {zmq.IPC_PATH_MAX_LEN} bytes, "
                f"got {n_bytes}: {path}; set TMPDIR to a folder with a shorter name"
            )
        socket.bind(f"ipc://{path}")
        return f"ipc://{path}"


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

    def bind(self, socket: Socket, name: str, gate: Gate | None) -> str:
        """Bind a free port that only ``client_key`` can use."""
        if gate is None:
            raise ValueError("Channels.keys must be given to listen on tcp, got None")
        gate.guard(socket, name, self.client_key)
        is_v6 = ip_address(self.host).version == 6
        socket.setsockopt(zmq.IPV6, int(is_v6))
        socket.bind(f"tcp://[{self.host}]:*" if is_v6 else f"tcp://{self.host}:*")
        return socket.getsockopt_string(zmq.LAST_ENDPOINT).rstrip("\0")
