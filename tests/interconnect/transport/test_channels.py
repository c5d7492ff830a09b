"""Channels keep order, block their source when full, and let nobody else in."""

import contextlib
import multiprocessing
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from threading import Timer

import numpy as np
import pytest
import zmq
from zmq.auth.thread import AuthenticationThread

from crossmesh.interconnect.transport import unix
from crossmesh.interconnect.transport.channels import ChannelLost, Channels, ChannelStopped
from crossmesh.interconnect.transport.curve import Keys
from crossmesh.interconnect.transport.endpoints import Tcp, Unix
from crossmesh.interconnect.transport.messages import Message, encode

# Payloads go through the socket, all of them through shared memory, or encrypted over tcp.
KINDS = ("socket", "shared memory", "tcp")
SOURCE, DESTINATION = 0, 1
MAX_INLINE_BYTES = unix.MAX_INLINE_BYTES


def message(micro_batch=0, *, generation=0, n_values=256) -> Message:
    payload = np.full(n_values, micro_batch, np.float32)
    return Message(generation, micro_batch, 0, "activation", payload)


@dataclass
class Bench:
    """Makes channels, and closes them at the end of a test."""

    folder: Path
    stack: ExitStack = field(default_factory=ExitStack)
    destination_key: bytes = b""

    def open(self, *, generation=0, capacity=16, keys=None) -> Channels:
        """Channels that fail, rather than hang, a test that waits for what never comes."""
        channels = self.stack.enter_context(
            closing(Channels(generation=generation, capacity=capacity, keys=keys))
        )
        deadline = Timer(10, channels.stop)
        deadline.start()
        self.stack.callback(deadline.cancel)
        return channels

    def pair(self, kind, **settings) -> tuple[Channels, Channels]:
        """Source and destination of one channel."""
        keys = Keys.generate(), Keys.generate()
        source, destination = (self.open(keys=k, **settings) for k in keys)
        self.destination_key = keys[1].public
        address = destination.listen(SOURCE, self.interface(kind, keys[0].public))
        source.connect(DESTINATION, address, self.destination_key)
        return source, destination

    def interface(self, kind, client_key) -> Unix | Tcp:
        """Where to listen for the owner of ``client_key``."""
        if kind == "tcp":
            return Tcp(host="127.0.0.1", client_key=client_key)
        unix.MAX_INLINE_BYTES = 0 if kind == "shared memory" else MAX_INLINE_BYTES
        return Unix(folder=self.folder)


@pytest.fixture
def bench(tmp_path):
    tmp_path.chmod(0o700)
    bench = Bench(tmp_path)
    with bench.stack:
        yield bench
    unix.MAX_INLINE_BYTES = MAX_INLINE_BYTES


@pytest.fixture
def thread():
    with ThreadPoolExecutor(1) as pool:
        yield pool


def send_until_stopped(source) -> None:
    while True:
        source.send(DESTINATION, message(n_values=1 << 18))


def settled_n_sent(source) -> int:
    """Messages sent once the source blocks."""
    n_sent = -1
    while n_sent < source.n_sent:
        n_sent = source.n_sent
        time.sleep(0.2)
    return n_sent


@pytest.mark.parametrize("kind", KINDS)
def test_messages_arrive_in_order_and_are_counted(bench, thread, kind):
    source, destination = bench.pair(kind, capacity=3)
    sent = [message(m, n_values=m * 50) for m in range(200)]

    sending = thread.submit(lambda: [source.send(DESTINATION, each) for each in sent])
    got = [destination.receive(SOURCE) for _ in sent]
    sending.result()

    assert [each.micro_batch for each in got] == list(range(200))
    for each in got:
        np.testing.assert_array_equal(each.payload, sent[each.micro_batch].payload)
        assert each.payload.flags.aligned
    assert (source.n_sent, destination.n_received) == (200, 200)
    assert source.bytes_sent == sum(frame.nbytes for each in sent for frame in views(each))


def views(sent) -> list[memoryview]:
    return [memoryview(frame) for frame in encode(sent)]


@pytest.mark.parametrize("kind", KINDS)
def test_messages_cross_processes(bench, kind):
    keys = Keys.generate()
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    with ours, theirs:
        process = context.Process(target=echo, args=(theirs, bench.folder, kind, keys.public))
        process.start()
        try:
            address, their_key = ours.recv()
            here = bench.open(keys=keys)
            ours.send(here.listen(1, bench.interface(kind, their_key)))
            here.connect(1, address, their_key)
            for m in range(20):
                here.send(1, message(m, n_values=1 << 12))
            got = [here.receive(1).micro_batch for _ in range(20)]
            ours.send("received")
        finally:
            process.join(10)

    assert got == list(range(20))
    assert process.exitcode == 0


def echo(pipe, folder, kind, client_key) -> None:
    """Send back what arrives, in a process of its own."""
    keys = Keys.generate()
    with closing(Channels(generation=0, capacity=16, keys=keys)) as channels:
        address = channels.listen(0, Bench(folder).interface(kind, client_key))
        pipe.send((address, keys.public))
        channels.connect(0, pipe.recv(), client_key)
        for _ in range(20):
            channels.send(0, channels.receive(0))
        pipe.recv()


@pytest.mark.parametrize("kind", KINDS)
def test_sent_payload_may_change_at_once(bench, kind):
    source, destination = bench.pair(kind)
    sent = message(7, n_values=1 << 16)

    source.send(DESTINATION, sent)
    sent.payload[:] = 0

    assert np.all(destination.receive(SOURCE).payload == 7)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("capacity", [1, 6])
def test_full_queue_blocks_its_source(bench, thread, kind, capacity):
    source, destination = bench.pair(kind, capacity=capacity)
    sending = thread.submit(send_until_stopped, source)

    n_sent = settled_n_sent(source)
    for _ in range(n_sent):
        destination.receive(SOURCE)
    n_sent_later = settled_n_sent(source)
    source.stop()

    assert max(1, capacity - 2) <= n_sent <= capacity + 4
    assert n_sent < n_sent_later <= 2 * n_sent + 4
    assert source.wait_s > 0.1
    assert isinstance(sending.exception(), ChannelStopped)


@pytest.mark.parametrize("kind", KINDS)
def test_a_received_payload_belongs_to_its_receiver(bench, kind):
    source, destination = bench.pair(kind)
    got = []
    for m in range(5):
        source.send(DESTINATION, message(m))
        got.append(destination.receive(SOURCE).payload)
        got[-1][1] = -1

    assert [payload[0] for payload in got] == list(range(5))


@pytest.mark.parametrize("kind", KINDS)
def test_full_queue_leaves_other_channels_free(bench, thread, kind):
    keys = Keys.generate()
    flooding, destination = bench.pair(kind, capacity=1)
    other = bench.open(keys=keys)
    other.connect(
        DESTINATION,
        destination.listen(2, bench.interface(kind, keys.public)),
        bench.destination_key,
    )
    flood = thread.submit(send_until_stopped, flooding)
    settled_n_sent(flooding)

    other.send(DESTINATION, message(5))

    assert destination.receive(2).micro_batch == 5
    assert not flood.done()
    flooding.stop()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("blocked", [lambda c: c.receive(SOURCE), send_until_stopped])
def test_stop_ends_a_blocked_call_and_refuses_later_ones(bench, thread, blocked, kind):
    source, destination = bench.pair(kind, capacity=1)
    source.send(DESTINATION, message())
    destination.receive(SOURCE)
    channels = source if blocked is send_until_stopped else destination
    waiting = thread.submit(blocked, channels)
    time.sleep(0.15)
    assert not waiting.done()

    channels.stop()

    assert isinstance(waiting.exception(timeout=5), ChannelStopped)
    with pytest.raises(ChannelStopped, match="channels were stopped"):
        blocked(channels)


@pytest.mark.parametrize("kind", KINDS)
def test_older_messages_are_dropped_and_newer_ones_refused(bench, kind):
    source, destination = bench.pair(kind, generation=4)
    for generation in (2, 3, 4, 5):
        source.send(DESTINATION, message(10 + generation, generation=generation))

    assert destination.receive(SOURCE).micro_batch == 14
    assert destination.n_received == 1
    with pytest.raises(RuntimeError, match="from host 0 must be of generation 4, got 5"):
        destination.receive(SOURCE)


@pytest.mark.parametrize("wrong", ["own key", "server key", "other peer's channel"])
def test_stranger_gets_nothing_through(bench, thread, wrong):
    friend, server, third = (Keys.generate() for _ in range(3))
    destination = bench.open(keys=server)
    address = destination.listen(SOURCE, bench.interface("tcp", friend.public))
    destination.listen(2, bench.interface("tcp", third.public))
    own = {"own key": Keys.generate(), "server key": friend, "other peer's channel": third}[wrong]
    stranger = bench.open(keys=own, capacity=2)
    server_key = third.public if wrong == "server key" else server.public
    stranger.connect(DESTINATION, address, server_key)
    waiting = thread.submit(destination.receive, SOURCE)

    with pytest.raises(
        ChannelLost, match="channel to host 1 is lost: the peer closed the connection or"
    ):
        send_until_stopped(stranger)

    assert not waiting.done()
    destination.stop()
    assert isinstance(waiting.exception(), ChannelStopped)


def test_unencrypted_stranger_gets_nothing_through(bench, thread):
    destination = bench.open(keys=Keys.generate())
    address = destination.listen(SOURCE, bench.interface("tcp", Keys.generate().public))
    waiting = thread.submit(destination.receive, SOURCE)

    with zmq.Context() as context, context.socket(zmq.PUSH) as stranger:
        stranger.linger = 0
        stranger.sndtimeo = 200  # once it is rejected it has no peer, and would wait for ever
        stranger.connect(address)
        with contextlib.suppress(zmq.Again):
            stranger.send_multipart(encode(message()))
        time.sleep(0.2)

    assert not waiting.done()
    destination.stop()
    assert isinstance(waiting.exception(), ChannelStopped)


@pytest.mark.parametrize("kind", KINDS)
def test_source_learns_that_its_destination_is_gone(bench, kind):
    source, destination = bench.pair(kind, capacity=2)
    source.send(DESTINATION, message())
    destination.receive(SOURCE)

    destination.close()

    with pytest.raises(ChannelLost, match="channel to host 1 is lost"):
        send_until_stopped(source)


@pytest.mark.parametrize("kind", KINDS)
def test_what_arrived_outlives_its_source(bench, kind):
    source, destination = bench.pair(kind)
    for m in range(3):
        source.send(DESTINATION, message(m))
    first = destination.receive(SOURCE).micro_batch
    time.sleep(0.2)

    source.close()

    assert [first, *(destination.receive(SOURCE).micro_batch for _ in range(2))] == [0, 1, 2]

    with pytest.raises(ChannelLost, match="the channel from host 0 is lost"):
        destination.receive(SOURCE)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_busy_host_with_a_full_queue_is_not_taken_for_a_dead_one(bench, thread, kind):
    source, destination = bench.pair(kind, capacity=2)
    big = [message(m, n_values=1 << 20) for m in range(12)]
    sending = thread.submit(lambda: [source.send(DESTINATION, each) for each in big])
    got = []
    for _ in big:
        time.sleep(0.7)
        got.append(destination.receive(SOURCE).micro_batch)
    sending.result()

    assert got == list(range(12))


@pytest.mark.parametrize("kind", KINDS)
def test_a_peer_that_does_not_connect_is_named(bench, kind):
    _, destination = bench.pair(kind)
    destination.await_peers(10)
    destination.listen(7, bench.interface(kind, Keys.generate().public))
    with pytest.raises(ChannelLost, match="host 7 has not connected") as failure:
        destination.await_peers(0.05)

    assert failure.value.peer == 7


def test_close_leaves_no_files_and_may_be_repeated(bench):
    source, destination = bench.pair("socket")
    assert len(list(bench.folder.iterdir())) == 1

    for _ in range(2):
        source.close()
        destination.close()

    assert list(bench.folder.iterdir()) == []
    with pytest.raises(ChannelStopped):
        source.send(DESTINATION, message())
    with pytest.raises(ChannelStopped, match="channels are closed"):
        destination.listen(5, Unix(folder=bench.folder))
    with pytest.raises(ChannelStopped, match="channels are closed"):
        destination.connect(5, "unix:///tmp/unused")


def test_channels_that_are_connected_have_no_files(bench):
    _, destination = bench.pair("shared memory")

    destination.await_peers(10)

    assert list(bench.folder.iterdir()) == []


def test_secret_key_is_not_printed():
    keys = Keys.generate()

    assert keys.secret.decode() not in repr(keys)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "*", "", "eth0", "localhost"])
def test_host_that_is_not_one_address_is_refused(host):
    with pytest.raises(ValueError, match=r"Tcp\.host must be one IP address of this node, got '"):
        Tcp(host=host, client_key=Keys.generate().public)


def test_short_key_is_refused():
    with pytest.raises(ValueError, match=r"Tcp\.client_key must be 40 bytes of Z85, got 3 bytes"):
        Tcp(host="127.0.0.1", client_key=b"key")


def test_tcp_without_keys_is_refused(bench):
    channels = bench.open()
    key = Keys.generate().public

    with pytest.raises(ValueError, match=r"Channels\.keys must be given to listen on tcp"):
        channels.listen(0, bench.interface("tcp", key))
    with pytest.raises(ValueError, match=r"Channels\.keys and server_key must be given for tcp"):
        channels.connect(0, "tcp://127.0.0.1:9999", key)
    with pytest.raises(ValueError, match=r"Channels\.keys and server_key must be given for tcp"):
        bench.open(keys=Keys.generate()).connect(0, "tcp://127.0.0.1:9999")


def test_folder_that_others_can_enter_is_refused(bench):
    bench.folder.chmod(0o750)

    with pytest.raises(ValueError, match=r"Unix\.folder must be .* mode 0700, got .* mode 0750"):
        bench.open().listen(0, Unix(folder=bench.folder))


def test_folder_that_inherits_a_group_is_allowed(bench):
    """A folder in a folder with the set-group-id bit has that bit as well."""
    bench.folder.chmod(0o2700)
    assert bench.folder.stat().st_mode & 0o7777 == 0o2700

    source, destination = bench.pair("socket")
    source.send(DESTINATION, message(3))

    assert destination.receive(SOURCE).micro_batch == 3


@pytest.mark.parametrize("kind", KINDS)
def test_only_listening_on_tcp_takes_a_thread(bench, kind):
    bench.pair(kind)

    running = [each for each in threading.enumerate() if isinstance(each, AuthenticationThread)]
    assert len(running) == (kind == "tcp")


def test_a_destination_that_is_gone_before_its_source_connects_is_named(bench):
    address = str(bench.folder / "gone")

    with pytest.raises(ChannelLost, match="host 1 does not listen any more") as failure:
        bench.open().connect(DESTINATION, f"unix://{address}")

    assert failure.value.peer == DESTINATION


def test_long_folder_is_refused(bench):
    folder = bench.folder / ("x" * 100)
    folder.mkdir(mode=0o700)

    with pytest.raises(
        ValueError, match=r"Unix\.folder must leave a socket path of <= 107 bytes.*set TMPDIR"
    ):
        bench.open().listen(0, Unix(folder=folder))


def test_second_channel_to_a_peer_is_refused(bench):
    source, destination = bench.pair("socket")

    with pytest.raises(ValueError, match=r"Channels\.listen must be called once per peer, got 0"):
        destination.listen(SOURCE, Unix(folder=bench.folder))
    with pytest.raises(ValueError, match=r"Channels\.connect must be called once per peer, got 1"):
        source.connect(DESTINATION, "unix:///tmp/unused")


def test_unknown_kind_is_refused(bench):
    with pytest.raises(ValueError, match="address must begin with unix:// or tcp://, got 'ipc:"):
        bench.open().connect(0, "ipc://here")


def test_capacity_below_one_is_refused():
    with pytest.raises(ValueError, match=r"Channels\.capacity must be >= 1, got 0"):
        Channels(generation=0, capacity=0)
