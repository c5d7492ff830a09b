"""Listening for those who want to talk to a board, on any kind of line."""

import contextlib
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import zmq
from zmq.auth.thread import ThreadAuthenticator

from crossmesh.common.errors import ConfigError
from crossmesh.tiles.boards.addresses import Address
from crossmesh.tiles.boards.frames import Frames, framed
from crossmesh.tiles.boards.keys import BoardKeys
from crossmesh.tiles.boards.lines import BoardLine, SerialLine, SocketLine
from crossmesh.tiles.boards.serving import Service, Visitor

_LOOK_S = 0.2  # between looks at whether to stop
_END_S = 5.0  # for the end of a request that is being carried out
_SILENT = 5  # looks without a byte, after which a frame that was begun is given up
_CREDENTIALS = struct.Struct("3i")  # of Linux's SO_PEERCRED: process, user, group


def serve(
    service: Service, address: Address, keys: BoardKeys | None = None,
    ready: Callable[[Address], None] = lambda address: None,
    stop: Callable[[], bool] = lambda: False,
) -> None:  # fmt: skip
    """Answer until told to stop.

    Args:
        service: What answers.
        address: Where to listen; port 0: any that is free.
        keys: Of the server, for lines with CURVE.
        ready: Is told the address once it listens.
        stop: Asked now and then.

    Raises:
        ConfigError: If it cannot or must not listen there.
    """
    if address.kind == "serial":
        _serve_serial(service, address, ready, stop)
    elif address.kind == "curve":
        if keys is None:
            raise ConfigError(f"keys must be given to serve a board at {address}")
        _serve_curve(service, address, keys, ready, stop)
    elif address.kind in {"unix", "tcp"}:
        _serve_sockets(service, address, ready, stop)
    else:
        raise ConfigError(
            f"a board must be served at a unix, tcp, curve or serial address, got {address}"
        )


def _serve_sockets(
    service: Service, address: Address, ready: Callable[[Address], None], stop: Callable[[], bool]
) -> None:
    with _listener(address) as listener:
        if address.kind == "tcp":
            address = Address("tcp", address.place, listener.getsockname()[1])
        ready(address)
        talks: list[threading.Thread] = []
        while not stop():
            try:
                stream, _ = listener.accept()
            except (TimeoutError, ConnectionError):
                continue
            if address.kind == "unix" and not _is_own(stream):
                stream.close()
                continue
            visitor = Visitor(is_known=address.kind == "unix")
            arguments = (service, SocketLine(stream), visitor, stop)
            talks = [talk for talk in talks if talk.is_alive()]
            talks.append(threading.Thread(target=_talk, args=arguments, daemon=True))
            talks[-1].start()
        for talk in talks:  # what they carry out now is answered
            talk.join(_END_S)


@contextlib.contextmanager
def _listener(address: Address) -> Iterator[socket.socket]:
    family = socket.AF_UNIX
    where: Any = address.place
    if address.kind == "tcp":
        family = socket.AF_INET6 if ":" in address.place else socket.AF_INET
        where = address.place, address.number
    path = Path(address.place)
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        if address.kind == "tcp":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        elif path.is_socket() and not _answers(path):
            path.unlink()
        try:
            before = os.umask(0o177)
            try:
                listener.bind(where)
            finally:
                os.umask(before)
            listener.listen()
        except OSError as error:
            raise ConfigError(
                f"a board cannot listen at {address}: {error.strerror or error}"
            ) from None
        listener.settimeout(_LOOK_S)
        try:
            yield listener
        finally:
            if address.kind == "unix":
                path.unlink(missing_ok=True)


def _answers(path: Path) -> bool:
    """Whether another server still listens there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def _is_own(stream: socket.socket) -> bool:
    """Whether the other process is of the same user, or the superuser's."""
    data = stream.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return _CREDENTIALS.unpack(data)[1] in {0, os.geteuid()}


def _talk(service: Service, line: BoardLine, visitor: Visitor, stop: Callable[[], bool]) -> None:
    frames, silent = Frames(), 0
    with contextlib.suppress(OSError), contextlib.closing(line):
        while not stop():
            data = line.receive(_LOOK_S)
            silent = 0 if data else silent + 1
            for message in frames.given_up() if silent >= _SILENT else frames.fed(data):
                answer = service.answered(message, visitor)
                if answer is not None:
                    line.send(framed(answer))


def _serve_serial(
    service: Service, address: Address, ready: Callable[[Address], None], stop: Callable[[], bool]
) -> None:
    line = _port(address)
    ready(address)
    while True:
        _talk(service, line, Visitor(is_known=False), stop)
        if stop():
            return
        time.sleep(_LOOK_S)
        line = _port(address)


def _port(address: Address) -> SerialLine:
    try:
        return SerialLine(address)
    except OSError as error:
        raise ConfigError(f"a board cannot listen at {address}: {error}") from None


def _serve_curve(
    service: Service, address: Address, keys: BoardKeys, ready: Callable[[Address], None],
    stop: Callable[[], bool],
) -> None:  # fmt: skip
    visitor, frames = Visitor(is_known=True), dict[bytes, Frames]()
    with _router(address, keys) as router:
        port = int(router.getsockopt_string(zmq.LAST_ENDPOINT).rstrip("\0").rpartition(":")[2])
        ready(Address("curve", address.place, port))
        while not stop():
            if not router.poll(round(1e3 * _LOOK_S)):
                continue
            who, data = router.recv_multipart()[:2]
            for message in frames.setdefault(who, Frames()).fed(data):
                answer = service.answered(message, visitor)
                if answer is not None:
                    router.send_multipart([who, framed(answer)])


@contextlib.contextmanager
def _router(address: Address, keys: BoardKeys) -> Iterator[Any]:
    """A socket that lets in who has the key of the clients."""
    with zmq.Context() as context:
        gate = ThreadAuthenticator(context)
        gate.start()
        gate.configure_curve_callback("board", _OnlyClient(keys.public.encode()))
        router: Any = context.socket(zmq.ROUTER)
        try:
            router.setsockopt(zmq.LINGER, 0)
            router.setsockopt_string(zmq.ZAP_DOMAIN, "board")
            router.setsockopt(zmq.CURVE_SERVER, 1)
            router.setsockopt(zmq.CURVE_SECRETKEY, keys.secret.encode())
            router.setsockopt(zmq.IPV6, int(":" in address.place))
            host = f"[{address.place}]" if ":" in address.place else address.place
            router.bind(f"tcp://{host}:{address.number or '*'}")
            yield router
        except zmq.ZMQError as error:
            raise ConfigError(f"a board cannot listen at {address}: {error}") from None
        finally:
            router.close()
            gate.stop()


class _OnlyClient:
    """Lets in who has the key of the clients."""

    def __init__(self, public: bytes) -> None:
        self._public = public

    def callback(self, domain: str, key: bytes) -> bool:
        """Whether ``key`` may enter."""
        return key == self._public
