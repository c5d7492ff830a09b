"""The binary version of CIFAR-10: records of a label and the red, green and blue plane.

Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009; the layout of
the files as its page gives it, https://www.cs.toronto.edu/~kriz/cifar.html.
"""

import contextlib
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from io import BufferedIOBase
from pathlib import Path, PurePosixPath
from typing import IO

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.errors import DataError
from crossmesh.emulator.data.columns import BYTE_SCALE
from crossmesh.emulator.data.config import DataConfig
from crossmesh.emulator.data.errors import Place
from crossmesh.emulator.data.examples import Dataset
from crossmesh.emulator.data.files import BROKEN_GZIP, chunks, exactly, find_file, opened
from crossmesh.emulator.data.published import ARCHIVE, TEST_BATCHES, TRAIN_BATCHES, located
from crossmesh.emulator.data.raw import Raw, assemble
from crossmesh.emulator.data.stored import Stored, StoredPart, spans

SHAPE = (3, 32, 32)  # channels, rows, columns
RECORD_BYTES = 3073
N_CLASSES = 10
_HEADER_BYTES = 1 << 20  # of an archive, at most: those of two thousand members

Bytes = BufferedIOBase | IO[bytes]
Opened = Callable[[], "contextlib.AbstractContextManager[Bytes]"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Batch:
    """A file of records.

    Attributes:
        path: Its path, behind that of its archive if it is in one.
        stem: Its name without ``.gz``.
        n_bytes: Its size, unpacked.
        opened: Opens it.
    """

    path: str
    stem: str
    n_bytes: int
    opened: Opened


def load_cifar10(config: DataConfig) -> Dataset:
    """Every batch of the folder, plain or compressed, or else those of the published archive.

    Raises:
        DataError: If they cannot be had or are broken.
    """
    folder = located("cifar10", config)
    batches = _loose(folder) or _archived(folder)
    train, test = (_raw(folder, batches, pattern) for pattern in (TRAIN_BATCHES, TEST_BATCHES))
    return assemble("cifar10", config, train, test)


def _loose(folder: Path) -> list[_Batch]:
    """The batches that lie in a folder, by their path; of one that lies twice, the compressed."""
    stems = sorted({path.name.removesuffix(".gz") for path in folder.iterdir()})
    found = [(stem, find_file(folder, stem)) for stem in stems if _is_batch(stem)]
    return [_loose_batch(stem, path) for stem, path in found if path is not None]


def _loose_batch(stem: str, path: Path) -> _Batch:
    place = Place("data.directory", str(path))
    with opened(path, place) as file:
        n_bytes = sum(map(len, chunks(file)))
    return _Batch(path=str(path), stem=stem, n_bytes=n_bytes, opened=lambda: opened(path, place))


def _archived(folder: Path) -> list[_Batch]:
    """The batches in the archive, by its path and theirs."""
    path = find_file(folder, ARCHIVE.removesuffix(".gz"))
    assert path is not None  # the folder was chosen for it
    place = Place("data.directory", str(path))
    with _tar(path, place) as archive:
        members = {
            member.name: (member.offset_data, member.size)
            for member in _members(archive)
            if member.isreg() and not member.issparse()
            if _is_batch(PurePosixPath(member.name).name)
        }
    return [
        _Batch(
            path=f"{path}/{name}",
            stem=PurePosixPath(name).name,
            n_bytes=n_bytes,
            opened=_from(path, place, first),
        )
        for name, (first, n_bytes) in sorted(members.items())
    ]


def _members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The members of an archive, none of which is kept."""
    while (member := archive.next()) is not None:
        archive.members.clear()  # type: ignore[attr-defined]  # public, but not in its types
        yield member


def _from(path: Path, place: Place, first: int) -> Opened:
    """Opens a file at one of its bytes."""

    @contextlib.contextmanager
    def file() -> Iterator[Bytes]:
        with opened(path, place) as whole:
            whole.seek(first)
            yield whole

    return file


class _Headers(BufferedIOBase):
    """An archive of which only so many bytes are read: tarfile takes names of any length."""

    def __init__(self, file: Bytes) -> None:
        self._left = _HEADER_BYTES
        self._file = file

    def read(self, n: int | None = -1, /) -> bytes:
        if n is None or not 0 <= n <= self._left:
            raise tarfile.ReadError(f"headers of more than {_HEADER_BYTES} bytes")
        self._left -= n
        return self._file.read(n)

    def seek(self, where: int, whence: int = 0, /) -> int:
        return self._file.seek(where, whence)

    def tell(self) -> int:
        return self._file.tell()


@contextlib.contextmanager
def _tar(path: Path, place: Place) -> Iterator[tarfile.TarFile]:
    """An archive; what is wrong with it within the block is an error of one line."""
    with opened(path, place) as file:
        try:
            with tarfile.open(fileobj=_Headers(file), mode="r:") as archive:
                yield archive
        except (tarfile.TarError, KeyError, ValueError, RecursionError, *BROKEN_GZIP) as error:
            if isinstance(error, DataError):
                raise
            _read_to_the_end(file)  # if that fails, it is the stream that is broken
            raise place.refusal("a whole tar archive", error) from None
        _read_to_the_end(file)  # for tarfile does not read on to the checksum


def _read_to_the_end(file: Bytes) -> None:
    for _ in chunks(file):
        pass


def _is_batch(name: str) -> bool:
    return any(fnmatch(name, pattern) for pattern in (TRAIN_BATCHES, TEST_BATCHES))


def _raw(folder: Path, batches: list[_Batch], pattern: str) -> Raw:
    """The images of the batches of one kind."""
    batches = [batch for batch in batches if fnmatch(batch.stem, pattern)]
    if not batches:
        raise DataError(f"data.directory must hold {pattern}, got {folder} without it")
    for batch in batches:
        if batch.n_bytes <= 0 or batch.n_bytes % RECORD_BYTES:
            rule = f"one or more records of {RECORD_BYTES} bytes"
            raise Place("data.directory", batch.path).refusal(rule, f"{batch.n_bytes} bytes")
    n = sum(batch.n_bytes for batch in batches) // RECORD_BYTES
    place = Place("data.directory", str(folder / pattern))
    return Raw(
        x=_stored(batches, (n, *SHAPE), lambda records: records[:, 1:].reshape(-1, *SHAPE)),
        y=_stored(batches, (n,), lambda records: records[:, 0]),
        x_place=place,
        y_place=place,
        full_scale=BYTE_SCALE,
    )


def _stored(
    batches: list[_Batch],
    shape: tuple[int, ...],
    taken: Callable[[NDArray[np.uint8]], NDArray[np.uint8]],
) -> Stored:
    """What is taken of the records of several files, one file after the other."""

    def parts() -> Iterator[StoredPart]:
        first = 0
        for batch in batches:
            for records in _records(batch):
                yield StoredPart(0, first, taken(records))
                first += len(records)

    return Stored(shape=shape, dtype=np.dtype(np.uint8), parts=parts)


def _records(batch: _Batch) -> Iterator[NDArray[np.uint8]]:
    """Records ``(images, RECORD_BYTES)``, each its label first, a few at a time."""
    place = Place("data.directory", batch.path)
    with batch.opened() as file:
        for start, stop in spans((batch.n_bytes // RECORD_BYTES, RECORD_BYTES), 1):
            read = exactly(file, (stop - start) * RECORD_BYTES)
            if len(read) != (stop - start) * RECORD_BYTES:
                raise place.refusal(f"{batch.n_bytes} bytes", start * RECORD_BYTES + len(read))
            records = np.frombuffer(read, np.uint8).reshape(-1, RECORD_BYTES)
            if (highest := records[:, 0].max()) >= N_CLASSES:
                raise place.refusal(f"labels from 0 to {N_CLASSES - 1}", highest)
            yield records
