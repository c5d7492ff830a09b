"""Files that may be compressed."""

import gzip
import zlib
from pathlib import Path

from emulator.data.errors import Place


def find_file(folder: Path, stem: str) -> Path | None:
    """A file in a folder, compressed or plain."""
    return next((p for p in (folder / f"{stem}.gz", folder / stem) if p.is_file()), None)


def content(path: Path, place: Place) -> bytes:
    """The bytes of a file; unpacked if its name ends in ``.gz``.

    Raises:
        DataError: If they cannot be had.
    """
    try:
        packed = path.read_bytes()
        return gzip.decompress(packed) if path.suffix == ".gz" else packed
    except (OSError, EOFError, zlib.error) as error:
        kind = "a whole gzip stream" if path.suffix == ".gz" else "readable bytes"
        raise place.refusal(kind, error) from None
