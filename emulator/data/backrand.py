"""MNIST before a random background.

Made here from all of MNIST, so it is not the older set of that name (12,000 images to train and
50,000 to test), whose files are not published in the format of MNIST.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from emulator.data.config import DataConfig
from emulator.data.examples import Dataset
from emulator.data.idx import read_folder
from emulator.data.published import located
from emulator.data.raw import Raw, assemble
from emulator.data.streams import Purpose, words


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
        _before_noise(train, Purpose.TRAIN_BACKGROUND),
        _before_noise(test, Purpose.TEST_BACKGROUND),
    )


def _before_noise(raw: Raw, purpose: Purpose) -> Raw:
    """The images with another background; a pixel's grey depends on its place alone."""
    greys = _bytes(purpose, raw.x.size).reshape(raw.x.shape)
    return replace(raw, x=np.where(raw.x == 0, greys, raw.x))


def _bytes(purpose: Purpose, n: int) -> NDArray[np.uint8]:
    """The first ``n`` bytes of a stream, the lowest of each word first."""
    return words(purpose, -(-n // 8)).astype("<u8", copy=False).view(np.uint8)[:n]
