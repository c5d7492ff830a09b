"""Channels between tile hosts: one bounded queue for each directed pair of hosts.

A channel is a ZeroMQ PUSH socket at its source and a PULL socket at its destination, so that a full
queue blocks only the source that fills it. Within a node it runs over ``ipc`` in a private folder,
between nodes over ``tcp`` with CURVE keys; neither side ever connects again on its own, so a
channel loses nothing from its middle: what arrives is a prefix of what was sent, in order.

Wall-clock cost per message, between two processes on 2 cores that others used too (capacity 16,
medians of 7 runs that took turns with the two variants below):

    one way            1 KiB, pipelined   1 KiB, ping-pong   1 MiB, pipelined   1 MiB, ping-pong
    ipc                20 us              130 us             0.41 ms            0.46 ms
    tcp, encrypted     24 us              160 us             1.42 ms            2.24 ms

Spinning for 50 us before blocking took a tenth off a 1 KiB ping-pong over tcp and added more than
that to 1 MiB. Sending without a copy took a sixth off 1 MiB, pipelined, but the payload could then
change under way.
"""

from collections.abc import Callable
from pathlib import Path
from secrets import token_hex
from time import perf_counter
from typing import TypeVar

import zmq

from interconnect.interfaces import Gate, Interface, Keys, Socket, check_key
from interconnect.messages import MAX_PAYLOAD_BYTES, Message, decode, encode

# How long a blocked socket waits before it looks whether to stop.
PATIENCE_S = 0.1
# Asked of the kernel at each end of a channel, on top of its queue; Linux takes it twice.
KERNEL_BUFFER_BYTES = 1 << 18
# ZeroMQ counts its own framing and encryption in the size of a frame.
_MAX_FRAME_BYTES = MAX_PAYLOAD_BYTES + 1024
_LOSSES = (
    zmq.EVENT_DISCONNECTED
    | zmq.EVENT_CLOSED
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)

T = TypeVar("T")


class ChannelStopped(Exception):  # noqa: N818  because it is asked for, not an error
    """``Channels.stop`` ended a send or a receive."""


class ChannelLost(ConnectionError):  # noqa: N818  because it names what happened
    """The other end of a channel is gone, or never let us in."""


class Channels:
    """All channels of one tile host.

    One thread at a time sends, receives and closes; ``stop`` may come from any thread. A payload is
    copied when it is sent, so its owner may change it at once. What is still queued at ``close`` is
    lost: close after the peers have received all they wait for.

    Attributes:
        generation: Messages of an older one are dropped.
        n_sent: Messages sent.
        n_received: Messages received, without dropped ones.
        bytes_sent: Bytes of their headers and payloads sent.
        wait_s: Wall-clock time spent blocked, for a full queue or an empty one.
    """

    def __init__(self, *, generation: int, capacity: int, keys: Keys | None = None) -> None:
        """Open no channel yet.

        Args:
            generation: Generation of the messages to accept.
            capacity: Messages queued per channel before its source blocks, half of them at each
                end and at least one; the kernel's buffers come on top, see ``KERNEL_BUFFER_BYTES``.
            keys: Own key pair; needed for tcp.
        """
        if capacity < 1:
            raise ValueError(f"Channels.capacity must be >= 1, got {capacity}")
        self.generation = generation
        self.n_sent = 0
        self.n_received = 0
        self.bytes_sent = 0
        self.wait_s = 0.0
        self._capacity = capacity
        self._stopped = False
        self._context: zmq.Context[Socket] = zmq.Context()
        self._gate = None if keys is None else Gate(self._context, keys)
        self._sockets: list[Socket] = []
        self._incoming: dict[int, Socket] = {}
        self._outgoing: dict[int, Socket] = {}
        self._monitors: dict[int, Socket] = {}
        self._addresses: list[str] = []

    def listen(self, peer: int, interface: Interface) -> str:
        """Open the channel from ``peer`` and return the address to which it must connect."""
        if peer in self._incoming:
            raise ValueError(f"Channels.listen must be called once per peer, got {peer} again")
        socket = self._open(zmq.PULL)
        socket.setsockopt(zmq.RCVHWM, max(1, self._capacity - self._capacity // 2))
        socket.setsockopt(zmq.MAXMSGSIZE, _MAX_FRAME_BYTES)
        # A name of its own, because binding a taken ipc path would quietly replace its file.
        address = interface.bind(socket, f"{self.generation}-{peer}-{token_hex(4)}", self._gate)
        self._incoming[peer] = socket
        self._addresses.append(address)
        return address

    def connect(self, peer: int, address: str, server_key: bytes | None = None) -> None:
        """Open the channel to ``peer``, which listens already.

        Args:
            peer: The host at the other end.
            address: What its ``listen`` returned.
            server_key: Its public key; needed for tcp, unused for ipc.
        """
        if peer in self._outgoing:
            raise ValueError(f"Channels.connect must be called once per peer, got {peer} again")
        if not address.startswith(("ipc://", "tcp://")):
            raise ValueError(f"address must begin with ipc:// or tcp://, got {address!r}")
        socket = self._open(zmq.PUSH)
        if address.startswith("tcp://"):
            if self._gate is None or server_key is None:
                raise ValueError("Channels.keys and server_key must be given for tcp, got None")
            check_key("server_key", server_key)
            self._gate.present(socket, server_key)
            socket.setsockopt(zmq.IPV6, int(address.startswith("tcp://[")))
        socket.setsockopt(zmq.SNDHWM, max(1, self._capacity // 2))
        # Connecting again would hide that what was on its way is lost.
        socket.setsockopt(zmq.RECONNECT_IVL, -1)
        monitor = socket.get_monitor_socket(_LOSSES)
        self._sockets.append(monitor)
        socket.connect(address)
        self._monitors[peer] = monitor
        self._outgoing[peer] = socket

    def send(self, peer: int, message: Message) -> None:
        """Queue ``message`` for ``peer``; block while the queue is full.

        Raises:
            ChannelStopped: ``stop`` was called.
            ChannelLost: The channel broke, so this message and some before it will not arrive. It
                is noticed only by a send that finds no room.
        """
        self._check_running()
        socket = self._outgoing[peer]
        header, payload = encode(message)
        try:
            socket.send(header, zmq.SNDMORE | zmq.NOBLOCK)
        except zmq.Again:
            self._wait(lambda: self._send_header(peer, header))
        # ZeroMQ finds room for a message at its first frame: the others never block.
        socket.send(payload, zmq.NOBLOCK)
        self.n_sent += 1
        self.bytes_sent += len(header) + payload.nbytes

    def receive(self, peer: int) -> Message:
        """The next message from ``peer`` of this generation; block until there is one.

        A peer that is gone is not noticed here, only by ``send``: whoever watches the hosts calls
        ``stop``.

        Raises:
            ChannelStopped: ``stop`` was called.
            ValueError: What arrived is not a message.
            RuntimeError: The message is of a newer generation.
        """
        socket = self._incoming[peer]
        message = self._receive_any(socket)
        while message.generation < self.generation:
            message = self._receive_any(socket)
        if message.generation > self.generation:
            raise RuntimeError(
                f"message from host {peer} must be of generation {self.generation}, "
                f"got {message.generation}"
            )
        self.n_received += 1
        return message

    def stop(self) -> None:
        """End, from any thread, what blocks now and refuse what comes later."""
        self._stopped = True

    def close(self) -> None:
        """Free all sockets and their files, and drop what is queued; more calls do nothing."""
        self.stop()
        while self._sockets:
            self._sockets.pop().close(linger=0)
        if self._gate is not None:
            self._gate.close()
        self._context.term()
        while self._addresses:  # ZeroMQ leaves the files of its unix sockets behind
            scheme, _, path = self._addresses.pop().partition("://")
            if scheme == "ipc":
                Path(path).unlink(missing_ok=True)

    def _open(self, socket_type: int) -> Socket:
        """A socket that ``close`` will close."""
        if self._context.closed:
            raise ChannelStopped("channels are closed")
        socket = self._context.socket(socket_type)
        self._sockets.append(socket)
        for option, value in (
            (zmq.LINGER, 0),
            (zmq.SNDTIMEO, round(PATIENCE_S * 1e3)),
            (zmq.RCVTIMEO, round(PATIENCE_S * 1e3)),
            (zmq.SNDBUF, KERNEL_BUFFER_BYTES),
            (zmq.RCVBUF, KERNEL_BUFFER_BYTES),
        ):
            socket.setsockopt(option, value)
        return socket

    def _check_running(self) -> None:
        if self._stopped:
            raise ChannelStopped("channels were stopped")

    def _send_header(self, peer: int, header: bytes) -> None:
        """Wait a little for room in the queue for ``peer``."""
        if self._monitors[peer].poll(0):
            raise ChannelLost(f"the channel to host {peer} is lost: it left or refused our key")
        self._outgoing[peer].send(header, zmq.SNDMORE)

    def _receive_any(self, socket: Socket) -> Message:
        """The next message, of whatever generation."""
        self._check_running()
        try:
            frames = [socket.recv(zmq.NOBLOCK, copy=False)]
        except zmq.Again:
            frames = [self._wait(lambda: socket.recv(copy=False))]
        while frames[-1].more:
            frames.append(socket.recv(zmq.NOBLOCK, copy=False))
        return decode([frame.buffer for frame in frames])

    def _wait(self, attempt: Callable[[], T]) -> T:
        """Repeat ``attempt``, which blocks for ``PATIENCE_S``, until it succeeds or we stop."""
        start = perf_counter()
        try:
            while True:
                try:
                    return attempt()
                except zmq.Again:
                    self._check_running()
        finally:
            self.wait_s += perf_counter() - start
