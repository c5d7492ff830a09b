"""A task of any size that can be learnt: random class centres, and noise around them."""

import math

import numpy as np
from numpy.typing import NDArray

from crossmesh.common import free_memory
from crossmesh.common.errors import DataError
from crossmesh.emulator.data.config import DataConfig
from crossmesh.emulator.data.examples import Dataset, Examples
from crossmesh.emulator.data.stored import spans
from crossmesh.emulator.data.streams import DataPurpose, Words, words

NOISE = np.float32(0.2)
WORK_BYTES = 32  # of a value while it is drawn


def load_synthetic(config: DataConfig) -> Dataset:
    """Examples ``i`` of class ``i % classes``, inputs within 0..1.

    The first examples are the same however many there are.

    Raises:
        DataError: If they do not fit in the memory that is free.
    """
    _check_room(config)
    shape = (config.classes, config.inputs)
    centres = _uniform(words(DataPurpose.CENTRES, config.classes * config.inputs)).reshape(shape)
    return Dataset(
        name="synthetic",
        train=_examples(DataPurpose.TRAIN, config.examples, centres),
        test=_examples(DataPurpose.TEST, config.test_examples, centres),
        shape=(config.inputs,),
        n_outputs=config.classes,
    )


def _examples(purpose: DataPurpose, n: int, centres: NDArray[np.float32]) -> Examples:
    classes, width = centres.shape
    labels = (np.arange(n, dtype=np.int64) % classes).astype(np.int32)
    inputs, source = np.empty((n, width), np.float32), Words(purpose)
    for start, stop in spans(inputs.shape, WORK_BYTES):
        noise = _bell(source.next((stop - start) * width)).reshape(-1, width)
        np.clip(centres[labels[start:stop]] + NOISE * noise, 0, 1, out=inputs[start:stop])
    return Examples(inputs, labels)


def _check_room(config: DataConfig) -> None:
    """Refuse more than fits in the memory that is there, before anything is drawn."""
    n = config.examples + config.test_examples
    needed = n * (4 * config.inputs + 12) + config.classes * config.inputs * 12
    if (free := free_memory.lacking(needed)) is not None:
        raise DataError(
            f"data.examples, test_examples, inputs and classes must fit in the "
            f"{free_memory.in_words(free)} of memory that are free, got {config.examples}, "
            f"{config.test_examples}, {config.inputs} and {config.classes}, "
            f"which take {free_memory.in_words(needed)}"
        )


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
