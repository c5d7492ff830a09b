"""Requests are carried out once; boards that start anew say so; transcripts are replayed."""

import contextlib
import os

import numpy as np
import pytest

from crossmesh.tiles.boards.access import Access, BoardError, BoardRestarted
from crossmesh.tiles.boards.addresses import address_of
from crossmesh.tiles.boards.client import BoardClient
from crossmesh.tiles.boards.hardware import Description
from crossmesh.tiles.boards.keys import new_keys
from crossmesh.tiles.boards.messages import SESSION_BYTES, packed, unpacked
from crossmesh.tiles.boards.serving import Service, Visitor
from tests.tiles.boards.board_material import ALL, RETRIES, lines, served, simulated
from tests.tiles.boards.faulty_lines import serial_pair

FIVE = np.array([5], np.int16)
PULSE = {"op": "pulse", "rows": lines(1), "cols": lines(2), "counts": FIVE}


class Asking:
    """One user of a service, without a line."""

    def __init__(self, service):
        self.service, self.session = service, os.urandom(SESSION_BYTES)
        self.visitor = Visitor(is_known=True)

    def __call__(self, number, **fields):
        request = packed({"session": self.session, "id": number, **fields})
        return unpacked(self.service.answered(request, self.visitor))


def writes(board):
    """How often devices were pulsed or set."""
    return int(board.saved()["counts"][1])


def test_a_request_that_comes_again_is_answered_again_and_not_carried_out():
    board = simulated()
    ask, other = Asking(Service(board)), Asking(Service(board))
    assert ask(1, **PULSE)["error"] == "order"  # before a greeting, which says what was done
    assert ask(0, op="hello")["ok"]["last"] == 0
    first = ask(1, **PULSE)
    assert [ask(1, **PULSE), ask(1, **PULSE)] == [first, first]
    assert writes(board) == 1
    assert ask(0, op="hello")["ok"]["last"] == 1
    for wrong in (0, 3, 2**32 - 1):
        assert ask(wrong, **PULSE)["error"] == "order"
    assert other(0, op="hello")["ok"]["last"] == 0
    assert writes(board) == 1
    assert "ok" in ask(2, **PULSE)
    assert writes(board) == 2


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"op": "melt"}, "op must be one of hello, read, pulse, set, product, status, got 'melt'"),
        ({"op": "read"}, "rows must be bytes of <u2, got NoneType"),
        ({"op": "read", "rows": lines(6), "cols": lines(0)}, "rows must be below 6, got 6"),
        ({"op": "read", "rows": b"a", "cols": lines(0)}, "rows must be bytes of <u2, got bytes"),
        ({**PULSE, "cols": lines(1, 2)}, "rows and cols must be as many, got 1 and 2"),
        ({**PULSE, "counts": b""}, "counts must have 1 numbers, got 0"),
        ({**PULSE, "volts": 7.0}, "volts must be at most 1, got 7"),
        ({**PULSE, "volts": 0.5}, "its pulses are of 1 V, got 0.5 V"),
        ({**PULSE, "width_s": -1}, "width_s must be a number of at least 0, got -1"),
        (
            {"op": "set", "rows": lines(1), "cols": lines(2), "siemens": np.array([np.nan])},
            "siemens must be finite numbers",
        ),
        (
            {"op": "product", "rows": lines(1, 2), "cols": lines(0), "volts": np.ones(3)},
            "volts must be a multiple of 2 numbers, got 3",
        ),
        (
            {"op": "read", "rows": lines(*[0] * 300), "cols": lines(*[0] * 300)},
            "devices must be at most 4096, got 90000",
        ),
    ],
)
def test_what_a_board_cannot_do_is_refused_in_a_line(fields, says):
    board = simulated()
    ask = Asking(Service(board))
    ask(0, op="hello")

    assert ask(1, **fields)["says"] == says
    assert writes(board) == 0
    assert "ok" in ask(2, **PULSE)


def test_what_is_no_request_gets_no_answer():
    service = Service(simulated())
    for data in (b"", b"\xc1", packed({"id": 1}), b"\x93\1\2\3", packed({"session": bytes(8)})):
        assert service.answered(data, Visitor(is_known=True)) is None


class Melting:
    """A board whose devices are out of reach."""

    description = Description(name="melting", rows=2, cols=2, off_siemens=0, on_siemens=1)

    def read(self, rows, cols):
        raise OSError("the driver has lost its chip")


def test_a_fault_of_the_hardware_is_told_to_the_client(tmp_path):
    with served(f"unix:{tmp_path / 'b'}", Melting()) as serving, serving.met() as client:
        with pytest.raises(BoardError, match="answers: OSError: the driver has lost its chip"):
            client.read(lines(0), lines(0))
        assert client.status().done == 1


@pytest.mark.parametrize("kind", ["unix", "curve", "serial"])
def test_a_board_that_starts_anew_is_noticed_also_where_the_line_stays(kind, tmp_path):
    """As it is with a serial port, and with a socket of ZeroMQ."""
    keys, own = {}, None
    with contextlib.ExitStack() as stack:
        at = f"unix:{tmp_path / 'b'}"
        if kind == "curve":
            own, keys["keys"] = new_keys(tmp_path / "keys")
            at = "curve:127.0.0.1:0"
        here, there = stack.enter_context(serial_pair())
        if kind == "serial":
            at = f"serial:{there}"
        board, again = simulated(), simulated()
        with served(at, board, keys=own) as serving:
            where = address_of(f"serial:{here}") if kind == "serial" else serving.address
            access = Access(where, **RETRIES, **keys)
            client = stack.enter_context(contextlib.closing(BoardClient(access)))
            client.pulse(lines(1), lines(2), FIVE)
            client.pulse(lines(1), lines(2), FIVE)
        at = str(serving.address)
        with served(at, again, keys=own):
            with pytest.raises(BoardRestarted, match="has started anew"):
                client.pulse(lines(1), lines(2), FIVE)
            assert client.starts == 1
            client.pulse(lines(1), lines(2), FIVE)
            assert client.status().done == 1
    assert [writes(board), writes(again)] == [2, 1]


def test_a_transcript_gives_the_same_answers_without_a_board(tmp_path):
    path = tmp_path / "folder" / "a.transcript"

    def worked(client):
        seen = [client.pulse(lines(1, 3), lines(2, 2), np.array([7, -4], np.int16), read=ALL)]
        seen += [client.set(lines(0), lines(0), np.array([5e-8], np.float32)), client.read(*ALL)]
        return seen

    with (
        served(f"unix:{tmp_path / 'b'}", simulated(read_noise=0.01)) as serving,
        serving.met(transcript=path) as client,
    ):
        asked = worked(client)
    access = Access(address_of(f"replay:{path}"))
    with contextlib.closing(BoardClient(access)) as client:
        for told, seen in zip(worked(client), asked, strict=True):
            np.testing.assert_array_equal(told, seen)
        with pytest.raises(BoardError, match="ends here"):
            client.status()
        other = BoardClient(access)
        with pytest.raises(BoardError, match="does something else than the transcript"):
            other.read(*ALL)


def test_a_transcript_of_a_run_that_was_resumed_is_replayed_up_to_there(tmp_path):
    path = tmp_path / "t"
    with served(f"unix:{tmp_path / 'b'}") as serving:
        for _ in range(2):
            with serving.met(transcript=path) as client:
                client.read(*ALL)
    with contextlib.closing(BoardClient(Access(address_of(f"replay:{path}")))) as client:
        client.read(*ALL)
        with pytest.raises(BoardError, match="is of a run that was resumed from here on"):
            client.read(*ALL)


def test_a_transcript_holds_that_a_board_has_started_anew(tmp_path):
    path = tmp_path / "a.transcript"
    at = f"unix:{tmp_path / 'b'}"

    def worked(client):
        with pytest.raises(BoardRestarted):
            client.pulse(lines(1), lines(2), FIVE)
        return client.read(*ALL)

    with served(at) as serving:
        client = BoardClient(serving.access(transcript=path))
        client.pulse(lines(1), lines(2), FIVE)
    with served(at), contextlib.closing(client):
        asked = worked(client)
    with contextlib.closing(BoardClient(Access(address_of(f"replay:{path}")))) as client:
        client.pulse(lines(1), lines(2), FIVE)
        np.testing.assert_array_equal(worked(client), asked)
        assert client.starts == 1


def test_a_damaged_transcript_is_not_taken_for_another_one(tmp_path):
    path = tmp_path / "a.transcript"
    with served(f"unix:{tmp_path / 'b'}") as serving, serving.met(transcript=path) as client:
        for _ in range(3):
            client.read(*ALL)
    whole = bytearray(path.read_bytes())
    path.write_bytes(whole[:-5])  # while it was being written
    with contextlib.closing(BoardClient(Access(address_of(f"replay:{path}")))) as client:
        client.read(*ALL)
        client.read(*ALL)
        with pytest.raises(BoardError, match="ends here"):
            client.read(*ALL)
    whole[-50] ^= 4
    path.write_bytes(whole)
    with contextlib.closing(BoardClient(Access(address_of(f"replay:{path}")))) as client:
        client.read(*ALL)
        client.read(*ALL)
        with pytest.raises(BoardError, match="is damaged"):
            client.read(*ALL)
    with pytest.raises(BoardError, match="none cannot be read: No such file"):
        BoardClient(Access(address_of(f"replay:{tmp_path / 'none'}")))


def test_what_a_board_says_is_one_line_of_letters(tmp_path):
    hardware = simulated()

    def burns(*arguments):
        raise OSError("burnt\n\x1b[2J" + 2000 * "!")

    hardware.read = burns
    with (
        served(f"unix:{tmp_path / 'b'}", hardware) as serving,
        serving.met() as client,
        pytest.raises(BoardError) as error,
    ):
        client.read(lines(1), lines(2))
    assert str(error.value).isprintable()
    assert "answers: OSError: burnt  [2J!!!" in str(error.value)
    assert len(str(error.value)) < 700
