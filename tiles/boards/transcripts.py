"""Transcripts: everything that a client asked of a board, what came back, and when."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgpack

from crossmesh.tiles.boards.frames import Frames, framed


class Exchange(NamedTuple):
    """One request and what came of it.

    Attributes:
        time_s: When it had, in seconds since 1970.
        request: As it was sent.
        answer: As it came; empty where the board had restarted, so that it is not known whether
            the request was carried out.
    """

    time_s: float
    request: bytes
    answer: bytes


class Transcript:
    """A file to which exchanges are added.

    Args:
        path: The file; what it holds is kept.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab")

    def add(self, request: bytes, answer: bytes) -> None:
        """Add what has just been exchanged."""
        entry = Exchange(time.time(), request, answer)
        self._file.write(framed(msgpack.packb(tuple(entry))))
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def exchanges(path: Path) -> Iterator[Exchange]:
    """What a transcript holds, in order.

    Raises:
        ValueError: If a part of it is damaged, but for an end that was being written.
        OSError: If it cannot be read.
    """
    frames = Frames()
    with path.open("rb") as file:
        while data := file.read(1 << 20):
            for message in frames.fed(data):
                time_s, request, answer = msgpack.unpackb(message)
                yield Exchange(float(time_s), bytes(request), bytes(answer))
    if frames.damaged:
        raise ValueError(f"the transcript {path} is damaged")
