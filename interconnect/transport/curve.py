"""Channels between nodes: ZeroMQ PUSH and PULL over tcp with CURVE keys.

Neither side ever connects again on its own, so a channel loses nothing from its middle. A channel
has a second connection that stays idle, because only there does the kernel notice within seconds
that nothing passes any more: on one with data under way it sends no keepalives, but tries again for
a quarter of an hour, and a time limit of its own (TCP_USER_TIMEOUT) would also end the channel to a
host that is merely busy with a full queue.
"""

from dataclasses import dataclass, field

import zmq
from zmq.auth.thread import ThreadAuthenticator
from zmq.utils.monitor import recv_monitor_message

from crossmesh.interconnect.transport.ends import HANDSHAKE_S, PATIENCE_S, Broken
from crossmesh.interconnect.transport.messages import MAX_PAYLOAD_BYTES, Message, decode

SCHEME = "tcp://"
# Asked of the kernel at each end of a channel, on top of its queue; Linux takes it twice.
_KERNEL_BUFFER_BYTES = 1 << 18
# The kernel asks whether the other node still lives. ZeroMQ's own heartbeats would take a host
# that is busy with a full queue for a dead one: they are read behind the messages.
_KEEPALIVE_S = 1
_KEEPALIVES = 3  # unanswered, until the connection is lost
_CONNECTIONS = 2  # of a channel
# ZeroMQ counts its own framing and encryption in the size of a frame.
_MAX_FRAME_BYTES = MAX_PAYLOAD_BYTES + 1024
_REFUSALS = (
    zmq.EVENT_CLOSED
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)

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
    """Makes the sockets of a host, encrypts them, and lets into each only the peer that it is for.

    Args:
        keys: Own key pair.
    """

    def __init__(self, keys: Keys) -> None:
        self._context: zmq.Context[Socket] = zmq.Context()
        self._keys = keys
        self._authenticator: ThreadAuthenticator | None = None  # started by the first to guard

    def open(self, socket_type: int) -> Socket:
        """A socket that is neither bound nor connected yet."""
        socket = self._context.socket(socket_type)
        for option, value in (
            (zmq.LINGER, 0),
            (zmq.SNDTIMEO, round(PATIENCE_S * 1e3)),
            (zmq.RCVTIMEO, round(PATIENCE_S * 1e3)),
            (zmq.SNDBUF, _KERNEL_BUFFER_BYTES),
            (zmq.RCVBUF, _KERNEL_BUFFER_BYTES),
            (zmq.HANDSHAKE_IVL, round(HANDSHAKE_S * 1e3)),
            (zmq.TCP_KEEPALIVE, 1),
            (zmq.TCP_KEEPALIVE_IDLE, _KEEPALIVE_S),
            (zmq.TCP_KEEPALIVE_INTVL, _KEEPALIVE_S),
            (zmq.TCP_KEEPALIVE_CNT, _KEEPALIVES),
        ):
            socket.setsockopt(option, value)
        return socket

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
        """End the thread that answers who may enter, and ZeroMQ's; its sockets must be closed."""
        if self._authenticator is not None:
            self._authenticator.stop()
            self._authenticator = None
        self._context.term()


@dataclass(frozen=True)
class _OnlyKey:
    """Credentials provider that knows one client."""

    client_key: bytes

    def callback(self, _domain: str, key: bytes) -> bool:
        """Whether ``key`` may enter."""
        return key == self.client_key


class CurveSender:
    """The source of a channel.

    Args:
        gate: Of this host.
        address: Where the destination listens.
        server_key: Its public key.
        capacity: Messages that may be queued at this end, half of the channel's.
    """

    def __init__(self, gate: Gate, address: str, server_key: bytes, capacity: int) -> None:
        check_key("server_key", server_key)
        self._watches: list[_Watch] = []
        self._sockets: list[Socket] = []
        try:
            for _ in range(_CONNECTIONS):
                socket = gate.open(zmq.PUSH)
                self._sockets.append(socket)
                gate.present(socket, server_key)
                socket.setsockopt(zmq.IPV6, int(address.startswith("tcp://[")))
                socket.setsockopt(zmq.SNDHWM, capacity)
                # Connecting again would hide that what was on its way is lost.
                socket.setsockopt(zmq.RECONNECT_IVL, -1)
                self._watches.append(_Watch(socket, 0))
                socket.connect(address)
        except BaseException:
            self.close()
            raise

    def put(self, header: bytes, payload: memoryview, *, wait: bool) -> bool:
        """Queue a message. That it is lost is noticed only where there is no room."""
        socket = self._sockets[0]
        try:
            socket.send(header, zmq.SNDMORE | (0 if wait else zmq.NOBLOCK))
        except zmq.Again:
            if any(watch.is_lost for watch in self._watches):
                raise Broken from None
            return False
        # ZeroMQ finds room for a message at its first frame: the others never block.
        socket.send(payload, zmq.NOBLOCK)
        return True

    def close(self) -> None:
        """Close both connections; what is queued is dropped."""
        for watch in self._watches:
            watch.close()
        for socket in self._sockets:
            socket.close()


class CurveReceiver:
    """The destination of a channel.

    Args:
        gate: Of this host.
        name: Of the channel, which no other has.
        host: IP address at which to listen.
        client_key: Public key of the source.
        capacity: Messages that may be queued at this end, half of the channel's.
    """

    def __init__(self, gate: Gate, name: str, host: str, client_key: bytes, capacity: int) -> None:
        self._socket = socket = gate.open(zmq.PULL)
        try:
            socket.setsockopt(zmq.RCVHWM, capacity)
            socket.setsockopt(zmq.MAXMSGSIZE, _MAX_FRAME_BYTES)
            gate.guard(socket, name, client_key)
            is_v6 = ":" in host
            socket.setsockopt(zmq.IPV6, int(is_v6))
            socket.bind(f"tcp://[{host}]:*" if is_v6 else f"tcp://{host}:*")
            self.address = socket.getsockopt_string(zmq.LAST_ENDPOINT).rstrip("\0")
            self._watch = _Watch(socket, _CONNECTIONS)
        except BaseException:
            socket.close()
            raise

    @property
    def is_met(self) -> bool:
        """Whether the source has connected and was let in."""
        return self._watch.is_met

    def get(self, *, wait: bool) -> Message | None:
        """The next message."""
        try:
            frames = [self._socket.recv(0 if wait else zmq.NOBLOCK, copy=False)]
        except zmq.Again:
            if not wait or not self._watch.is_lost:
                return None
            try:  # what it sent before it was lost
                frames = [self._socket.recv(zmq.NOBLOCK, copy=False)]
            except zmq.Again:
                raise Broken from None
        while frames[-1].more:
            frames.append(self._socket.recv(zmq.NOBLOCK, copy=False))
        if len(frames) != 2:
            raise ValueError(f"a message must have 2 frames, got {len(frames)}")
        header, body = frames
        return decode(header.buffer, bytearray(body.buffer))

    def drain(self) -> None:
        """Nothing: ZeroMQ's own thread takes in what arrives."""

    def close(self) -> None:
        """Close the connections."""
        self._watch.close()
        self._socket.close()


class _Watch:
    """Whether the peer of a socket is there, and whether it is gone.

    A listener is also met by strangers, who are turned away; its peer is gone when fewer are
    connected than it has connections.

    Args:
        socket: Neither bound nor connected yet.
        accepts: Connections that a listener awaits from its peer; 0: the socket connects itself.
    """

    def __init__(self, socket: Socket, accepts: int) -> None:
        events = zmq.EVENT_ACCEPTED | zmq.EVENT_HANDSHAKE_SUCCEEDED if accepts else _REFUSALS
        self._monitor = socket.get_monitor_socket(zmq.EVENT_DISCONNECTED | events)
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

    def close(self) -> None:
        """Stop watching."""
        self._monitor.close()

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
