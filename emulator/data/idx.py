"""IDX files, the format of MNIST: a magic number, the sizes of the axes, then bytes."""

import math
import os
from collections.abc import Iterator
from io import BufferedIOBase
from pathlib import Path
from typing import IO

import numpy as np

from crossmesh.common.errors import DataError
from crossmesh.emulator.data.columns import BYTE_SCALE
from crossmesh.emulator.data.config import DataConfig
from crossmesh.emulator.data.errors import Place
from crossmesh.emulator.data.examples import Dataset
from crossmesh.emulator.data.files import chunks, exactly, find_file, most_bytes, opened
from crossmesh.emulator.data.raw import Raw, assemble
from crossmesh.emulator.data.stored import Stored, StoredPart, spans

NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
UNSIGNED_BYTES = 0x08


def load_idx(config: DataConfig) -> Dataset:
    """The four files of ``data.directory``, each plain or compressed."""
    assert config.directory is not None  # the config says so
    name = Path(os.path.realpath(config.directory)).name
    return assemble(name, config, *read_folder(config.directory))


def read_folder(folder: Path) -> tuple[Raw, Raw]:
    """Training and test examples in a folder of four IDX files.

    Raises:
        DataError: If a file is missing or broken.
    """
    paths = []
    for stem in NAMES:
        path = find_file(folder, stem)
        if path is None:
            raise DataError(f"data.directory must hold {stem}.gz, got {folder} without it")
        paths.append(path)
    return _read_pair(*paths[:2]), _read_pair(*paths[2:])


def stored_idx(path: Path, n_axes: int) -> Stored:
    """The array of unsigned bytes in a file.

    Args:
        path: The file; compressed if its name ends in ``.gz``.
        n_axes: How many axes the array must have.

    Raises:
        DataError: If the file is not such an array, whole and nothing else; in part when the array
            is read.
    """
    place = Place("data.directory", str(path))
    with opened(path, place) as file:
        shape = _shape(file, n_axes, place)
        if _whole(shape) > most_bytes(path):  # before any memory is asked for
            raise _other_length(shape, place, _length(file, shape))

    def parts() -> Iterator[StoredPart]:
        with opened(path, place) as file:
            _shape(file, n_axes, place)
            done = _whole(shape) - math.prod(shape)
            for start, stop in spans(shape, 1):
                n = (stop - start) * math.prod(shape[1:])
                values = exactly(file, n)
                done += len(values)
                if len(values) < n:
                    raise _other_length(shape, place, done)
                array = np.frombuffer(values, np.uint8).reshape(stop - start, *shape[1:])
                yield StoredPart(0, start, array)
            # Reading on to the end checks the checksum as well.
            if rest := len(file.read(1)):
                raise _other_length(shape, place, done + rest)

    return Stored(shape=shape, dtype=np.dtype(np.uint8), parts=parts)


def _shape(file: "BufferedIOBase | IO[bytes]", n_axes: int, place: Place) -> tuple[int, ...]:
    magic = UNSIGNED_BYTES << 8 | n_axes
    header = exactly(file, 4 + 4 * n_axes)
    if len(header) < 4 + 4 * n_axes or int.from_bytes(header[:4], "big") != magic:
        raise place.refusal(f"the magic number 0x{magic:08x}", f"0x{header[:4].hex()}")
    return tuple(int(size) for size in np.frombuffer(header[4:], ">u4"))


def _whole(shape: tuple[int, ...]) -> int:
    """Bytes of a file with such an array."""
    return 4 + 4 * len(shape) + math.prod(shape)


def _length(file: "BufferedIOBase | IO[bytes]", shape: tuple[int, ...]) -> int:
    """Bytes of a file whose header has been read and which is shorter than it should be."""
    return _whole(shape) - math.prod(shape) + sum(map(len, chunks(file)))


def _other_length(shape: tuple[int, ...], place: Place, n: int) -> DataError:
    got = n if n <= _whole(shape) else f"{n} or more"
    return place.refusal(f"{_whole(shape)} bytes (an array {shape})", got)


def _read_pair(images: Path, labels: Path) -> Raw:
    return Raw(
        x=stored_idx(images, 3),
        y=stored_idx(labels, 1),
        x_place=Place("data.directory", str(images)),
        y_place=Place("data.directory", str(labels)),
        full_scale=BYTE_SCALE,
    )
