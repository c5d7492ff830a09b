"""Data sets by their published shapes alone, for chips: no file is read, and every input is 0."""

import math
from dataclasses import dataclass

import numpy as np

from crossmesh.emulator.data.config import DataConfig
from crossmesh.emulator.data.examples import Dataset, Examples
from crossmesh.emulator.data.raw import input_window


@dataclass(frozen=True, kw_only=True)
class _Images:
    """A published set of images.

    Attributes:
        shape: Shape of an image.
        train: Training images.
        test: Test images.
        classes: Classes.
    """

    shape: tuple[int, ...]
    train: int
    test: int
    classes: int = 10


_MNIST = _Images(shape=(28, 28), train=60_000, test=10_000)
_IMAGES = {
    "mnist": _MNIST,
    "mnist-backrand": _MNIST,
    "fashion-mnist": _MNIST,
    "cifar10": _Images(shape=(3, 32, 32), train=50_000, test=10_000),
}
_LETTERS, _CHARACTERS, _CAPITALS = 1_115_394, 65, 26  # of tinyshakespeare


def outline(config: DataConfig) -> Dataset | None:
    """A data set of the shape of a published one; None if files of one's own decide it.

    Labels take turns, so that classes are about as frequent as they are there.
    """
    if config.directory is not None or config.file is not None:
        return None
    if config.source == "text":
        return _text(config)
    images = _IMAGES.get(config.source)
    return None if images is None else _pictures(config, images)


def _pictures(config: DataConfig, images: _Images) -> Dataset:
    shape = input_window(config.crop, images.shape).shape(images.shape)
    classes = len(config.only_classes or range(images.classes))

    def examples(n: int) -> Examples:
        n = n * classes // images.classes
        return Examples(_zeros(n, math.prod(shape)), np.arange(n, dtype=np.int32) % classes)

    return Dataset(
        name=config.source,
        train=examples(images.train),
        test=examples(images.test),
        shape=shape,
        n_outputs=classes,
    )


def _text(config: DataConfig) -> Dataset:
    n_test = round(_LETTERS * config.test_fraction)
    by_case = config.targets == "case"
    tokens = _CHARACTERS - _CAPITALS if by_case else _CHARACTERS
    n_outputs = 2 if by_case else tokens

    def examples(letters: int) -> Examples:
        windows = (letters - (not by_case)) // config.steps
        targets = np.arange(windows * config.steps, dtype=np.int32) % n_outputs
        return Examples(_zeros(windows, config.steps), targets.reshape(windows, config.steps))

    return Dataset(
        name="tinyshakespeare",
        train=examples(_LETTERS - n_test),
        test=examples(n_test),
        shape=(config.steps,),
        n_outputs=n_outputs,
        tokens=tokens,
    )


def _zeros(n: int, n_inputs: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Inputs ``(n, n_inputs)`` that take no memory."""
    return np.broadcast_to(np.uint8(0), (n, n_inputs))
