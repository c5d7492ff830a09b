"""Channels between tile hosts: one bounded queue for each directed pair of hosts.

A channel is a ZeroMQ PUSH socket at its source and a PULL socket at its destination, so that a full
queue blocks only the source that fills it. Within a node it runs over ``ipc`` in a private folder,
between nodes over ``tcp`` with CURVE keys; neither side ever connects again on its own, so a
channel loses nothing from its middle: what arrives is a prefix of what was sent, in order.

A channel over ``tcp`` has a second connection that stays idle, because only there does the kernel
notice within seconds that nothing passes any more: on one with data under way it sends no
keepalives, but tries again for a quarter of an hour, and a time limit of its own
(TCP_USER_TIMEOUT) would also end the channel to a host that is merely busy with a full queue.

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
from time import perf_counter, sleep
from typing import TypeVar

import zmq
from zmq.utils.monitor import recv_monitor_message

from crossmesh.interconnect.transport.endpoints import Gate, Interface, Keys, Socket, check_key
from crossmesh.interconnect.transport.messages import MAX_PAYLOAD_BYTES, Message, decode, encode

# How long a blocked socket waits before it looks whether to stop.
PATIENCE_S = 0.1
# Asked of the kernel at each end of a channel, on top of its queue; Linux takes it twice.
KERNEL_BUFFER_BYTES = 1 << 18
CONNECT_POLL_S = 0.005
HANDSHAKE_S = 3.0  # a stranger that has connected must have shown a key by then
# Over tcp the kernel asks whether the other node still lives. ZeroMQ's own heartbeats would take a
# host that is busy with a full queue for a dead one: they are read behind the messages.
KEEPALIVE_S = 1
KEEPALIVES = 3  # unanswered, until the connection is lost
# ZeroMQ counts its own framing and encryption in the size of a frame.
_MAX_FRAME_BYTES = MAX_PAYLOAD_BYTES + 1024
_REFUSALS = (
    zmq.EVENT_CLOSED
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)

T = TypeVar("T")


class ChannelStopped(Exception):  # noqa: N818  because it is asked for, not an error
    """``Channels.stop`` ended a send or a receive."""


class ChannelLost(ConnectionError):  # noqa: N818  because it names what happened
    """The other end of a channel is gone, or never let us in.

    Attributes:
        peer: The host at the other end.
    """

    def __init__(self, message: str, peer: int) -> None:
        super().__init__(message, peer)
        self.message = message
        self.peer = peer

    def __str__(self) -> str:
        return self.message


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
        self._waiting_since = 0.0
        self._capacity = capacity
        self._stopped = False
        self._context: zmq.Context[Socket] = zmq.Context()
        self._gate = None if keys is None else Gate(self._context, keys)
        self._sockets: list[Socket] = []
        self._incoming: dict[int, Socket] = {}
        self._outgoing: dict[int, Socket] = {}
        self._idle: dict[int, Socket] = {}  # the other connection of each that is outgoing
        self._watches: dict[Socket, _Watch] = {}
        self._addresses: list[str] = []

    @property
    def waiting_s(self) -> float:
        """Seconds of the wait under way, which ``wait_s`` does not count yet."""
        since = self._waiting_since
        return perf_counter() - since if since else 0.0

    def listen(self, peer: int, interface: Interface) -> str:
        """Open the channel from ``peer`` and return the address to which it must connect."""
        if peer in self._incoming:
            raise ValueError(f"Channels.listen must be called once per peer, got {peer} again")
        socket = self._open(zmq.PULL)
        socket.setsockopt(zmq.RCVHWM, max(1, self._capacity - self._capacity // 2))
        socket.setsockopt(zmq.MAXMSGSIZE, _MAX_FRAME_BYTES)
        # A name of its own, because binding a taken ipc path would quietly replace its file.
        address = interface.bind(socket, f"{self.generation}-{peer}-{token_hex(4)}", self._gate)
        connections = 2 if address.startswith("tcp://") else 1
        self._watch(socket, connections)
        self._incoming[peer] = socket
        self._addresses.append(address)
        return address

    def connect(self, peer: int, address: str, server_key: bytes | None = None) -> None:
        """Open the channel to ``peer``, which listens already.

        Args:
            peer: The host at the other end.
            address: The address that its ``listen`` returned.
            server_key: Its public key; needed for tcp, unused for ipc.
        """
        if peer in self._outgoing:
            raise ValueError(f"Channels.connect must be called once per peer, got {peer} again")
        if not address.startswith(("ipc://", "tcp://")):
            raise ValueError(f"address must begin with ipc:// or tcp://, got {address!r}")
        self._outgoing[peer] = self._connected(address, server_key)
        if address.startswith("tcp://"):
            self._idle[peer] = self._connected(address, server_key)

    def _connected(self, address: str, server_key: bytes | None) -> Socket:
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
        self._watch(socket)
        socket.connect(address)
        return socket

    def await_peers(self, timeout_s: float) -> None:
        """Wait until every peer that this host listens for is connected and let in.

        Raises:
            ChannelStopped: ``stop`` was called.
            ChannelLost: A peer, which its ``peer`` names, is still missing after ``timeout_s``.
        """
        deadline = perf_counter() + timeout_s
        for peer, socket in self._incoming.items():
            while not self._watches[socket].is_met:
                self._check_running()
                if perf_counter() > deadline:
                    raise ChannelLost(f"host {peer} has not connected", peer)
                sleep(CONNECT_POLL_S)

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

        Raises:
            ChannelStopped: ``stop`` was called.
            ChannelLost: The peer was connected and is gone, or cannot be reached any more, and all
                that it sent has been received.
            ValueError: What arrived is not a message.
            RuntimeError: The message is of a newer generation.
        """
        message = self._receive_any(peer)
        while message.generation < self.generation:
            message = self._receive_any(peer)
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
            (zmq.HANDSHAKE_IVL, round(HANDSHAKE_S * 1e3)),
            (zmq.TCP_KEEPALIVE, 1),
            (zmq.TCP_KEEPALIVE_IDLE, KEEPALIVE_S),
            (zmq.TCP_KEEPALIVE_INTVL, KEEPALIVE_S),
            (zmq.TCP_KEEPALIVE_CNT, KEEPALIVES),
        ):
            socket.setsockopt(option, value)
        return socket

    def _check_running(self) -> None:
        if self._stopped:
            raise ChannelStopped("channels were stopped")

    def _send_header(self, peer: int, header: bytes) -> None:
        """Wait a little for room in the queue for ``peer``."""
        socket = self._outgoing[peer]
        try:
            socket.send(header, zmq.SNDMORE)
        except zmq.Again:
            ends = filter(None, (socket, self._idle.get(peer)))
            if any(self._watches[end].is_lost for end in ends):
                raise ChannelLost(
                    f"the channel to host {peer} is lost: the peer closed the connection or "
                    "rejected the CURVE key",
                    peer,
                ) from None
            raise

    def _receive_any(self, peer: int) -> Message:
        """The next message, of whatever generation."""
        self._check_running()
        socket = self._incoming[peer]
        try:
            frames = [socket.recv(zmq.NOBLOCK, copy=False)]
        except zmq.Again:
            frames = [self._wait(lambda: self._receive_frame(peer, socket))]
        while frames[-1].more:
            frames.append(socket.recv(zmq.NOBLOCK, copy=False))
        return decode([frame.buffer for frame in frames])

    def _receive_frame(self, peer: int, socket: Socket) -> zmq.Frame:
        """Wait a little for the first frame of a message from ``peer``."""
        try:
            return socket.recv(copy=False)
        except zmq.Again:
            if not self._watches[socket].is_lost:
                raise
        try:  # what it sent before it was lost
            return socket.recv(zmq.NOBLOCK, copy=False)
        except zmq.Again:
            raise ChannelLost(f"the channel from host {peer} is lost", peer) from None

    def _watch(self, socket: Socket, accepts: int = 0) -> None:
        """Notice the loss of a socket's connection, or of one of those that it is to accept."""
        events = zmq.EVENT_ACCEPTED | zmq.EVENT_HANDSHAKE_SUCCEEDED if accepts else _REFUSALS
        monitor = socket.get_monitor_socket(zmq.EVENT_DISCONNECTED | events)
        self._sockets.append(monitor)
        self._watches[socket] = _Watch(monitor, accepts)

    def _wait(self, attempt: Callable[[], T]) -> T:
        """Repeat ``attempt``, which blocks for ``PATIENCE_S``, until it succeeds or we stop."""
        self._waiting_since = start = perf_counter()
        try:
            while True:
                try:
                    return attempt()
                except zmq.Again:
                    self._check_running()
        finally:
            self._waiting_since = 0.0
            self.wait_s += perf_counter() - start


class _Watch:
    """Whether the peer of a socket is there, and whether it is gone.

    A listener is also met by strangers, who are turned away; its peer is gone when fewer are
    connected than it has connections.

    Args:
        monitor: Events of the socket.
        accepts: Connections that a listener awaits from its peer; 0: the socket connects itself.
    """

    def __init__(self, monitor: Socket, accepts: int) -> None:
        self._monitor = monitor
        self._accepts = accepts
        self._open: set[int] = set()  # descriptors of what a listener has accepted
        self._n_met = 0
        self._lost = False

    @property
    def is_met(self) -> bool:
        """Whether a listener has let its peer in."""
        self._look()
        return self._is_met

    @property
    def _is_met(self) -> bool:
        return self._n_met >= self._accepts

    @property
    def is_lost(self) -> bool:
        """Whether the connection has ended, or was refused by the other side."""
        self._look()
        return self._lost or (self._is_met and len(self._open) < self._accepts)

    def _look(self) -> None:
        while self._monitor.poll(0):
            message = recv_monitor_message(self._monitor)
            event, descriptor = message["event"], int(message["value"])
            if event == zmq.EVENT_ACCEPTED:
                self._open.add(descriptor)
            elif event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self._n_met += 1
            else:
                self._open.discard(descriptor)
                self._lost = not self._accepts
