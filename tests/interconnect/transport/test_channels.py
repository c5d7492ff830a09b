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

from crossmesh.interconnect.transport.channels import ChannelLost, Channels, ChannelStopped
from crossmesh.interconnect.transport.endpoints import Ipc, Keys, Tcp
from crossmesh.interconnect.transport.messages import Message, encode

SCHEMES = ("ipc", "tcp")
SOURCE, DESTINATION = 0, 1


def message(micro_batch=0, *, generation=0, n_values=256) -> Message:
    payload = np.full(n_values, micro_batch, np.float32)
    return Message(generation, micro_batch, 0, "activation", payload)


@dataclass
class Bench:
    """Makes channels, and closes them at the end of a test."""

    folder: Path
    stack: ExitStack = field(default_factory=ExitStack)

    def open(self, *, generation=0, capacity=16, keys=None) -> Channels:
        """Channels that fail, rather than hang, a test that waits for what never comes."""
        channels = self.stack.enter_context(
            closing(Channels(generation=generation, capacity=capacity, keys=keys))
        )
        deadline = Timer(10, channels.stop)
        deadline.start()
        self.stack.callback(deadline.cancel)
        return channels

    def pair(self, scheme, **settings) -> tuple[Channels, Channels]:
        """Source and destination of one channel."""
        keys = Keys.generate(), Keys.generate()
        source, destination = (self.open(keys=k, **settings) for k in keys)
        address = destination.listen(SOURCE, self.interface(scheme, keys[0].public))
        source.connect(DESTINATION, address, keys[1].public)
        return source, destination

    def interface(self, scheme, client_key) -> Ipc | Tcp:
        """Where to listen for the owner of ``client_key``."""
        if scheme == "ipc":
            return Ipc(folder=self.folder)
        return Tcp(host="127.0.0.1", client_key=client_key)


@pytest.fixture
def bench(tmp_path):
    tmp_path.chmod(0o700)
    bench = Bench(tmp_path)
    with bench.stack:
        yield bench


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


@pytest.mark.parametrize("scheme", SCHEMES)
def test_messages_arrive_in_order_and_are_counted(bench, thread, scheme):
    source, destination = bench.pair(scheme, capacity=3)
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


@pytest.mark.parametrize("scheme", SCHEMES)
def test_messages_cross_processes(bench, scheme):
    keys = Keys.generate()
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    with ours, theirs:
        process = context.Process(target=echo, args=(theirs, bench.folder, scheme, keys.public))
        process.start()
        try:
            address, their_key = ours.recv()
            here = bench.open(keys=keys)
            ours.send(here.listen(1, bench.interface(scheme, their_key)))
            here.connect(1, address, their_key)
            for m in range(20):
                here.send(1, message(m, n_values=1 << 12))
            got = [here.receive(1).micro_batch for _ in range(20)]
            ours.send("received")
        finally:
            process.join(10)

    assert got == list(range(20))
    assert process.exitcode == 0


def echo(pipe, folder, scheme, client_key) -> None:
    """Send back what arrives, in a process of its own."""
    keys = Keys.generate()
    with closing(Channels(generation=0, capacity=16, keys=keys)) as channels:
        address = channels.listen(0, Bench(folder).interface(scheme, client_key))
        pipe.send((address, keys.public))
        channels.connect(0, pipe.recv(), client_key)
        for _ in range(20):
            channels.send(0, channels.receive(0))
        pipe.recv()


def test_sent_payload_may_change_at_once(bench):
    source, destination = bench.pair("ipc")
    sent = message(7, n_values=1 << 16)

    source.send(DESTINATION, sent)
    sent.payload[:] = 0

    assert np.all(destination.receive(SOURCE).payload == 7)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("capacity", [1, 6])
def test_full_queue_blocks_its_source(bench, thread, scheme, capacity):
    source, destination = bench.pair(scheme, capacity=capacity)
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


def test_full_queue_leaves_other_channels_free(bench, thread):
    flooding, destination = bench.pair("ipc", capacity=1)
    other = bench.open()
    other.connect(DESTINATION, destination.listen(2, Ipc(folder=bench.folder)))
    flood = thread.submit(send_until_stopped, flooding)
    settled_n_sent(flooding)

    other.send(DESTINATION, message(5))

    assert destination.receive(2).micro_batch == 5
    assert not flood.done()
    flooding.stop()


@pytest.mark.parametrize("blocked", [lambda c: c.receive(SOURCE), send_until_stopped])
def test_stop_ends_a_blocked_call_and_refuses_later_ones(bench, thread, blocked):
    source, destination = bench.pair("ipc", capacity=1)
    channels = source if blocked is send_until_stopped else destination
    waiting = thread.submit(blocked, channels)
    time.sleep(0.15)
    assert not waiting.done()

    start = time.perf_counter()
    channels.stop()

    assert isinstance(waiting.exception(timeout=1), ChannelStopped)
    assert time.perf_counter() - start < 0.5
    with pytest.raises(ChannelStopped, match="channels were stopped"):
        blocked(channels)


def test_older_messages_are_dropped_and_newer_ones_refused(bench):
    source, destination = bench.pair("ipc", generation=4)
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


@pytest.mark.parametrize("scheme", SCHEMES)
def test_source_learns_that_its_destination_is_gone(bench, scheme):
    source, destination = bench.pair(scheme, capacity=2)
    source.send(DESTINATION, message())
    destination.receive(SOURCE)

    destination.close()

    with pytest.raises(ChannelLost, match="channel to host 1 is lost"):
        send_until_stopped(source)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_arrived_outlives_its_source(bench, scheme):
    source, destination = bench.pair(scheme)
    for m in range(3):
        source.send(DESTINATION, message(m))
    first = destination.receive(SOURCE).micro_batch
    time.sleep(0.2)

    source.close()

    assert [first, *(destination.receive(SOURCE).micro_batch for _ in range(2))] == [0, 1, 2]

    with pytest.raises(ChannelLost, match="the channel from host 0 is lost"):
        destination.receive(SOURCE)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_busy_host_with_a_full_queue_is_not_taken_for_a_dead_one(bench, thread, scheme):
    source, destination = bench.pair(scheme, capacity=2)
    big = [message(m, n_values=1 << 20) for m in range(12)]
    sending = thread.submit(lambda: [source.send(DESTINATION, each) for each in big])
    got = []
    for _ in big:
        time.sleep(0.7)
        got.append(destination.receive(SOURCE).micro_batch)
    sending.result()

    assert got == list(range(12))


def test_a_peer_that_does_not_connect_is_named(bench):
    _, destination = bench.pair("ipc")
    destination.await_peers(10)
    destination.listen(7, Ipc(folder=bench.folder))
    with pytest.raises(ChannelLost, match="host 7 has not connected") as failure:
        destination.await_peers(0.05)

    assert failure.value.peer == 7


def test_close_leaves_no_files_and_may_be_repeated(bench):
    source, destination = bench.pair("ipc")
    assert len(list(bench.folder.iterdir())) == 1

    for _ in range(2):
        source.close()
        destination.close()

    assert list(bench.folder.iterdir()) == []
    with pytest.raises(ChannelStopped):
        source.send(DESTINATION, message())
    with pytest.raises(ChannelStopped, match="channels are closed"):
        destination.listen(5, Ipc(folder=bench.folder))


def test_what_is_not_a_message_is_refused(bench):
    destination = bench.open()
    address = destination.listen(SOURCE, Ipc(folder=bench.folder))

    with zmq.Context() as context, context.socket(zmq.PUSH) as stranger:
        stranger.connect(address)
        stranger.send(b"garbage")
        stranger.send_multipart(encode(message(3)))
        with pytest.raises(ValueError, match="must have 2 frames, got 1"):
            destination.receive(SOURCE)
        assert destination.receive(SOURCE).micro_batch == 3


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

    with pytest.raises(ValueError, match=r"Ipc\.folder must be .* mode 0700, got .* mode 0750"):
        bench.open().listen(0, Ipc(folder=bench.folder))


def test_folder_that_inherits_a_group_is_allowed(bench):
    """A folder in a folder with the set-group-id bit has that bit as well."""
    bench.folder.chmod(0o2700)
    assert bench.folder.stat().st_mode & 0o7777 == 0o2700

    source, destination = bench.pair("ipc")
    source.send(DESTINATION, message(3))

    assert destination.receive(SOURCE).micro_batch == 3


@pytest.mark.parametrize("scheme", SCHEMES)
def test_only_listening_on_tcp_takes_a_thread(bench, scheme):
    bench.pair(scheme)

    running = [each for each in threading.enumerate() if isinstance(each, AuthenticationThread)]
    assert len(running) == (scheme == "tcp")


def test_long_folder_is_refused(bench):
    folder = bench.folder / ("x" * 100)
    folder.mkdir(mode=0o700)

    with pytest.raises(
        ValueError, match=r"Ipc\.folder must leave a socket path of <= 107 bytes.*set TMPDIR"
    ):
        bench.open().listen(0, Ipc(folder=folder))


def test_second_channel_to_a_peer_is_refused(bench):
    source, destination = bench.pair("ipc")

    with pytest.raises(ValueError, match=r"Channels\.listen must be called once per peer, got 0"):
        destination.listen(SOURCE, Ipc(folder=bench.folder))
    with pytest.raises(ValueError, match=r"Channels\.connect must be called once per peer, got 1"):
        source.connect(DESTINATION, "ipc:///tmp/unused")


def test_unknown_scheme_is_refused(bench):
    with pytest.raises(ValueError, match="address must begin with ipc:// or tcp://, got 'inproc:"):
        bench.open().connect(0, "inproc://here")


def test_capacity_below_one_is_refused():
    with pytest.raises(ValueError, match=r"Channels\.capacity must be >= 1, got 0"):
        Channels(generation=0, capacity=0)
