"""Augmentation: training images that differ from epoch to epoch, by seed, example and epoch."""

from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from crossmesh.common.errors import DataError
from crossmesh.common.frozen import Frozen
from crossmesh.emulator.data.examples import Dataset
from crossmesh.emulator.data.streams import DataPurpose, words

_WORDS = 3  # of 64 bits for an image, each two draws

Draws = NDArray[np.uint32]


class Augment(Frozen):
    """Random changes of training images, drawn anew for every image and epoch.

    Attributes:
        shift: Most pixels by which an image is moved along each axis, as torchvision's
            ``RandomCrop(size, padding=shift)``.
        fill: What takes the place of pixels beyond the edge: zeros, the pixel at the edge, or the
            image mirrored in it.
        flip: Probability that an image is mirrored left to right.
        cutout: Side in pixels of a square that is set to zero around a random pixel; parts of it
            may lie outside. Source: DeVries and Taylor 2017, arXiv 1708.04552.
    """

    shift: int = Field(0, ge=0)
    fill: Literal["zero", "edge", "mirror"] = "zero"
    flip: float = Field(0.0, ge=0, le=1)
    cutout: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if not (self.shift or self.flip or self.cutout):
            raise ValueError("shift, flip or cutout must be given, got none")
        return self


@dataclass(frozen=True, kw_only=True, eq=False)
class Augmentation:
    """Changes the images of a data set.

    Attributes:
        settings: What is changed.
        seed: The run's seed.
        shape: Channels, rows and columns of an image.
        channels_last: Whether the channels of a pixel lie side by side.
        zeros: What stands for zero in each channel, ``(channels,)``, of the images' type.
    """

    settings: Augment
    seed: int
    shape: tuple[int, int, int]
    channels_last: bool
    zeros: NDArray[Any]

    def draws(self, epoch: int, n: int) -> Draws:
        """Random numbers of the first ``n`` examples in an epoch, ``(n, 6)``."""
        raw = words(DataPurpose.AUGMENT, n * _WORDS, seed=self.seed, epoch=epoch)
        return raw.view(np.uint32).reshape(n, 2 * _WORDS)

    def applied(self, kept: NDArray[Any], draws: Draws) -> NDArray[Any]:
        """Images changed.

        Args:
            kept: ``(n, n_inputs)``, as they are kept.
            draws: Random numbers of each, ``(n, 6)``.
        """
        n, (channels, height, width) = len(kept), self.shape
        axes = (height, width, channels) if self.channels_last else self.shape
        images = kept.reshape(n, *axes)
        if self.channels_last:
            images = np.moveaxis(images, -1, 1)
        rows, no_rows = self._moved(draws[:, 0], height)
        columns, no_columns = self._moved(draws[:, 1], width)
        flipped = draws[:, 2] < self.settings.flip * 2**32
        columns[flipped] = columns[flipped, ::-1]
        no_columns[flipped] = no_columns[flipped, ::-1]
        images = images[
            np.arange(n)[:, None, None, None],
            np.arange(channels)[:, None, None],
            rows[:, None, :, None],
            columns[:, None, None, :],
        ]
        blank = no_rows[:, :, None] | no_columns[:, None, :] | self._cut(draws[:, 3:5])
        images = np.where(blank[:, None], self.zeros[:, None, None], images)
        if self.channels_last:
            images = np.moveaxis(images, 1, -1)
        return images.reshape(n, -1)

    def _moved(self, draws: Draws, size: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Where each row or column is from, and whether it has no pixels; both ``(n, size)``."""
        most = self.settings.shift
        offsets = _below(draws, 2 * most + 1) - most
        places = np.arange(size) + offsets[:, None]
        beyond = (places < 0) | (places >= size)
        if self.settings.fill == "mirror":
            places = np.where(places < 0, -places, places)
            places = np.where(places >= size, 2 * size - 2 - places, places)
        if self.settings.fill != "zero":
            beyond = np.zeros_like(beyond)
        return np.clip(places, 0, size - 1), beyond

    def _cut(self, draws: Draws) -> NDArray[np.bool_]:
        """Pixels that are cut out, ``(n, height, width)``."""
        side, (_, height, width) = self.settings.cutout, self.shape

        def covered(draws: Draws, size: int) -> NDArray[np.bool_]:
            first = _below(draws, size) - side // 2
            places = np.arange(size)
            return (places >= first[:, None]) & (places < first[:, None] + side)

        return covered(draws[:, 0], height)[:, :, None] & covered(draws[:, 1], width)[:, None, :]


def _below(draws: Draws, n: int) -> NDArray[np.int64]:
    """Whole numbers from 0 to below ``n``, which are equally likely within ``n / 2**32``."""
    return ((draws.astype(np.uint64) * np.uint64(n)) >> np.uint64(32)).astype(np.int64)


def augmentation(
    settings: Augment | None, dataset: Dataset, seed: int, *, channels_last: bool = False
) -> Augmentation | None:
    """What changes the training images of a data set, if anything does.

    Raises:
        DataError: If its examples are no images, or too small.
    """
    if settings is None:
        return None
    if len(dataset.shape) not in {2, 3}:
        raise DataError(
            "data.augment must be left out unless examples are images (rows, columns) or "
            f"(channels, rows, columns), got examples of shape {dataset.shape}"
        )
    first, second, *others = dataset.shape
    height, width = (first, second) if channels_last or not others else (second, others[0])
    channels = (others[0] if channels_last else first) if others else 1
    for name in ("shift", "cutout"):
        if (pixels := getattr(settings, name)) >= min(height, width):
            raise DataError(
                f"data.augment.{name} must be below the {min(height, width)} pixels of an image's "
                f"side, got {pixels}"
            )
    return Augmentation(
        settings=settings,
        seed=seed,
        shape=(channels, height, width),
        channels_last=channels_last and bool(others),
        zeros=_zeros(dataset, channels),
    )


def _zeros(dataset: Dataset, channels: int) -> NDArray[Any]:
    """What inputs of zero have become in each channel."""
    kept = dataset.train.kept.dtype
    if dataset.standard is None or kept.kind != "f":
        return np.zeros(channels, kept)
    means, deviations = dataset.standard
    return np.broadcast_to(-means / deviations, channels).astype(kept)
