"""A task of any size that can be learnt: random class centres, and noise around them."""

import math

import numpy as np
from numpy.typing import NDArray

from emulator.data.config import DataConfig
from emulator.data.examples import Dataset, Examples
from emulator.data.streams import Purpose, words

NOISE = np.float32(0.2)


def load_synthetic(config: DataConfig) -> Dataset:
    """Examples ``i`` of class ``i % classes``, inputs within 0..1.

    The first examples are the same however many there are.
    """
    shape = (config.classes, config.inputs)
    centres = _uniform(words(Purpose.CENTRES, config.classes * config.inputs)).reshape(shape)
    return Dataset(
        name="synthetic",
        train=_examples(Purpose.TRAIN, config.examples, centres),
        test=_examples(Purpose.TEST, config.test_examples, centres),
        shape=(config.inputs,),
        n_outputs=config.classes,
    )


def _examples(purpose: Purpose, n: int, centres: NDArray[np.float32]) -> Examples:
    classes, width = centres.shape
    labels = (np.arange(n) % classes).astype(np.int32)
    noise = _bell(words(purpose, n * width)).reshape(n, width)
    return Examples(np.clip(centres[labels] + NOISE * noise, 0, 1), labels)


def _uniform(raw: NDArray[np.uint64]) -> NDArray[np.float32]:
    """Numbers from 0 to below 1: the upper 24 bits, all that a float32 holds exactly."""
    return (raw >> np.uint64(40)).astype(np.float32) * np.float32(2**-24)


def _bell(raw: NDArray[np.uint64]) -> NDArray[np.float32]:
    """Nearly normal numbers of mean 0 and variance 1: the sum of the four 16-bit parts of a word.

    Unlike a logarithm, sums of integers have the same bits on every machine.
    """
    parts = raw.view(np.uint16).reshape(len(raw), 4)
    sums: NDArray[np.int32] = parts.sum(axis=1, dtype=np.int32)
    deviation = math.sqrt(4 * (2**32 - 1) / 12)
    return (sums - 2 * 0xFFFF).astype(np.float32) / np.float32(deviation)
