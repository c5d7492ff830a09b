"""A hop of a message between two processes that sleep until it comes, and the machine's limits."""

import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from benchmarks.figures import Figure, figure, take_turns
from crossmesh.interconnect.transport.channels import Channels
from crossmesh.interconnect.transport.curve import Keys
from crossmesh.interconnect.transport.endpoints import Tcp, Unix
from crossmesh.interconnect.transport.messages import Message

SIZES = {"1 KiB": 1 << 10, "64 KiB": 1 << 16, "1 MiB": 1 << 20}
AIMS = {"1 KiB": 25.0, "1 MiB": 150.0}  # us, within a node
ROUND_TRIPS = 200  # of a turn
LOOPBACK = "127.0.0.1"
KINDS = {"unix": 0, "tcp": 1}  # the channels within a node and between nodes, by their peer


def wire(rounds: int) -> Iterator[Figure]:
    """One way, by half of a round trip."""
    with ExitStack() as stack:
        there = _Mirror(stack)
        for size, n_bytes in SIZES.items():
            turns = {
                "channel within a node": there.channel("unix", n_bytes),
                "encrypted channel over tcp": there.channel("tcp", n_bytes),
                "limit: a pipe": there.pipe(n_bytes),
                "limit: a copy in memory": _copies(n_bytes),
            }
            for name, seconds in take_turns(turns, rounds).items():
                hops = [1e6 * s / ROUND_TRIPS / 2 for s in seconds]
                aim = AIMS.get(size) if name == "channel within a node" else None
                yield figure("wire", f"{name}, {size}", hops, "us", aim=aim)


class _Mirror:
    """Another process that sends back what it gets."""

    def __init__(self, stack: ExitStack) -> None:
        context = multiprocessing.get_context("spawn")
        self._orders, orders = context.Pipe()
        to_read, self._to_write = context.Pipe(duplex=False)
        self._to_read, to_write = context.Pipe(duplex=False)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="crossmesh-")))
        keys = Keys.generate()
        process = context.Process(
            target=_reflect, args=(orders, to_read, to_write, folder), daemon=True
        )
        process.start()
        stack.callback(process.join, 10)
        stack.callback(self._orders.send, None)
        self._channels = stack.enter_context(closing(_channels(keys)))
        _open(self._channels, self._orders, folder, keys.public)

    def channel(self, kind: str, n_bytes: int) -> Callable[[], None]:
        """A turn of round trips through channels."""
        channels, peer = self._channels, KINDS[kind]
        message = Message(0, 0, 0, "activation", np.zeros((1, n_bytes // 4), np.float32))

        def turn() -> None:
            self._orders.send((kind, n_bytes))
            for _ in range(ROUND_TRIPS):
                channels.send(peer, message)
                channels.receive(peer)

        return turn

    def pipe(self, n_bytes: int) -> Callable[[], None]:
        """A turn of round trips through pipes."""
        content = bytes(n_bytes)

        def turn() -> None:
            self._orders.send(("pipe", n_bytes))
            for _ in range(ROUND_TRIPS):
                _write(self._to_write, content)
                _read(self._to_read, n_bytes)

        return turn


def _channels(keys: Keys) -> Channels:
    return Channels(generation=0, capacity=16, keys=keys)


def _open(channels: Channels, other: Connection, folder: Path, public: bytes) -> None:
    """Open a channel of each kind to the other process, and one from it."""
    other.send(public)
    key = other.recv()
    other.send(
        {
            KINDS["unix"]: channels.listen(KINDS["unix"], Unix(folder=folder)),
            KINDS["tcp"]: channels.listen(KINDS["tcp"], Tcp(host=LOOPBACK, client_key=key)),
        }
    )
    for peer, address in other.recv().items():
        channels.connect(peer, address, key)
    channels.await_peers(10)


def _reflect(orders: Connection, to_read: Connection, to_write: Connection, folder: Path) -> None:
    keys = Keys.generate()
    with closing(_channels(keys)) as channels:
        _open(channels, orders, folder, keys.public)
        while (order := orders.recv()) is not None:
            kind, n_bytes = order
            for _ in range(ROUND_TRIPS):
                if kind == "pipe":
                    _write(to_write, _read(to_read, n_bytes))
                else:
                    channels.send(KINDS[kind], channels.receive(KINDS[kind]))


def _write(pipe: Connection, content: bytes | bytearray) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(pipe.fileno(), view) :]


def _read(pipe: Connection, n_bytes: int) -> bytearray:
    content = bytearray(n_bytes)
    view = memoryview(content)
    while view:
        view = view[os.readv(pipe.fileno(), [view]) :]
    return content


def _copies(n_bytes: int) -> Callable[[], None]:
    """As many copies as there are hops in a turn."""
    source, target = np.zeros(n_bytes, np.uint8), np.zeros(n_bytes, np.uint8)

    def turn() -> None:
        for _ in range(2 * ROUND_TRIPS):
            np.copyto(target, source)

    return turn
