"""How a board is reached, what it may answer instead, and waiting for one that is away."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from crossmesh.common.errors import RunError, RunLost
from crossmesh.tiles.boards.addresses import Address
from crossmesh.tiles.boards.keys import BoardKeys

_PAUSES_S = (0.05, 2.0)  # between two attempts to connect: the first, the longest


class BoardError(RunError):
    """A board refuses, fails, or cannot be reached; the message says which and why."""


class BoardLost(BoardError, RunLost):  # noqa: N818  because it names what happened
    """A board was away for too long; the run goes on from its last checkpoint once it is back."""


class BoardRestarted(BoardError):  # noqa: N818  because it names what happened
    """The board is another one than before, or forgot: nobody knows what it did with a request."""


class Access(NamedTuple):
    """How a board is reached.

    Attributes:
        address: Where it is.
        token: Token that it asks for, or None.
        keys: Keys of an encrypted line, or None.
        patience_s: How long to wait for a board that has vanished.
        transcript: File to which everything is written, or None.
        answer_s: Silence beyond what a request takes, after which it is sent again.
        first_s: What a request takes, before any of its kind was answered.
    """

    address: Address
    token: bytes | None = None
    keys: BoardKeys | None = None
    patience_s: float = 600.0
    transcript: Path | None = None
    answer_s: float = 2.0
    first_s: float = 20.0


class Absence:
    """The time in which a board is away during one request.

    Args:
        access: How it is reached, and for how long it is waited for.
        say: Takes a line when it vanishes, and when it is back.
    """

    def __init__(self, access: Access, say: Callable[[str], None]) -> None:
        self._access, self._say = access, say
        self._began: float | None = None
        self._is_said = False
        self._pause_s = _PAUSES_S[0]

    def ends(self) -> None:
        """Say that it is back, if it was said that it is away."""
        if self._is_said:
            self._say(f"the board {self._access.address} is back")

    def goes_on(self, why: str) -> None:
        """Wait before it is tried again; a board that is there at once was not away.

        Raises:
            BoardError: If it has been away for too long.
        """
        board, patience_s = self._access.address, self._access.patience_s
        if self._began is None:
            self._began = time.monotonic()
        elif not self._is_said:
            self._is_said = True
            self._say(f"the board {board} is away ({why}); waiting up to {patience_s:g} s for it")
        if time.monotonic() - self._began > patience_s:
            raise BoardLost(f"the board {board} was away for {patience_s:g} s ({why})")
        time.sleep(self._pause_s)
        self._pause_s = min(2 * self._pause_s, _PAUSES_S[1])
