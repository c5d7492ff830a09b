"""Serving a board: sessions, in which every request is carried out once, and its errors."""

import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np

from crossmesh.tiles.boards.hardware import AbleHardware, Hardware
from crossmesh.tiles.boards.keys import NONCE_BYTES, is_proof
from crossmesh.tiles.boards.messages import (
    OPS,
    Malformed,
    array_of,
    described,
    number_of,
    packed,
    unpacked,
)
from crossmesh.tiles.boards.verifying import set_by_pulses

_SESSIONS = 256  # that are remembered
Result = dict[str, Any]


class RequestRefused(Exception):  # noqa: N818  because it names what happens
    """A request that cannot be carried out; the message says why."""


class Visitor:
    """Who is at the other end of a connection.

    Args:
        is_known: Whether the connection itself shows who it is.
    """

    def __init__(self, *, is_known: bool) -> None:
        self.is_known = is_known
        self.nonce = os.urandom(NONCE_BYTES)


class Service:
    """What a board answers, whatever line the requests come over; one after the other.

    Args:
        hardware: The devices.
        token: Token that visitors must show, or None.
    """

    def __init__(self, hardware: Hardware, token: bytes | None = None) -> None:
        self._hardware, self._token = hardware, token
        self._able = cast("AbleHardware", hardware)  # asked for no more than its description has
        self._boot = os.urandom(8)
        self._began = time.monotonic()
        self._sessions: dict[bytes, tuple[int, bytes]] = {}  # last request, and its answer
        self._lock = threading.Lock()
        self._ops: Mapping[str, Callable[[Mapping[str, Any]], Result]] = {
            "read": self._read,
            "pulse": self._pulse,
            "set": self._set,
            "product": self._product,
            "status": self._status,
        }

    def answered(self, data: bytes, visitor: Visitor) -> bytes | None:
        """The answer to a request; None: it is none, and gets none."""
        try:
            request = unpacked(data)
        except Malformed:
            return None
        with self._lock:
            return self._answered(request, visitor)

    def _answered(self, request: Mapping[str, Any], visitor: Visitor) -> bytes:
        session, number, op = request["session"], request["id"], request.get("op")
        whose = {"session": session, "id": number}
        if self._token is not None and not visitor.is_known:
            proof = request.get("proof") if op == "hello" else None
            if not is_proof(proof, self._token, visitor.nonce, session):
                return packed({**whose, "prove": visitor.nonce})
            visitor.is_known = True
        if op == "hello":
            return packed({**whose, "ok": self._hello(session)})
        last, kept = self._sessions.get(session, (-1, b""))
        if number == last and kept:
            return kept
        if number != last + 1 or last < 0:
            says = f"id must be {last + 1}, got {number}" if last >= 0 else "hello must come first"
            return packed({**whose, "error": "order", "says": says})
        answer = packed({**whose, **self._carried_out(op, request)})
        self._remember(session, number, answer)
        return answer

    def _remember(self, session: bytes, number: int, answer: bytes) -> None:
        self._sessions.pop(session, None)
        self._sessions[session] = number, answer
        while len(self._sessions) > _SESSIONS:
            del self._sessions[next(iter(self._sessions))]

    def _carried_out(self, op: Any, request: Mapping[str, Any]) -> Result:
        try:
            if op not in self._ops:
                raise RequestRefused(f"op must be one of {', '.join(OPS)}, got {op!r}")
            return {"ok": self._ops[op](request) | {"time_s": time.monotonic() - self._began}}
        except (Malformed, RequestRefused) as error:
            return {"error": "refused", "says": str(error)}
        except Exception as error:  # of the hardware, of whatever kind
            return {"error": "fault", "says": f"{type(error).__name__}: {error}"[:500]}

    def _hello(self, session: bytes) -> Result:
        last, kept = self._sessions.get(session, (0, b""))
        self._remember(session, last, kept)
        describes = described(self._hardware.description)
        return {"describes": describes, "boot": self._boot, "last": last}

    def _lines(self, request: Mapping[str, Any], prefix: str = "") -> tuple[Any, Any]:
        description = self._hardware.description
        found = []
        for name, most in (("rows", description.rows), ("cols", description.cols)):
            lines = array_of(request, prefix + name)
            if len(lines) and int(lines.max()) >= most:
                raise RequestRefused(f"{prefix}{name} must be below {most}, got {int(lines.max())}")
            found.append(lines)
        return found[0], found[1]

    def _crossings(self, request: Mapping[str, Any], prefix: str = "") -> tuple[Any, Any]:
        rows, cols = self._lines(request, prefix)
        self._check_number(len(rows) * len(cols))
        return rows, cols

    def _devices(self, request: Mapping[str, Any]) -> tuple[Any, Any]:
        rows, cols = self._lines(request)
        if len(rows) != len(cols):
            raise RequestRefused(f"rows and cols must be as many, got {len(rows)} and {len(cols)}")
        self._check_number(len(rows))
        return rows, cols

    def _check_number(self, n: int) -> None:
        most = self._hardware.description.max_cells
        if n > most:
            raise RequestRefused(f"devices must be at most {most}, got {n}")

    def _read(self, request: Mapping[str, Any]) -> Result:
        return {"siemens": self._hardware.read(*self._crossings(request))}

    def _pulse(self, request: Mapping[str, Any]) -> Result:
        rows, cols = self._devices(request)
        counts = array_of(request, "counts", (len(rows),))
        volts, width_s = number_of(request, "volts"), number_of(request, "width_s")
        if volts > self._hardware.description.pulse_v:
            most = self._hardware.description.pulse_v
            raise RequestRefused(f"volts must be at most {most:g}, got {volts:g}")
        read = self._crossings(request, "read_") if "read_rows" in request else None
        self._hardware.pulse(rows, cols, counts, volts, width_s)
        return {} if read is None else {"siemens": self._hardware.read(*read)}

    def _set(self, request: Mapping[str, Any]) -> Result:
        rows, cols = self._devices(request)
        wanted = array_of(request, "siemens", (len(rows),))
        if "set" in self._hardware.description.can:
            self._able.set(rows, cols, wanted)
        else:
            pulses = int(number_of(request, "pulses", 100))
            tolerance = number_of(request, "tolerance")
            set_by_pulses(self._hardware, rows, cols, wanted, tolerance, pulses)
        return {"siemens": self._each(rows, cols)}

    def _each(self, rows: Any, cols: Any) -> Any:
        """Conductance of each of some devices, read word line by word line."""
        siemens = np.zeros(len(rows), np.float32)
        for row in np.unique(rows):
            here = rows == row
            read = self._hardware.read(np.array([row], np.uint16), cols[here])
            siemens[here] = read.reshape(-1)
        return siemens

    def _product(self, request: Mapping[str, Any]) -> Result:
        if "product" not in self._hardware.description.can:
            raise RequestRefused("this board makes no products")
        rows, cols = self._lines(request)
        backward = bool(request.get("backward"))
        driven = len(cols if backward else rows)
        volts = array_of(request, "volts")
        if not driven or volts.size % driven:
            raise RequestRefused(f"volts must be a multiple of {driven} numbers, got {volts.size}")
        n = volts.size // driven
        if n > 1:
            self._check_number(n * max(len(rows), len(cols)))
        amperes = self._able.product(rows, cols, volts.reshape(n, driven), backward=backward)
        return {"amperes": amperes}

    def _status(self, request: Mapping[str, Any]) -> Result:
        last, _ = self._sessions.get(request["session"], (0, b""))
        has_celsius = "celsius" in self._hardware.description.can
        return {"done": last, "celsius": self._able.celsius() if has_celsius else None}
