"""Turns: what several processes need is made by one of them, and the others wait for it."""

import fcntl
import os
import time
from pathlib import Path

LONGEST_S = 120.0  # of waiting, so that a process that is stopped holds no other one for ever
_LOOK_S = 0.02


class TurnToMake:
    """A turn at making what a file is about to hold; it saves work, and nothing relies on it.

    A process that ends gives its turn back. One that waits for too long goes on without.

    Args:
        path: File that is locked, and made where it is missing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    def take(self, longest_s: float = LONGEST_S) -> bool:
        """Wait until no other process has the turn; whether this one has it then."""
        end = time.monotonic() + longest_s
        while not self._is_taken():
            if time.monotonic() >= end:
                return False
            time.sleep(_LOOK_S)
        return self._file is not None

    def _is_taken(self) -> bool:
        """Try once; also where nothing can be locked there is nothing to wait for."""
        if self._file is not None:
            return True
        try:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError:
            return True
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(file)
            return not isinstance(error, BlockingIOError)
        self._file = file
        return True

    def give(self) -> None:
        """Let another process have its turn, also where this one was copied by a fork meanwhile."""
        if self._file is not None:
            fcntl.flock(self._file, fcntl.LOCK_UN)
            os.close(self._file)
            self._file = None
