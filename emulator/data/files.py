"""Files that may be compressed, read part by part."""

import contextlib
import gzip
import os
import stat
import zlib
from collections.abc import Iterator
from io import BufferedIOBase
from pathlib import Path
from typing import IO

from crossmesh.common.whole_files import is_file
from crossmesh.emulator.data.errors import Place

PIECE_BYTES = 1 << 18  # of a stream, read at a time
# What deflate makes of 1 byte, at most: nothing that claims to be larger needs to be unpacked.
MOST_RATIO = 1032
BROKEN_GZIP = (OSError, EOFError, zlib.error)


def find_file(folder: Path, stem: str) -> Path | None:
    """A file in a folder, compressed or plain."""
    return next((p for p in (folder / f"{stem}.gz", folder / stem) if is_file(p)), None)


def most_bytes(path: Path) -> int:
    """Bytes that a file can hold, unpacked, at most."""
    size = path.stat().st_size
    return size * MOST_RATIO if path.suffix == ".gz" else size


@contextlib.contextmanager
def opened(path: Path, place: Place) -> Iterator["BufferedIOBase | IO[bytes]"]:
    """The bytes of a file as a stream; unpacked if its name ends in ``.gz``.

    Errors of reading it within the block are those of the file.

    Raises:
        DataError: If they cannot be had.
    """
    is_packed = path.suffix == ".gz"
    try:
        with path.open("rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise OSError("it is no regular file")
            if is_packed:
                with gzip.GzipFile(fileobj=file) as unpacked:
                    yield unpacked
            else:
                yield file
    except BROKEN_GZIP as error:
        kind = "a whole gzip stream" if is_packed else "readable bytes"
        raise place.refusal(kind, error) from None


def chunks(file: "BufferedIOBase | IO[bytes]", limit: int | None = None) -> Iterator[bytes]:
    """What is left of a stream, or its next ``limit`` bytes, piece by piece."""
    while limit is None or limit > 0:
        piece = file.read(PIECE_BYTES if limit is None else min(limit, PIECE_BYTES))
        if not piece:
            return
        if limit is not None:
            limit -= len(piece)
        yield piece


def exactly(file: "BufferedIOBase | IO[bytes]", n: int) -> bytes:
    """The next ``n`` bytes of a stream, or fewer at its end."""
    pieces = []
    while n and (piece := file.read(n)):
        pieces.append(piece)
        n -= len(piece)
    return b"".join(pieces)
