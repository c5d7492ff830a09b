"""Requests to a board that are carried out once, however often the line fails."""

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from crossmesh.tiles.boards.access import Absence, Access, BoardError, BoardRestarted
from crossmesh.tiles.boards.addresses import Address
from crossmesh.tiles.boards.frames import Frames, framed
from crossmesh.tiles.boards.hardware import Description
from crossmesh.tiles.boards.keys import proof
from crossmesh.tiles.boards.lines import BoardLine, opened
from crossmesh.tiles.boards.messages import (
    SESSION_BYTES,
    Malformed,
    description_of,
    number_of,
    packed,
    unpacked,
)
from crossmesh.tiles.boards.transcripts import Transcript, exchanges

_MOST_SAID = 500  # letters of an error
_TRIES = 3  # on one connection, before it is given up


class Session:
    """One user's requests to a board, over any line, or to a transcript.

    Args:
        access: How it is reached.
        say: Takes a line for people, when the board vanishes and when it is back.

    Attributes:
        description: What the board is.
        starts: How often it was found to have started anew.
    """

    def __init__(self, access: Access, say: Callable[[str], None]) -> None:
        self.starts = 0
        self._access, self._say = access, say
        is_replay = access.address.kind == "replay"
        self._replayed = exchanges(Path(access.address.place)) if is_replay else None
        self._transcript = Transcript(access.transcript) if access.transcript else None
        self._session = bytes(SESSION_BYTES) if is_replay else os.urandom(SESSION_BYTES)
        self._number, self._boot = 0, b""
        self._line: BoardLine | None = None
        self._frames = Frames()
        self._took: dict[str, float] = {}  # seconds that requests of a kind take, at most of late
        self.description = self._described()

    def asked(self, op: str, **fields: Any) -> dict[str, Any]:
        """What the board answers to a request, which it carries out once.

        Raises:
            BoardRestarted: If it has started anew, and may have carried it out or not.
            BoardError: If it refuses or fails, or has been away for too long.
        """
        self._number += 1
        number = self._number
        request = packed({"session": self._session, "id": number, "op": op, **fields})
        if self._replayed is not None:
            return self._recorded(request)
        try:
            answer = self._exchanged(request, number, op)
        except BoardRestarted:
            self._note(request, b"")
            raise
        self._note(request, answer)
        return _result(answer, self._access.address)

    def close(self) -> None:
        """End the connection."""
        self._drop()
        if self._transcript is not None:
            self._transcript.close()

    # Requests

    def _exchanged(self, request: bytes, number: int, op: str) -> bytes:
        """The answer to a request, however long the board is away meanwhile."""
        absence = Absence(self._access, self._say)
        while True:
            why = "it does not answer"
            try:
                answer = self._tried(request, number, op)
                if answer is not None:
                    absence.ends()
                    return answer
            except BoardRestarted:
                absence.ends()
                raise
            except OSError as error:
                why = error.strerror or str(error)
            self._drop()
            absence.goes_on(why)

    def _tried(self, request: bytes, number: int, op: str) -> bytes | None:
        """The answer on this connection, or a new one; None: there is none in time."""
        if self._line is None:
            self._meet(number - 1)
        assert self._line is not None
        wait_s = self._access.answer_s + 2 * self._took.get(op, self._access.first_s / 2)
        for _ in range(_TRIES):
            began = time.monotonic()
            self._line.send(framed(request))
            answer = self._awaited(number, wait_s)
            if answer is None:
                continue
            if _asks_who(answer):  # it has started anew, and the line has not noticed
                return None
            self._took[op] = max(self._took.get(op, 0.0) / 2, time.monotonic() - began)
            return answer
        return None

    def _awaited(self, number: int, wait_s: float) -> bytes | None:
        """The answer of that number, or None if there is none in time."""
        assert self._line is not None
        until = time.monotonic() + wait_s
        while (left := until - time.monotonic()) > 0:
            data = self._line.receive(left)
            if data:  # a slow line brings the rest
                until = max(until, time.monotonic() + self._access.answer_s)
            for message in self._frames.fed(data):
                with contextlib.suppress(Malformed):
                    answer = unpacked(message)
                    if answer["session"] == self._session and answer["id"] == number:
                        return message
        return None

    # Meeting the board

    def _described(self) -> Description:
        """Meet the board for the first time."""
        if self._replayed is not None:
            return self._description(self._recorded(b""))
        try:
            hello = self._met()
            answer = _result(hello, self._access.address)
            description = self._description(answer)
        except OSError as error:
            self.close()
            why = error.strerror or str(error)
            raise BoardError(f"the board {self._access.address} cannot be reached: {why}") from None
        except BoardError:
            self.close()
            raise
        self._note(b"", hello)
        self._boot = answer.get("boot", b"")
        return description

    def _description(self, answer: dict[str, Any]) -> Description:
        try:
            return description_of(answer.get("describes"))
        except Malformed as error:
            raise BoardError(f"the board {self._access.address} answers: {error}") from None

    def _meet(self, done: int) -> None:
        """Meet it again, which must have carried out ``done`` requests, or one more."""
        answer = _result(self._met(), self._access.address)
        if answer.get("boot") == self._boot and answer.get("last") in {done, done + 1}:
            return
        try:
            self._boot, self._number = answer.get("boot", b""), int(number_of(answer, "last"))
        except Malformed as error:
            raise BoardError(f"the board {self._access.address} answers: {error}") from None
        self.starts += 1
        self._say(f"the board {self._access.address} has started anew; its devices are set again")
        raise BoardRestarted(f"the board {self._access.address} has started anew")

    def _met(self) -> bytes:
        """The answer to a greeting on a new line."""
        self._frames = Frames()
        self._line = opened(self._access.address, self._access.keys)
        hello: dict[str, Any] = {"session": self._session, "id": 0, "op": "hello"}
        for _ in range(_TRIES + 1):
            self._line.send(framed(packed(hello)))
            answer = self._awaited(0, self._access.answer_s)
            if answer is None:
                continue
            nonce = unpacked(answer).get("prove")
            if nonce is None:
                return answer
            if self._access.token is None or "proof" in hello:
                raise BoardError(
                    f"the board {self._access.address} asks for "
                    f"{'a' if self._access.token is None else 'another'} token"
                )
            hello["proof"] = proof(self._access.token, bytes(nonce), self._session)
        raise TimeoutError("it does not answer")

    def _drop(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None

    # Transcripts

    def _note(self, request: bytes, answer: bytes) -> None:
        if self._transcript is not None:
            self._transcript.add(request.replace(self._session, bytes(SESSION_BYTES), 1), answer)

    def _recorded(self, request: bytes) -> dict[str, Any]:
        assert self._replayed is not None
        path = self._access.address.place
        try:
            recorded = next(self._replayed, None)
        except ValueError as error:
            raise BoardError(str(error)) from None
        except OSError as error:
            raise BoardError(f"the transcript {path} cannot be read: {error.strerror}") from None
        if recorded is None:
            ends = "ends here; the run goes on" if request else "holds nothing"
            raise BoardError(f"the transcript {path} {ends}")
        if request and not recorded.request:
            raise BoardError(f"the transcript {path} is of a run that was resumed from here on")
        if recorded.request != request:
            raise BoardError(f"the run does something else than the transcript {path} says")
        if not recorded.answer:
            self._number = 0
            self.starts += 1
            raise BoardRestarted("the board has started anew")
        return _result(recorded.answer, self._access.address)


def _asks_who(answer: bytes) -> bool:
    """Whether a board does not know who asks, or what was asked before."""
    message = unpacked(answer)
    return "prove" in message or message.get("error") == "order"


def _result(answer: bytes, address: Address) -> dict[str, Any]:
    """What a board has answered.

    Raises:
        BoardError: If it has refused or failed.
    """
    message = unpacked(answer)
    if "error" in message:
        says = str(message.get("says") or message["error"])[:_MOST_SAID]
        line = "".join(letter if letter.isprintable() else " " for letter in says)
        raise BoardError(f"the board {address} answers: {line}")
    result = message.get("ok")
    if not isinstance(result, dict):
        raise BoardError(f"the board {address} answers neither ok nor error")
    return result
