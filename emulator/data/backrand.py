"""MNIST before a random background.

Made here from all of MNIST, so it is not the older set of that name (12,000 images to train and
50,000 to test), whose files are not published in the format of MNIST.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from crossmesh.emulator.data.config import DataConfig
from crossmesh.emulator.data.examples import Dataset
from crossmesh.emulator.data.idx import read_folder
from crossmesh.emulator.data.published import located
from crossmesh.emulator.data.raw import Raw, assemble
from crossmesh.emulator.data.stored import StoredPart
from crossmesh.emulator.data.streams import DataPurpose, Words


def load_backrand(config: DataConfig) -> Dataset:
    """MNIST, every black pixel replaced by a grey drawn evenly from 0..255.

    The background is the same for every seed and on every machine.

    Raises:
        DataError: If the files of MNIST cannot be had.
    """
    train, test = read_folder(located("mnist", config))
    return assemble(
        config.source,
        config,
        _before_noise(train, DataPurpose.TRAIN_BACKGROUND),
        _before_noise(test, DataPurpose.TEST_BACKGROUND),
    )


def _before_noise(raw: Raw, purpose: DataPurpose) -> Raw:
    """The images with another background; a pixel's grey depends on its place alone."""

    def parts() -> Iterator[StoredPart]:
        words, left = Words(purpose), np.zeros(0, np.uint8)
        for axis, start, images in raw.x.parts():
            missing = max(0, images.size - len(left))
            # The bytes of a stream are those of its words, the lowest of each word first.
            more = words.next(-(-missing // 8)).astype("<u8", copy=False).view(np.uint8)
            greys = np.concatenate([left, more])
            left = greys[images.size :]
            whole = greys[: images.size].reshape(images.shape)
            yield StoredPart(axis, start, np.where(images == 0, whole, images))

    return replace(raw, x=replace(raw.x, parts=parts))
