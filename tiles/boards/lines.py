"""Lines to a board: bytes over a Unix socket, TCP, a serial port, or ZeroMQ with CURVE."""

import contextlib
import os
import socket
from typing import Any, Protocol

from crossmesh.tiles.boards.addresses import Address
from crossmesh.tiles.boards.keys import BoardKeys

_CHUNK = 1 << 16


class BoardLine(Protocol):
    """A connection, at either end. What is sent may be lost."""

    def send(self, data: bytes) -> None:
        """Send bytes.

        Raises:
            OSError: If the connection has ended.
        """
        ...

    def receive(self, wait_s: float) -> bytes:
        """What has come, as soon as something has; empty if nothing comes for a time.

        Raises:
            OSError: If the connection has ended.
        """
        ...

    def close(self) -> None:
        """End the connection."""
        ...


class SocketLine:
    """A stream socket.

    Args:
        stream: Connected.
    """

    def __init__(self, stream: socket.socket) -> None:
        self._socket = stream
        if stream.family != socket.AF_UNIX:
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def send(self, data: bytes) -> None:
        """Send all bytes."""
        self._socket.settimeout(30)
        self._socket.sendall(data)

    def receive(self, wait_s: float) -> bytes:
        """What has come."""
        self._socket.settimeout(max(wait_s, 1e-3))
        try:
            data = self._socket.recv(_CHUNK)
        except TimeoutError:
            return b""
        if not data:
            raise ConnectionResetError("the other side has closed the connection")
        return data

    def close(self) -> None:
        """End the connection."""
        with contextlib.suppress(OSError):
            self._socket.close()


class SerialLine:
    """A serial port, by pyserial.

    Args:
        address: Device and baud.
    """

    def __init__(self, address: Address) -> None:
        serial = imported_serial()
        self._port = serial.Serial(address.place, address.number, exclusive=True)

    def send(self, data: bytes) -> None:
        """Send all bytes."""
        self._port.write_timeout = 10 + 20 * len(data) / self._port.baudrate
        self._port.write(data)

    def receive(self, wait_s: float) -> bytes:
        """What has come."""
        self._port.timeout = wait_s
        first = bytes(self._port.read(1))
        return first + bytes(self._port.read(min(self._port.in_waiting, _CHUNK))) if first else b""

    def close(self) -> None:
        """Let go of the port."""
        self._port.close()


class CurveLine:
    """A ZeroMQ socket of a client, encrypted; it connects again by itself.

    Args:
        address: Host and port of the server.
        keys: The client's.
    """

    def __init__(self, address: Address, keys: BoardKeys) -> None:
        import zmq

        self._again = zmq.Again
        self._context: Any = zmq.Context()
        self._socket: Any = self._context.socket(zmq.DEALER)
        host = f"[{address.place}]" if ":" in address.place else address.place
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.SNDTIMEO, 2_000)
        self._socket.setsockopt(zmq.IPV6, int(":" in address.place))
        self._socket.setsockopt(zmq.CURVE_SERVERKEY, keys.server_public.encode())
        self._socket.setsockopt(zmq.CURVE_PUBLICKEY, keys.public.encode())
        self._socket.setsockopt(zmq.CURVE_SECRETKEY, keys.secret.encode())
        self._socket.connect(f"tcp://{host}:{address.number}")

    def send(self, data: bytes) -> None:
        """Send bytes as one message."""
        try:
            self._socket.send(data)
        except self._again:
            raise TimeoutError("nothing takes what is sent") from None

    def receive(self, wait_s: float) -> bytes:
        """The next message."""
        if not self._socket.poll(max(1, round(1e3 * wait_s))):
            return b""
        return bytes(self._socket.recv())

    def close(self) -> None:
        """End the connection."""
        self._socket.close()
        self._context.term()


def imported_serial() -> Any:
    """The package pyserial.

    Raises:
        OSError: If it is not installed.
    """
    try:
        import serial
    except ImportError:
        raise OSError("serial lines need pyserial: pip install 'crossmesh[boards]'") from None
    return serial


def opened(address: Address, keys: BoardKeys | None = None) -> BoardLine:
    """A line to where a board listens.

    Raises:
        OSError: If nothing listens there, or no keys are given where they are needed.
    """
    if address.kind == "serial":
        return SerialLine(address)
    if address.kind == "curve":
        if keys is None:
            raise OSError(f"{address} needs keys: the file that the board's server has written")
        return CurveLine(address, keys)
    if address.kind == "unix":
        stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        stream.settimeout(10)
        try:
            stream.connect(_short(address.place))
        except BaseException:
            stream.close()
            raise
        return SocketLine(stream)
    return SocketLine(socket.create_connection((address.place, address.number), timeout=10))


def _short(path: str) -> str:
    """A path of a socket, which must not be long: by itself, or from the working folder."""
    return min(path, os.path.relpath(path), key=len)
