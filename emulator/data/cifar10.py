"""The binary version of CIFAR-10: records of a label and the red, green and blue plane.

Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009; the layout of
the files as its page gives it, https://www.cs.toronto.edu/~kriz/cifar.html.
"""

import tarfile
from fnmatch import fnmatch
from io import BytesIO
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from emulator.data.config import DataConfig
from emulator.data.errors import DataError, Place
from emulator.data.examples import Dataset
from emulator.data.files import content, find_file
from emulator.data.published import ARCHIVE, TEST_BATCHES, TRAIN_BATCHES, located
from emulator.data.raw import BYTE_SCALE, Raw, assemble

SHAPE = (3, 32, 32)  # channels, rows, columns
RECORD_BYTES = 3073
N_CLASSES = 10


def load_cifar10(config: DataConfig) -> Dataset:
    """Every batch of the folder, plain or compressed, or else those of the published archive.

    Raises:
        DataError: If they cannot be had or are broken.
    """
    folder = located("cifar10", config)
    batches = _loose(folder) or _archived(folder)
    parts = (_raw(folder, batches, pattern) for pattern in (TRAIN_BATCHES, TEST_BATCHES))
    return assemble("cifar10", config, *parts)


def _loose(folder: Path) -> dict[str, bytes]:
    """The batches that lie in a folder, by their path; of one that lies twice, the compressed."""
    stems = {path.name.removesuffix(".gz") for path in folder.iterdir()}
    batches = {}
    for stem in sorted(stems):
        path = find_file(folder, stem)
        if _is_batch(stem) and path is not None:
            batches[str(path)] = content(path, Place("directory", str(path)))
    return batches


def _archived(folder: Path) -> dict[str, bytes]:
    """The batches in the archive, by its path and theirs."""
    path = find_file(folder, ARCHIVE.removesuffix(".gz"))
    assert path is not None  # the folder was chosen for it
    place = Place("directory", str(path))
    # Unpacked as a whole, for tarfile does not read on to the checksum.
    whole = BytesIO(content(path, place))
    batches = {}
    try:
        with tarfile.open(fileobj=whole, mode="r:") as archive:
            for member in archive:
                file = archive.extractfile(member)
                if file is not None and _is_batch(PurePosixPath(member.name).name):
                    batches[f"{path}/{member.name}"] = file.read()
    except (tarfile.TarError, KeyError) as error:  # KeyError: a link to nothing
        raise place.refusal("a whole tar archive", error) from None
    return dict(sorted(batches.items()))


def _is_batch(name: str) -> bool:
    return any(fnmatch(name, pattern) for pattern in (TRAIN_BATCHES, TEST_BATCHES))


def _raw(folder: Path, batches: dict[str, bytes], pattern: str) -> Raw:
    """The images of the batches of one kind."""
    parts = [
        _records(path, batch)
        for path, batch in batches.items()
        if fnmatch(PurePosixPath(path).name.removesuffix(".gz"), pattern)
    ]
    if not parts:
        raise DataError(f"data.directory must hold {pattern}, got {folder} without it")
    records = np.concatenate(parts)
    place = Place("directory", str(folder / pattern))
    return Raw(
        x=records[:, 1:].reshape(-1, *SHAPE),
        y=records[:, 0],
        x_place=place,
        y_place=place,
        full_scale=BYTE_SCALE,
    )


def _records(path: str, batch: bytes) -> NDArray[np.uint8]:
    """Records ``(images, RECORD_BYTES)``, each its label first."""
    place = Place("directory", path)
    if not batch or len(batch) % RECORD_BYTES:
        law = f"one or more records of {RECORD_BYTES} bytes"
        raise place.refusal(law, f"{len(batch)} bytes")
    records = np.frombuffer(batch, np.uint8).reshape(-1, RECORD_BYTES)
    if (highest := records[:, 0].max()) >= N_CLASSES:
        raise place.refusal(f"labels from 0 to {N_CLASSES - 1}", highest)
    return records
