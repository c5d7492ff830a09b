"""Channels within a node: a Unix stream socket, with large payloads in shared memory.

Both ends work in the thread that calls them. A message is one write into the socket. Its reader
looks out for it for a while before it sleeps and must be woken. A small payload is in the socket, a
large one lies in a ring of shared memory and passes no kernel. The destination returns credit for
what it has taken out, by halves of the queue, so the source knows without asking whether there is
room.
"""

import contextlib
import os
import select
import socket
from collections import deque
from pathlib import Path
from struct import Struct
from time import perf_counter

from crossmesh.interconnect.transport.ends import HANDSHAKE_S, PATIENCE_S, Broken
from crossmesh.interconnect.transport.messages import (
    MAX_HEADER_BYTES,
    MAX_PAYLOAD_BYTES,
    Message,
    decode,
)
from crossmesh.interconnect.transport.rings import Ring, RingReader

SCHEME = "unix://"
MAX_INLINE_BYTES = 1 << 13  # a payload up to here passes through the socket
_KERNEL_BUFFER_BYTES = 1 << 20  # asked for; what the kernel allows may be less
_RECEIVE_BYTES = 1 << 14
_HELLO = Struct("<11sI")  # who speaks, and the capacity of the channel
_MAGIC = b"crossmesh 1"
_FRAME = Struct("<IIQ")  # bytes of header and payload, and where in the ring the payload is
_INLINE = (1 << 64) - 1  # not there, but right behind the header
_MOST_CREDIT = 255  # of one byte
_CREDIT_BYTES = 1 << 12  # read at once
_PEER = Struct("@iII")  # process, user and group
_TIME = Struct("@ll")  # seconds and microseconds
# A wake-up from sleep takes longer than most waits; much longer takes time from busy hosts.
_SPIN_S = 100e-6
_NOW = socket.MSG_DONTWAIT


class UnixSender:
    """The source of a channel.

    Args:
        address: Where the destination listens.
        capacity: Messages that may be queued.

    Raises:
        OSError: Nothing listens there.
    """

    def __init__(self, address: str, capacity: int) -> None:
        self._ring = Ring()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._credit = capacity
        self._n_put = 0
        self._n_taken = 0
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _KERNEL_BUFFER_BYTES)
            room = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
            # A full queue should fit; the kernel counts about twice the bytes of a message.
            self._inline_bytes = min(MAX_INLINE_BYTES, room // (4 * capacity))
            self._socket.connect(address.removeprefix(SCHEME))
            hello = _HELLO.pack(_MAGIC, capacity)
            socket.send_fds(self._socket, [hello], [self._ring.descriptor])
            _be_patient(self._socket)
        except BaseException:
            self.close()
            raise

    def put(self, header: bytes, payload: memoryview, *, wait: bool) -> bool:
        """Write a message into the socket, a large payload into the ring."""
        n_bytes = payload.nbytes
        is_inline = n_bytes <= self._inline_bytes
        if not is_inline:
            self._take_credit(wait=False)  # so that the ring need be no longer than it must
        if not self._credit and not self._take_credit(wait=wait):
            return False
        offset = _INLINE if is_inline else self._ring.write(payload, self._n_put)
        frame = _FRAME.pack(len(header), n_bytes, offset) + header
        parts = (frame, payload) if is_inline else (frame,)
        try:
            sent = self._socket.sendmsg(parts, (), 0 if wait else _NOW)
        except BlockingIOError:
            return False
        except ConnectionError as error:
            raise Broken from error
        # The kernel takes what is less than half of its buffer as a whole.
        assert sent == len(frame) + (n_bytes if is_inline else 0)
        self._credit -= 1
        self._n_put += 1
        return True

    def close(self) -> None:
        """Close the socket and the ring."""
        self._socket.close()
        self._ring.close()

    def _take_credit(self, *, wait: bool) -> bool:
        """Whether credit has come."""
        try:
            credits = self._socket.recv(_CREDIT_BYTES, 0 if wait else _NOW)
        except BlockingIOError:
            return False
        except ConnectionError as error:
            raise Broken from error
        if not credits:
            raise Broken
        n = sum(credits)
        self._credit += n
        self._n_taken += n
        self._ring.give_back(self._n_taken - 1)
        return True


class UnixReceiver:
    """The destination of a channel, which lets in one source of this user.

    The file of its socket is removed as soon as the source has connected.

    Args:
        path: Of the socket, in a folder that no other user may enter.
        capacity: Messages that may be queued.
    """

    def __init__(self, path: Path, capacity: int) -> None:
        self.address = f"{SCHEME}{path}"
        self._path = path
        self._capacity = capacity
        self._listener: socket.socket | None = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket: socket.socket | None = None
        self._ring: RingReader | None = None
        self._bytes = bytearray(_RECEIVE_BYTES)
        self._view = memoryview(self._bytes)
        self._start = self._stop = 0  # of what has been received and not used
        self._poll = select.poll()
        self._ready: deque[Message] = deque()
        self._half = 1  # of the queue
        self._owed = 0  # credit that the source has not been told of
        try:
            self._listener.bind(str(path))
            self._listener.listen()
        except BaseException:
            self.close()
            raise

    @property
    def is_met(self) -> bool:
        """Whether the source has connected."""
        return self._socket is not None or self._accept(0.0)

    def get(self, *, wait: bool) -> Message | None:
        """The next message, with credit for it to the source."""
        message = self._ready.popleft() if self._ready else self._next(wait=wait)
        if message is not None:
            self._owed += 1
            # A large payload leaves room in the ring, which is the sooner used the better.
            if self._owed >= self._half or message.payload.nbytes > MAX_INLINE_BYTES:
                self._give_credit()
        return message

    def drain(self) -> None:
        """Take in all that has arrived."""
        with contextlib.suppress(Broken):  # ``get`` will meet it behind what is ready
            while message := self._next(wait=False):
                self._ready.append(message)

    def close(self) -> None:
        """Close the socket and the ring, and remove what is left of the listener."""
        self._stop_listening()
        if self._socket is not None:
            self._socket.close()
        if self._ring is not None:
            self._ring.close()

    # The source

    def _accept(self, wait_s: float) -> bool:
        """Whether the source has come; whoever else comes is turned away."""
        if self._listener is None or not _is_readable(self._listener, wait_s):
            return False
        connection, _ = self._listener.accept()
        try:
            capacity, descriptor = _welcome(connection)
            self._ring = RingReader(descriptor)
        except (OSError, ValueError):
            connection.close()
            return False
        self._poll.register(connection, select.POLLIN)
        self._half = min(_MOST_CREDIT, max(1, min(capacity, self._capacity) // 2))
        _be_patient(connection)
        self._socket = connection
        self._stop_listening()
        return True

    def _stop_listening(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
            self._path.unlink(missing_ok=True)

    def _give_credit(self) -> None:
        assert self._socket is not None
        credit = min(self._owed, _MOST_CREDIT)
        # A source that has no room for more credit has enough, and one that is gone needs none.
        with contextlib.suppress(BlockingIOError, ConnectionError):
            self._socket.send(bytes((credit,)), _NOW)
            self._owed -= credit

    # What arrives

    def _next(self, *, wait: bool) -> Message | None:
        if self._socket is None and not self._accept(PATIENCE_S if wait else 0.0):
            return None
        while (message := self._parsed()) is None:
            if not self._receive(wait=wait):
                return None
        return message

    def _receive(self, *, wait: bool) -> bool:
        """Whether bytes have come."""
        assert self._socket is not None
        left = self._stop - self._start
        if self._start:
            self._bytes[:left] = self._bytes[self._start : self._stop]
            self._start, self._stop = 0, left
        if wait:
            self._look_out()
        try:
            n_bytes = self._socket.recv_into(self._view[left:], 0, 0 if wait else _NOW)
        except BlockingIOError:
            return False
        except ConnectionError as error:
            raise Broken from error
        if not n_bytes:
            raise Broken
        self._stop += n_bytes
        return True

    def _look_out(self) -> None:
        """Spin a little before sleeping, and let whoever wants the processor have it."""
        until = perf_counter() + _SPIN_S
        while not self._poll.poll(0) and perf_counter() < until:
            os.sched_yield()

    def _parsed(self) -> Message | None:
        """The next message of what has been received, if that is whole."""
        have = self._stop - self._start
        if have < _FRAME.size:
            return None
        n_header, n_bytes, offset = _FRAME.unpack_from(self._bytes, self._start)
        is_inline = offset == _INLINE
        if n_header > MAX_HEADER_BYTES or n_bytes > (
            MAX_INLINE_BYTES if is_inline else MAX_PAYLOAD_BYTES
        ):
            raise ValueError(f"a frame must be of a message, got {n_header} and {n_bytes} bytes")
        n_behind = n_header + (n_bytes if is_inline else 0)
        if have < _FRAME.size + n_behind:
            return None
        begin = self._start + _FRAME.size
        middle = begin + n_header
        self._start = begin + n_behind
        if is_inline:
            body = self._bytes[middle : self._start]
        else:
            assert self._ring is not None
            body = self._ring.read(offset, n_bytes)
        return decode(self._view[begin:middle], body)


def _welcome(connection: socket.socket) -> tuple[int, int]:
    """The capacity of the channel and the descriptor of the ring that a source brings.

    Raises:
        ValueError: It is none of this user.
        OSError: It says nothing.
    """
    peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    _, user, _ = _PEER.unpack(peer)
    connection.settimeout(HANDSHAKE_S)
    hello, descriptors, _, _ = socket.recv_fds(connection, _HELLO.size, 1)
    if user != os.geteuid() or len(hello) != _HELLO.size or len(descriptors) != 1:
        for descriptor in descriptors:
            os.close(descriptor)
        raise ValueError("a source must be a process of this user that brings a ring")
    magic, capacity = _HELLO.unpack(hello)
    if magic != _MAGIC or capacity < 1:
        os.close(descriptors[0])
        raise ValueError("a source must speak as this version does")
    return capacity, descriptors[0]


def _is_readable(listener: socket.socket, wait_s: float) -> bool:
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    return bool(poll.poll(round(wait_s * 1e3)))


def _be_patient(connection: socket.socket) -> None:
    """Make calls block, but not longer than ``PATIENCE_S``; the kernel times it."""
    connection.settimeout(None)
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        connection.setsockopt(socket.SOL_SOCKET, option, _TIME.pack(0, round(PATIENCE_S * 1e6)))
