"""Random numbers that depend on their key and place alone.

NumPy guarantees that a key of Philox gives the same 64-bit words in every version; it does not
guarantee what a ``Generator`` makes of them. So the words are used as they come.
"""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


class DataPurpose(IntEnum):
    """What a stream is for, half of its key. Never change a number: results would change."""

    ORDER = 1
    SPLIT = 2
    CENTRES = 3
    TRAIN = 4
    TEST = 5
    TRAIN_BACKGROUND = 6
    TEST_BACKGROUND = 7
    AUGMENT = 8
    VALIDATION = 9


def words(purpose: DataPurpose, n: int, *, seed: int = 0, epoch: int = 0) -> NDArray[np.uint64]:
    """The first ``n`` words of a stream; more words begin with the same ones."""
    return Words(purpose, seed=seed, epoch=epoch).next(n)


class Words:
    """The words of a stream, from its first, so many at a time.

    Args:
        purpose: Purpose of the stream.
        seed: The run's seed, below 2**64.
        epoch: Number of the epoch.
    """

    def __init__(self, purpose: DataPurpose, *, seed: int = 0, epoch: int = 0) -> None:
        key = np.array([seed, purpose], np.uint64)
        counter = np.array([0, 0, 0, epoch], np.uint64)
        self._source = np.random.Philox(key=key, counter=counter)

    def next(self, n: int) -> NDArray[np.uint64]:
        """The next ``n`` words."""
        raw: NDArray[np.uint64] = self._source.random_raw(n)
        return raw


def order(seed: int, epoch: int, n: int) -> NDArray[np.int64]:
    """The order in which an epoch takes its examples.

    Args:
        seed: The run's seed, below 2**64.
        epoch: Number of the epoch.
        n: Number of examples.

    Returns:
        A permutation of ``0..n-1``.

    >>> order(seed=0, epoch=0, n=5).tolist()
    [3, 2, 4, 1, 0]
    """
    return _sorting(words(DataPurpose.ORDER, n, seed=seed, epoch=epoch))


def shuffled(purpose: DataPurpose, n: int, seed: int) -> NDArray[np.int64]:
    """A permutation of ``0..n-1`` for a purpose, the same in every epoch."""
    return _sorting(words(purpose, n, seed=seed))


def split_indices(n: int, n_test: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of the training and of the test examples, the same for every seed, both rising."""
    permutation = _sorting(words(DataPurpose.SPLIT, n))
    return np.sort(permutation[n_test:]), np.sort(permutation[:n_test])


def _sorting(keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    return np.argsort(keys, kind="stable").astype(np.int64, copy=False)
