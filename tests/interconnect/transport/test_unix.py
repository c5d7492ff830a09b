"""Sockets and shared memory within a node take nothing on trust and hold a queue of any length."""

import multiprocessing
import os
import signal
import socket
import threading
from contextlib import ExitStack, closing
from struct import Struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmesh.interconnect.transport import unix
from crossmesh.interconnect.transport.channels import ChannelLost, Channels
from crossmesh.interconnect.transport.endpoints import Unix
from crossmesh.interconnect.transport.messages import Message, encode
from crossmesh.interconnect.transport.rings import Ring, RingReader

HELLO = Struct("<11sI")
FRAME = Struct("<IIQ")
INLINE = (1 << 64) - 1


@pytest.fixture
def stack():
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def destination(stack):
    return stack.enter_context(closing(Channels(generation=0, capacity=4)))


@pytest.fixture
def address(destination, tmp_path):
    tmp_path.chmod(0o700)
    return destination.listen(0, Unix(folder=tmp_path))


def message(n_values=4) -> Message:
    return Message(0, 1, 2, "activation", np.arange(n_values, dtype=np.float32))


def stranger(stack, address, hello=(b"crossmesh 1", 4), descriptor=None) -> socket.socket:
    """A process of this user that speaks for itself."""
    connection = stack.enter_context(socket.socket(socket.AF_UNIX))
    connection.connect(address.removeprefix(unix.SCHEME))
    ring = stack.enter_context(closing(Ring()))
    given = ring.descriptor if descriptor is None else descriptor
    socket.send_fds(connection, [HELLO.pack(*hello)], [given])
    return connection


def frame(*, offset=INLINE, n_header=None, n_bytes=None) -> bytes:
    header, payload = encode(message())
    lengths = n_header or len(header), n_bytes or payload.nbytes
    return FRAME.pack(*lengths, offset) + header + bytes(payload)


@pytest.mark.parametrize("hello", [(b"GET / HTTP/", 4), (b"crossmesh 2", 4), (b"crossmesh 1", 0)])
def test_who_does_not_speak_as_we_do_is_turned_away(stack, destination, address, hello):
    wrong = stranger(stack, address, hello)
    with pytest.raises(ChannelLost, match="host 0 has not connected"):
        destination.await_peers(0.1)

    right = stranger(stack, address)
    destination.await_peers(10)
    right.sendall(frame())

    assert wrong.recv(1) == b""
    assert destination.receive(0).edge == 2


def test_memory_that_could_be_taken_away_is_refused(stack, destination, address):
    descriptor = os.memfd_create("unsealed")
    stack.callback(os.close, descriptor)
    stranger(stack, address, descriptor=descriptor)
    stranger(stack, address, descriptor=stack.enter_context(socket.socket()).fileno())

    for _ in range(2):
        with pytest.raises(ChannelLost, match="host 0 has not connected"):
            destination.await_peers(0.05)


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"n_header": 1 << 20}, "a frame must be of a message, got 1048576 and 16 bytes"),
        ({"n_bytes": 1 << 20}, "a frame must be of a message, got 36 and 1048576 bytes"),
        ({"offset": 4096}, "must lie within 0 bytes of shared memory, got 16 bytes from 4096"),
        ({"offset": 0, "n_bytes": (1 << 31) + 1}, "must be of a message, got 36 and 2147483649"),
    ],
)
def test_numbers_of_a_source_are_not_trusted(stack, destination, address, changes, rule):
    stranger(stack, address).sendall(frame(**changes))

    with pytest.raises(ValueError, match=rule):
        destination.receive(0)


def test_frames_may_arrive_in_any_pieces(stack, destination, address):
    connection = stranger(stack, address)
    pieces = frame() * 3
    sending = threading.Thread(
        target=lambda: [connection.sendall(pieces[i : i + 7]) for i in range(0, len(pieces), 7)]
    )
    sending.start()

    got = [destination.receive(0) for _ in range(3)]
    sending.join()

    assert all(np.array_equal(each.payload, message().payload) for each in got)


def killed_source(address) -> None:
    """Leave a small message and a large one in the channel, and die without a farewell."""
    channels = Channels(generation=0, capacity=4)
    channels.connect(1, address)
    for n_values in (4, 1 << 16):
        channels.send(1, message(n_values))
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_source_leaves_what_it_sent_and_nothing_else(destination, address, tmp_path):
    process = multiprocessing.get_context("spawn").Process(target=killed_source, args=(address,))
    process.start()
    process.join(60)

    for n_values in (4, 1 << 16):
        np.testing.assert_array_equal(destination.receive(0).payload, message(n_values).payload)
    with pytest.raises(ChannelLost, match="channel from host 0 is lost"):
        destination.receive(0)
    assert process.exitcode == -signal.SIGKILL
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_queues_longer_than_the_kernel_holds_do_not_stop_two_hosts(stack, tmp_path):
    """Each sends all of its messages before it looks for one of the other."""
    tmp_path.chmod(0o700)
    n = 6000
    hosts = [stack.enter_context(closing(Channels(generation=0, capacity=n))) for _ in range(2)]
    for here, there in ((0, 1), (1, 0)):
        hosts[here].connect(there, hosts[there].listen(here, Unix(folder=tmp_path)))

    def exchange(here: int) -> None:
        for _ in range(n):
            hosts[here].send(1 - here, message(64))
        for _ in range(n):
            hosts[here].receive(1 - here)

    threads = [threading.Thread(target=exchange, args=(here,)) for here in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert [host.n_received for host in hosts] == [n, n]


@given(st.lists(st.tuples(st.integers(1, 1 << 21), st.integers(0, 3)), max_size=60))
def test_a_ring_keeps_what_is_not_given_back(steps):
    """Payloads of any sizes, of which some of the oldest are read and given back at each step."""
    with closing(Ring()) as ring, closing(RingReader(os.dup(ring.descriptor))) as reader:
        held = []
        for number, (n_bytes, n_read) in enumerate(steps):
            payload = np.full(n_bytes, number, np.uint8)
            held.append((number, ring.write(payload.data, number), n_bytes))
            for oldest, offset, length in held[:n_read]:
                assert reader.read(offset, length) == bytes([oldest]) * length
                ring.give_back(oldest)
            held = held[n_read:]
        for number, offset, length in held:
            assert reader.read(offset, length) == bytes([number]) * length


def test_a_ring_whose_reader_keeps_up_stays_where_it_is():
    with closing(Ring()) as ring:
        offsets = set()
        for number in range(100):
            offsets.add(ring.write(np.zeros(1 << 18, np.uint8).data, number))
            ring.give_back(number)

    assert offsets == {0}


def test_a_ring_that_has_grown_gives_its_first_memory_back():
    with closing(Ring()) as ring:
        for number in range(64):
            ring.write(np.ones(1 << 20, np.uint8).data, number)
        full = os.fstat(ring.descriptor).st_blocks
        ring.give_back(62)

        assert os.fstat(ring.descriptor).st_blocks < 0.6 * full
