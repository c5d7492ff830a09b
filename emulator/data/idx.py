"""IDX files, the format of MNIST: a magic number, the sizes of the axes, then bytes."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emulator.data.config import DataConfig
from emulator.data.errors import DataError, Place
from emulator.data.examples import Dataset
from emulator.data.files import content, find_file
from emulator.data.raw import BYTE_SCALE, Raw, assemble

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
    name = config.directory.resolve().name
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


def read_idx(path: Path, n_axes: int) -> NDArray[Any]:
    """The array of unsigned bytes in a file.

    Args:
        path: The file; compressed if its name ends in ``.gz``.
        n_axes: How many axes the array must have.

    Raises:
        DataError: If the file is not such an array, whole and nothing else.
    """
    place = Place("directory", str(path))
    whole = content(path, place)
    header = 4 + 4 * n_axes
    magic = UNSIGNED_BYTES << 8 | n_axes
    if len(whole) < header or int.from_bytes(whole[:4], "big") != magic:
        raise place.refusal(f"the magic number 0x{magic:08x}", f"0x{whole[:4].hex()}")
    shape = tuple(int(size) for size in np.frombuffer(whole[4:header], ">u4"))
    if len(whole) != header + math.prod(shape):
        law = f"{header + math.prod(shape)} bytes (an array {shape})"
        raise place.refusal(law, len(whole))
    return np.frombuffer(whole, np.uint8, offset=header).reshape(shape)


def _read_pair(images: Path, labels: Path) -> Raw:
    return Raw(
        x=read_idx(images, 3),
        y=read_idx(labels, 1),
        x_place=Place("directory", str(images)),
        y_place=Place("directory", str(labels)),
        full_scale=BYTE_SCALE,
    )
