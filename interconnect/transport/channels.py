"""Channels between tile hosts: one bounded queue for each directed pair of hosts.

A full queue blocks only the source that fills it. What arrives is a prefix of what was sent, in
order: a channel that breaks is never mended. Within a node a channel is a Unix socket with shared
memory beside it (``unix``), between nodes ZeroMQ over tcp with CURVE keys (``curve``). What each
costs is shown by ``make bench`` and in ``docs/decisions/0022-the-wire.md``.
"""

from collections.abc import Callable
from secrets import token_hex
from time import perf_counter, sleep
from typing import TypeVar

from crossmesh.interconnect.transport import curve, unix
from crossmesh.interconnect.transport.curve import CurveSender, Gate, Keys
from crossmesh.interconnect.transport.endpoints import Interface
from crossmesh.interconnect.transport.ends import Broken, Receiver, Sender
from crossmesh.interconnect.transport.messages import Message, encode
from crossmesh.interconnect.transport.unix import UnixSender

CONNECT_POLL_S = 0.005

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
    copied when it is sent, so its owner may change it at once, and one that is received belongs to
    who received it. What is still queued at ``close`` may be lost: close after the peers have
    received all they wait for.

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
            capacity: Messages queued per channel before its source blocks. Room is given back by
                halves; over tcp, each end has half of it, and the kernel's buffers come on top.
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
        self._closed = False
        self._gate = None if keys is None else Gate(keys)
        self._incoming: dict[int, Receiver] = {}
        self._outgoing: dict[int, Sender] = {}

    @property
    def waiting_s(self) -> float:
        """Seconds of the wait under way, which ``wait_s`` does not count yet."""
        since = self._waiting_since
        return perf_counter() - since if since else 0.0

    def listen(self, peer: int, interface: Interface) -> str:
        """Open the channel from ``peer`` and return the address to which it must connect."""
        self._check_open()
        if peer in self._incoming:
            raise ValueError(f"Channels.listen must be called once per peer, got {peer} again")
        # A name of its own, so that one that is left from before is in nobody's way.
        name = f"{self.generation}-{peer}-{token_hex(4)}"
        self._incoming[peer] = receiver = interface.listen(name, self._capacity, self._gate)
        return receiver.address

    def connect(self, peer: int, address: str, server_key: bytes | None = None) -> None:
        """Open the channel to ``peer``, which listens already.

        Args:
            peer: The host at the other end.
            address: The address that its ``listen`` returned.
            server_key: Its public key; needed for tcp, unused within a node.

        Raises:
            ChannelLost: Nothing listens there any more.
        """
        self._check_open()
        if peer in self._outgoing:
            raise ValueError(f"Channels.connect must be called once per peer, got {peer} again")
        if address.startswith(unix.SCHEME):
            try:
                self._outgoing[peer] = UnixSender(address, self._capacity)
            except OSError as error:
                raise ChannelLost(f"host {peer} does not listen any more: {error}", peer) from None
        elif address.startswith(curve.SCHEME):
            if self._gate is None or server_key is None:
                raise ValueError("Channels.keys and server_key must be given for tcp, got None")
            here = max(1, self._capacity // 2)
            self._outgoing[peer] = CurveSender(self._gate, address, server_key, here)
        else:
            raise ValueError(
                f"address must begin with {unix.SCHEME} or {curve.SCHEME}, got {address!r}"
            )

    def await_peers(self, timeout_s: float) -> None:
        """Wait until every peer that this host listens for is connected and let in.

        Raises:
            ChannelStopped: ``stop`` was called.
            ChannelLost: A peer, which its ``peer`` names, is still missing after ``timeout_s``.
        """
        deadline = perf_counter() + timeout_s
        for peer, receiver in self._incoming.items():
            while not receiver.is_met:
                self._check_running()
                if perf_counter() > deadline:
                    raise ChannelLost(f"host {peer} has not connected", peer)
                sleep(CONNECT_POLL_S)

    def send(self, peer: int, message: Message) -> None:
        """Queue ``message`` for ``peer``; block while the queue is full.

        Raises:
            ChannelStopped: ``stop`` was called.
            ChannelLost: The channel broke, so this message and some before it will not arrive. It
                may be noticed only by a send that finds no room.
        """
        self._check_running()
        sender = self._outgoing[peer]
        header, payload = encode(message)
        try:
            if not sender.put(header, payload, wait=False):
                self._wait(lambda: sender.put(header, payload, wait=True))
        except Broken:
            raise ChannelLost(
                f"the channel to host {peer} is lost: the peer closed the connection or "
                "rejected the CURVE key",
                peer,
            ) from None
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
        """Free all sockets and their files; more calls do nothing."""
        self.stop()
        if self._closed:
            return
        self._closed = True
        for sender in self._outgoing.values():
            sender.close()
        for receiver in self._incoming.values():
            receiver.close()
        if self._gate is not None:
            self._gate.close()

    def _check_open(self) -> None:
        if self._closed:
            raise ChannelStopped("channels are closed")

    def _check_running(self) -> None:
        if self._stopped:
            raise ChannelStopped("channels were stopped")

    def _receive_any(self, peer: int) -> Message:
        """The next message, of whatever generation."""
        self._check_running()
        receiver = self._incoming[peer]
        try:
            message = receiver.get(wait=False)
            return message or self._wait(lambda: receiver.get(wait=True))
        except Broken:
            raise ChannelLost(f"the channel from host {peer} is lost", peer) from None

    def _wait(self, attempt: Callable[[], T | None]) -> T:
        """Repeat ``attempt``, which blocks for ``PATIENCE_S``, until it succeeds or we stop."""
        self._waiting_since = start = perf_counter()
        try:
            while not (result := attempt()):
                self._check_running()
                for receiver in self._incoming.values():
                    receiver.drain()
            return result
        finally:
            self._waiting_since = 0.0
            self.wait_s += perf_counter() - start
