"""Suite for boards that are served, by an adapter or by firmware of one's own."""

import contextlib
import os
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from crossmesh.tiles.boards.access import Access
from crossmesh.tiles.boards.addresses import address_of
from crossmesh.tiles.boards.client import BoardClient
from crossmesh.tiles.boards.frames import Frames, framed
from crossmesh.tiles.boards.hardware import Description
from crossmesh.tiles.boards.keys import BoardKeys, proof
from crossmesh.tiles.boards.lines import opened
from crossmesh.tiles.boards.messages import SESSION_BYTES, array_of, packed, unpacked

_ANSWER_S, _SILENCE_S, _GIVEN_UP_S = 5.0, 0.2, 4.0
_BAD_FRAMES = {
    "noise": bytes(range(256)),
    "begins of headers": b"XXBXB\x01",
    "a frame with a wrong checksum": framed(b"\x80")[:-1] + b"\xff",
    "a frame of another version": b"XB\x63" + framed(b"\x80")[3:],
    "no msgpack": framed(b"\xc1"),
    "no map": framed(b"\x01"),
    "a map without session": framed(b"\x81\xa2id\x01"),
}


class BoardTests:
    """Rules of boards; devices of the first word line are pulsed.

    Needs ``address``, at which the board is served; nobody else may talk to it meanwhile.

    Attributes:
        address: As in a config: unix, tcp, curve or serial.
        token: Token that the board asks for, or None.
        keys: Keys of an encrypted line, or None.
        pulses: Up pulses after which a device has clearly moved.
    """

    address: ClassVar[str]
    token: ClassVar[bytes | None] = None
    keys: ClassVar[BoardKeys | None] = None
    pulses: ClassVar[int] = 5

    @contextlib.contextmanager
    def client(self) -> Iterator[BoardClient]:
        """A client of the board."""
        access = Access(address_of(self.address), self.token, self.keys, patience_s=10)
        with contextlib.closing(BoardClient(access)) as client:
            yield client

    @contextlib.contextmanager
    def greeted(self) -> Iterator["Wire"]:
        """Single messages to the board, which knows who they are of."""
        wire = Wire(self.address, self.token, self.keys)
        with contextlib.closing(wire):
            wire.greet()
            yield wire

    def test_reads_give_one_number_for_each_crossing(self) -> None:
        """In whatever order lines are named, and more than fit in a request."""
        with self.client() as client:
            board = client.description
            rows, cols = np.arange(board.rows), np.arange(board.cols)[::-1]
            siemens = client.read(rows.astype(np.uint16), cols.astype(np.uint16))
            assert siemens.shape == (board.rows, board.cols)
            assert siemens.max() > 0, "a board must have a device that conducts"

    def test_pulses_move_devices_their_way(self) -> None:
        """On average over a line; a device alone may be stuck."""
        with self.client() as client:
            rows, cols = _line(client.description)
            down = np.full(len(cols), -self.pulses, np.int16)
            client.pulse(rows, cols, down)
            low = client.read(rows[:1], cols).mean()
            high = client.pulse(rows, cols, -down, read=(rows[:1], cols)).mean()
            assert high > low, f"up pulses must raise conductances, got {low:g} and then {high:g} S"

    def test_a_device_can_be_set(self) -> None:
        """What is answered is what is read afterwards, nearer to the target than at first."""
        with self.client() as client:
            rows, cols = _line(client.description)
            board = client.description
            target = np.full(len(cols), (board.off_siemens + board.on_siemens) / 2, np.float32)
            before = client.read(rows[:1], cols)[0]
            found = client.set(rows, cols, target, tolerance=0.02 * board.on_siemens, pulses=500)
            assert np.abs(found - target).mean() <= np.abs(before - target).mean(), (
                f"set must bring devices nearer to {target[0]:g} S, got {found.mean():g} on average"
            )

    def test_status_counts_requests_and_time(self) -> None:
        """Of this client; the time never runs backwards."""
        with self.client() as client:
            first = client.status()
            second = client.status()
            assert (first.done, second.done) == (0, 1)
            assert second.time_s >= first.time_s

    def test_a_request_that_comes_twice_is_carried_out_once(self) -> None:
        """The second answer is the first, byte for byte, and does not count."""
        with self.greeted() as wire:
            one = np.zeros(1, np.uint16)
            read = {"read_rows": one, "read_cols": one}
            counts = np.ones(1, np.int16)
            pulse = {"op": "pulse", "rows": one, "cols": one, "counts": counts, **read}
            first = wire.bytes_of(1, **pulse)
            assert first == wire.bytes_of(1, **pulse), "a request that is repeated must be answered"
            assert wire.result(2, op="status")["done"] == 1, (
                "a repeated request must not count again"
            )

    def test_a_request_out_of_order_is_refused(self) -> None:
        """With ``order``; it is not carried out, and does not count."""
        with self.greeted() as wire:
            assert wire.message(2, op="status").get("error") == "order"
            assert wire.result(1, op="status")["done"] == 0

    def test_a_greeting_says_what_was_carried_out(self) -> None:
        """So that a client whose line failed can go on; another session begins at 0."""
        with self.greeted() as wire:
            hello = wire.greet()
            assert hello["last"] == 0
            wire.result(1, op="status")
            again = wire.greet()
            assert (again["last"], again["boot"]) == (1, hello["boot"])
            wire.session = os.urandom(SESSION_BYTES)
            assert wire.message(2, op="status").get("error") == "order", "hello must come first"
            assert wire.greet()["last"] == 0, "every session has its own numbers"

    def test_wrong_requests_are_refused(self) -> None:
        """With ``refused`` and a reason; each counts as carried out."""
        with self.greeted() as wire:
            board = wire.greet()["describes"]
            most = board.get("max_cells", 65536)
            one, two = np.zeros(1, np.uint16), np.zeros(2, np.uint16)
            beyond = np.full(1, min(board["rows"], 65535), np.uint16)
            wrong: dict[str, dict[str, Any]] = {
                "an unknown request": {"op": "explode"},
                "no lines": {"op": "read"},
                "text instead of lines": {"op": "read", "rows": "0", "cols": one},
                "half a number": {"op": "read", "rows": b"\0", "cols": one},
                "unequal lengths": {"op": "pulse", "rows": one, "cols": two, "counts": one},
                "too few counts": {"op": "pulse", "rows": two, "cols": two, "counts": one},
                "too high a voltage": {
                    "op": "pulse", "rows": one, "cols": one, "counts": one,
                    "volts": 2.0 * board.get("pulse_v", 1.0),
                },
                "a conductance that is not finite": {
                    "op": "set", "rows": one, "cols": one, "siemens": np.full(1, np.nan),
                },
            }  # fmt: skip
            if board["rows"] < 65536:
                wrong["a line that is not there"] = {"op": "read", "rows": beyond, "cols": one}
            if most < 65536:
                wrong["too many devices"] = {"op": "read", "rows": np.zeros(most + 1), "cols": one}
            for number, (name, request) in enumerate(wrong.items(), 1):
                answer = wire.message(number, **request)
                assert answer.get("error") == "refused", f"{name} must be refused, got {answer}"
                assert answer.get("says"), f"the answer to {name} must say why"
            assert wire.result(len(wrong) + 1, op="status")["done"] == len(wrong)

    def test_unknown_fields_are_ignored(self) -> None:
        """As a later version may send them, of whatever kind."""
        with self.greeted() as wire:
            later = {
                "later": [1, {"a": None, "b": [True, -1, 2.5, "text", b"bytes"]}],
                "big": 1 << 40,
            }
            one = np.zeros(1, np.uint16)
            answer = wire.result(1, op="read", rows=one, cols=one, **later)
            assert array_of(answer, "siemens", (1, 1)).size

    def test_what_is_no_request_gets_no_answer(self) -> None:
        """The next request is answered all the same."""
        with self.greeted() as wire:
            for name, data in _BAD_FRAMES.items():
                wire.send(data)
                assert not wire.answers(_SILENCE_S), f"{name} must get no answer"
            assert wire.result(1, op="status")["done"] == 0

    def test_a_frame_whose_rest_does_not_come_is_given_up(self) -> None:
        """After a second of silence; what stands behind its beginning is a request."""
        with self.greeted() as wire:
            wire.send(framed(bytes(1000))[:12] + wire.framed(1, op="status"))
            found = wire.answers(_GIVEN_UP_S)
            assert found, f"a cut frame must be given up after a silence of {_GIVEN_UP_S:g} s"
            assert unpacked(found[0])["ok"]["done"] == 0

    def test_a_frame_that_was_cut_is_skipped(self) -> None:
        """Whatever the place; it swallows nothing of what comes behind it."""
        with self.greeted() as wire:
            whole = wire.framed(1, op="status")
            for cut in range(1, len(whole)):
                wire.send(whole[:cut] + whole)
                found = wire.answers(_ANSWER_S)
                assert found, f"a frame behind one that was cut after {cut} bytes must be answered"
                assert unpacked(found[0])["ok"]["done"] == 0


def _line(board: Description) -> tuple[Any, Any]:
    """Devices of the first word line, 8 at most."""
    cols = np.arange(min(board.cols, 8), dtype=np.uint16)
    return np.zeros(len(cols), np.uint16), cols


class Wire:
    """Single messages to a board, without what a client does to have each carried out."""

    def __init__(self, address: str, token: bytes | None, keys: BoardKeys | None) -> None:
        self.session = os.urandom(SESSION_BYTES)
        self._token = token
        self._frames = Frames()
        self._line = opened(address_of(address), keys)

    def framed(self, number: int, **request: Any) -> bytes:
        """A request as a frame."""
        return framed(packed({"session": self.session, "id": number, **request}))

    def send(self, data: bytes) -> None:
        """Send bytes of whatever kind."""
        self._line.send(data)

    def answers(self, wait_s: float) -> list[bytes]:
        """Messages that have come once there is one, or nothing comes for a time."""
        found: list[bytes] = []
        while not found and (data := self._line.receive(wait_s)):
            found += self._frames.fed(data)
        return found

    def bytes_of(self, number: int, **request: Any) -> bytes:
        """The answer to a request."""
        self.send(self.framed(number, **request))
        found = self.answers(_ANSWER_S)
        assert found, f"the request {request.get('op')} must be answered within {_ANSWER_S:g} s"
        return found[0]

    def message(self, number: int, **request: Any) -> dict[str, Any]:
        """What a board answers."""
        answer = unpacked(self.bytes_of(number, **request))
        assert (answer["session"], answer["id"]) == (self.session, number), (
            "an answer must have the session and the id of its request"
        )
        return answer

    def result(self, number: int, **request: Any) -> dict[str, Any]:
        """What a board answers to a request that it must carry out."""
        answer = self.message(number, **request)
        assert isinstance(answer.get("ok"), dict), f"{request.get('op')} must be ok, got {answer}"
        return dict(answer["ok"])

    def greet(self) -> dict[str, Any]:
        """The answer to a greeting, with the proof that the board asks for."""
        answer = self.message(0, op="hello")
        if self._token is not None and "prove" in answer:
            shown = proof(self._token, answer["prove"], self.session)
            answer = self.message(0, op="hello", proof=shown)
        assert isinstance(answer.get("ok"), dict), f"a greeting must be answered, got {answer}"
        return dict(answer["ok"])

    def close(self) -> None:
        """End the connection."""
        self._line.close()
