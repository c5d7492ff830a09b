"""Whatever is asked of a board or answered by one, neither end breaks, and nothing odd is used."""

import contextlib
import socket
import threading

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmesh.tiles.boards.access import Access, BoardError
from crossmesh.tiles.boards.addresses import address_of
from crossmesh.tiles.boards.client import BoardClient
from crossmesh.tiles.boards.frames import Frames, framed
from crossmesh.tiles.boards.messages import OPS, described, packed, unpacked
from crossmesh.tiles.boards.serving import Service, Visitor
from tests.tiles.boards.board_material import ALL, lines, simulated

SESSION = bytes(range(8))
ODD = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(), st.text(max_size=4),
    st.binary(max_size=24), st.lists(st.integers(0, 9), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(0, 9), max_size=2),
)  # fmt: skip
LINES = st.lists(st.integers(0, 7), max_size=6).map(lambda n: np.array(n, "<u2").tobytes())
NAMES = ("rows", "cols", "counts", "volts", "width_s", "siemens", "tolerance", "pulses",
         "read_rows", "read_cols", "backward", "proof")  # fmt: skip
FIELDS = st.dictionaries(st.sampled_from(NAMES), st.one_of(ODD, LINES), max_size=8)


@given(st.lists(st.tuples(st.one_of(st.sampled_from(OPS), ODD), FIELDS), max_size=6))
def test_a_service_answers_every_request(requests):
    board = simulated()
    service, visitor = Service(board), Visitor(is_known=True)
    service.answered(packed({"session": SESSION, "id": 0, "op": "hello"}), visitor)
    number = 0
    for op, fields in requests:
        number += op != "hello"
        message = {"session": SESSION, "id": number if op != "hello" else 0, "op": op, **fields}
        answer = unpacked(service.answered(msgpack.packb(message), visitor))
        assert answer["id"] == message["id"]
        assert ("ok" in answer) != ("says" in answer)
        assert "\n" not in answer.get("says", "")
    siemens = board.read(*ALL)
    assert np.isfinite(siemens).all()


@contextlib.contextmanager
def answered(results):
    """A client, whose requests are answered by these results in turn."""
    with socket.create_server(("127.0.0.1", 0)) as door:

        def answer():
            with contextlib.suppress(OSError), door.accept()[0] as stream:
                frames, left = Frames(), iter(results)
                while data := stream.recv(1 << 16):
                    for message in frames.fed(data):
                        asked = unpacked(message)
                        whose = {"session": asked["session"], "id": asked["id"]}
                        stream.sendall(framed(packed({**whose, **next(left)})))

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        access = Access(address_of(f"tcp:127.0.0.1:{door.getsockname()[1]}"), patience_s=2)
        with contextlib.closing(BoardClient(access)) as client:
            yield client


HELLO = {"describes": described(simulated().description), "boot": b"1", "last": 0}


@pytest.mark.parametrize(
    ("result", "says"),
    [
        ({"ok": {}}, "siemens must be bytes of <f4, got NoneType"),
        ({"ok": {"siemens": bytes(5)}}, "siemens must be bytes of <f4"),
        ({"ok": {"siemens": bytes(8)}}, "siemens must have 1 numbers, got 2"),
        ({"ok": {"siemens": np.array([np.inf])}}, "siemens must be finite numbers"),
        ({"ok": 7}, "answers neither ok nor error"),
        ({}, "answers neither ok nor error"),
        ({"error": "fault"}, "answers: fault"),
    ],
)
def test_an_answer_that_is_none_is_an_error_of_one_line(result, says):
    with answered([{"ok": HELLO}, result]) as client, pytest.raises(BoardError) as caught:
        client.read(lines(0), lines(0))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("describes", "says"),
    [
        (None, "describes must be a map, got NoneType"),
        ({}, "describes is wrong: "),
        ({**HELLO["describes"], "rows": 0}, "Description.rows must be 1 to 65536, got 0"),
        ({**HELLO["describes"], "cols": "5"}, "describes.cols is '5', which it cannot be"),
        ({**HELLO["describes"], "on_siemens": 0.0}, "Description.on_siemens must be above"),
        ({**HELLO["describes"], "max_cells": 0}, "Description.max_cells must be 1 to 65536, got 0"),
    ],
)
def test_a_board_that_describes_itself_wrongly_is_refused(describes, says):
    with pytest.raises(BoardError) as caught, answered([{"ok": {**HELLO, "describes": describes}}]):
        pass
    assert says in str(caught.value)


def test_what_a_later_version_describes_beside_is_left_out():
    describes = {**HELLO["describes"], "color": "red", "can": ["set", "fly"]}
    with answered([{"ok": {**HELLO, "describes": describes}}]) as client:
        assert client.description.can == ("set",)
