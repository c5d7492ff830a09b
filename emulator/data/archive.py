"""Arrays in NumPy archives, by name: counted before they are read, and never unpickled."""

import contextlib
import math
import warnings
import zipfile
import zlib
from collections.abc import Callable, Container, Iterator
from io import BytesIO
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from crossmesh.common.whole_files import is_file
from crossmesh.emulator.data.files import MOST_RATIO, exactly
from crossmesh.emulator.data.stored import Stored, StoredPart, spans

Refuse = Callable[[object], Exception]  # makes the error of a reason

_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_HEADER_BYTES = 1 << 16  # more than NumPy's own limit
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}  # that NumPy writes
# What zipfile says of members that are broken or encrypted.
_BROKEN = (OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error)


class _Head(NamedTuple):
    """What an array says of itself, and how many bytes it says it in."""

    shape: tuple[int, ...]
    in_columns: bool
    dtype: np.dtype[Any]
    n_bytes: int


def array_names(path: Path, refuse: Refuse) -> list[str]:
    """Names of the arrays of an archive, of which nothing else is read."""
    with _opened(path, refuse) as archive:
        return [*_members(archive)]


def stored_arrays(
    path: Path, refuse: Refuse, names: Container[str] | None = None
) -> dict[str, Stored]:
    """The arrays of an archive.

    Args:
        path: The archive.
        refuse: Makes the error that is raised, here or when an array is read, from a reason.
        names: Those that are wanted, the others may be anything; None: all.
    """
    with _opened(path, refuse) as archive:
        heads = {
            name: (info, _head(archive, info))
            for name, info in _members(archive).items()
            if names is None or name in names
        }
    return {name: _stored(path, info, head, refuse) for name, (info, head) in heads.items()}


@contextlib.contextmanager
def _opened(path: Path, refuse: Refuse) -> Iterator[zipfile.ZipFile]:
    """An archive; what is wrong with it within the block is refused."""
    # Checked first, as numpy takes anything else for a pickle and speaks of that.
    if not is_file(path) or not zipfile.is_zipfile(path):
        raise refuse("it is no zip file")
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except _BROKEN as error:
        raise refuse(error) from None


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The arrays, by name."""
    every = archive.infolist()
    return {i.filename.removesuffix(".npy"): i for i in every if i.filename.endswith(".npy")}


def _head(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Head:
    if info.compress_type not in _METHODS:
        raise ValueError(f"{info.filename} is compressed in another way than NumPy's")
    with archive.open(info) as member:
        start = BytesIO(exactly(member, _HEADER_BYTES))
    try:
        with warnings.catch_warnings(action="ignore"):
            shape, in_columns, dtype = _HEADERS[np.lib.format.read_magic(start)](start)
    except Exception as error:
        # What its parser of Python's literals raises, it raises: also of memory and recursion.
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{info.filename} is no array: {reason}") from None
    head = _Head(tuple(map(int, shape)), bool(in_columns), dtype, start.tell())
    _check(info, head)
    return head


def _check(info: zipfile.ZipInfo, head: _Head) -> None:
    """Check a header against the size that the archive gives for it; ValueError if it is wrong."""
    if head.dtype.hasobject:
        raise ValueError(f"{info.filename} holds Python objects, which are never unpickled")
    wanted = head.n_bytes + math.prod(head.shape) * head.dtype.itemsize
    if min(head.shape, default=0) < 0 or info.file_size != wanted:
        raise ValueError(
            f"{info.filename} is {head.dtype} {head.shape}, {wanted} bytes, in {info.file_size}"
        )
    is_deflated = info.compress_type == zipfile.ZIP_DEFLATED
    if is_deflated and info.file_size > MOST_RATIO * (info.compress_size + 1):
        raise ValueError(f"{info.filename} has {info.file_size} bytes in {info.compress_size}")


def _stored(path: Path, info: zipfile.ZipInfo, head: _Head, refuse: Refuse) -> Stored:
    def parts() -> Iterator[StoredPart]:
        try:
            with zipfile.ZipFile(path) as archive, archive.open(info) as member:
                exactly(member, head.n_bytes)
                yield from (_columns if head.in_columns else _rows)(member, head)
                member.read(1)  # which checks the checksum
        except _BROKEN as error:
            raise refuse(f"{info.filename}: {error}") from None

    return Stored(shape=head.shape, dtype=head.dtype, parts=parts)


def _rows(member: IO[bytes], head: _Head) -> Iterator[StoredPart]:
    for start, stop in spans(head.shape, head.dtype.itemsize):
        shape = (stop - start, *head.shape[1:])
        yield StoredPart(0, start, _values(member, shape, head.dtype))


def _columns(member: IO[bytes], head: _Head) -> Iterator[StoredPart]:
    """Parts of an array in Fortran's order, in which the last axis is the slowest."""
    turned = head.shape[::-1]
    for start, stop in spans(turned, head.dtype.itemsize):
        values = _values(member, (stop - start, *turned[1:]), head.dtype).T
        yield StoredPart(len(turned) - 1, start, values)


def _values(member: IO[bytes], shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    n_bytes = math.prod(shape) * dtype.itemsize
    values = exactly(member, n_bytes)
    if len(values) < n_bytes:
        raise EOFError("it ends too early")
    return np.frombuffer(values, dtype).reshape(shape)
