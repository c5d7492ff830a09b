"""docs/board-protocol.md says what the code does: its exchange, its fields and its limits."""

from dataclasses import fields
from pathlib import Path
from textwrap import wrap

import numpy as np
import pytest

from crossmesh.tiles.boards import serving
from crossmesh.tiles.boards.frames import MAX_BYTES, Frames, framed
from crossmesh.tiles.boards.hardware import ABILITIES, Description
from crossmesh.tiles.boards.keys import proof
from crossmesh.tiles.boards.messages import OPS, packed, unpacked

PAGE = (Path(__file__).parents[3] / "docs" / "board-protocol.md").read_text("utf-8")
SESSION, BOOT, NONCE = bytes(range(8)), bytes(range(0xB0, 0xB8)), bytes(range(16))
FIRST, BOTH = np.zeros(1, np.uint16), np.arange(2, dtype=np.uint16)
REQUESTS = {
    "a greeting": {"id": 0, "op": "hello"},
    "a read of word line 0, bit lines 0 and 1": {
        "id": 1, "op": "read", "rows": FIRST, "cols": BOTH,
    },
    "3 up pulses of device (0, 1), and a read of it": {
        "id": 2, "op": "pulse", "rows": FIRST, "cols": BOTH[1:], "counts": np.full(1, 3, np.int16),
        "volts": 0.0, "width_s": 0.0, "read_rows": FIRST, "read_cols": BOTH[1:],
    },
    "a request that skips a number": {"id": 4, "op": "status"},
}  # fmt: skip


class Small:
    """Devices at 20 uS, whose pulses add 1 uS."""

    description = Description(
        name="small", rows=2, cols=2, off_siemens=0.0, on_siemens=1e-4, max_cells=64
    )

    def __init__(self):
        self.siemens = np.full((2, 2), 2e-5, np.float32)

    def read(self, rows, cols):
        return self.siemens[np.ix_(rows, cols)]

    def pulse(self, rows, cols, counts, volts, width_s):
        np.add.at(self.siemens, (rows, cols), np.float32(1e-6) * counts)


def lines(mark, message):
    """A frame in hexadecimal digits, as the page has it."""
    return wrap(framed(message).hex(), 96, initial_indent=f"{mark} ", subsequent_indent="  ")


@pytest.fixture
def service(monkeypatch):
    monkeypatch.setattr(serving.os, "urandom", lambda n: BOOT if n == len(BOOT) else NONCE)
    monkeypatch.setattr(serving.time, "monotonic", lambda: 0.0)
    return serving.Service(Small())


def test_the_exchange_is_what_a_service_answers(service):
    found = []
    for name, request in REQUESTS.items():
        message = packed({"session": SESSION, **request})
        answer = service.answered(message, serving.Visitor(is_known=False))
        found += [f"# {name}", *lines(">", message), *lines("<", answer)]

    assert "\n".join(found) in PAGE, "\n".join(found)


def test_the_worked_frame_is_a_frame():
    message = packed({"session": SESSION, "id": 0, "op": "hello"})
    frame = framed(message)
    parts = frame[:8], frame[8:12], message, frame[-4:]
    for name, part in zip(("begins", "checksum", "message", "checksum"), parts, strict=True):
        assert any(name in line and part.hex(" ") in line for line in PAGE.splitlines()), (
            f"{name}: {part.hex(' ')}"
        )
    assert unpacked(next(Frames().fed(frame)))["op"] == "hello"


def test_the_proof_is_that_of_the_token():
    shown = proof(b"a token of 20 bytes!", NONCE, SESSION).hex()

    assert NONCE.hex() in PAGE
    assert shown in PAGE, shown


def test_every_request_ability_and_field_is_there():
    for name in (*OPS, *ABILITIES, *(field.name for field in fields(Description))):
        assert f"`{name}`" in PAGE, name
    assert f"{MAX_BYTES:,} bytes" in PAGE
