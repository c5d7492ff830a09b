"""``data.augment`` and ``data.normalise``: as NumPy has it, the same bits however it is read."""

import numpy as np
import pytest

from crossmesh.common.errors import DataError
from crossmesh.emulator.compiler.feed import ShuffledFeed
from crossmesh.emulator.compiler.job import prepare
from crossmesh.emulator.data import Augment, Dataset, Examples, GivenScale, load
from crossmesh.emulator.data.augment import augmentation
from crossmesh.emulator.runs.directory import RunDirectory
from crossmesh.emulator.training.training import train
from tests.emulator.data.data_material import npz
from tests.jobs import small_config

MODES = {"edge": "edge", "mirror": "reflect"}
IMAGES = np.random.default_rng(1).integers(1, 256, (40, 3, 6, 5), dtype=np.uint8)


def dataset_of(images):
    examples = Examples(images.reshape(len(images), -1), np.zeros(len(images), np.int32))
    return Dataset("images", examples, examples, images.shape[1:], 1)


def augmented(images, epoch=0, **settings):
    """All images of an epoch, and the draws that they come from."""
    change = augmentation(Augment(**settings), dataset_of(images), 7)
    draws = change.draws(epoch, len(images))
    return change.applied(images.reshape(len(images), -1), draws).reshape(images.shape), draws


def moved(image, fill, most, dy, dx):
    """What torchvision's RandomCrop does, by padding the image."""
    width = [(0, 0), (most, most), (most, most)]
    padded = np.pad(image, width) if fill == "zero" else np.pad(image, width, mode=MODES[fill])
    return padded[:, dy : dy + image.shape[1], dx : dx + image.shape[2]]


@pytest.mark.parametrize("fill", ["zero", "edge", "mirror"])
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_an_image_is_a_window_of_the_padded_one_perhaps_mirrored(fill, kind):
    images = IMAGES.astype(kind)
    changed, draws = augmented(images, shift=2, fill=fill, flip=0.5)
    share = draws / 2**32
    for image, result, (down, right, flip, *_) in zip(images, changed, share, strict=True):
        wanted = moved(image, fill, 2, int(5 * down), int(5 * right))
        np.testing.assert_array_equal(result, wanted[:, :, ::-1] if flip < 0.5 else wanted)
    assert 8 < (share[:, 2] < 0.5).sum() < 32


def test_a_square_is_cut_out_around_a_pixel():
    changed, _ = augmented(IMAGES, cutout=3)
    is_cut = (changed != IMAGES).all(axis=1)

    assert np.all(changed[np.broadcast_to(is_cut[:, None], changed.shape)] == 0)
    for square in is_cut:
        rows, columns = np.flatnonzero(square.any(1)), np.flatnonzero(square.any(0))
        assert 2 <= len(rows) <= 3
        assert 2 <= len(columns) <= 3
        assert square[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()


def test_every_epoch_has_draws_of_its_own_and_more_examples_change_none():
    first, draws = augmented(IMAGES, shift=2)
    assert not np.array_equal(first, augmented(IMAGES, epoch=1, shift=2)[0])
    np.testing.assert_array_equal(first[:9], augmented(IMAGES[:9], shift=2)[0])
    assert len(np.unique(draws)) == draws.size


def test_channels_may_be_last():
    last = np.ascontiguousarray(np.moveaxis(IMAGES, 1, -1))
    change = augmentation(Augment(shift=2), dataset_of(last), 7, channels_last=True)
    changed = change.applied(last.reshape(len(last), -1), change.draws(0, len(last)))

    there = np.moveaxis(changed.reshape(last.shape), -1, 1)
    np.testing.assert_array_equal(there, augmented(IMAGES, shift=2)[0])


def test_a_feed_gives_the_same_whatever_is_read_at_once():
    examples = dataset_of(IMAGES)
    change = augmentation(Augment(shift=2, flip=0.5), examples, 7)
    feed = ShuffledFeed(examples.train, 7, augmentation=change)
    whole = feed.inputs(3, 0, 40)
    parts = [feed.inputs(3, start, start + 8) for start in (32, 0, 8, 24, 16)]

    np.testing.assert_array_equal(np.concatenate([parts[i] for i in (1, 2, 4, 3, 0)]), whole)


@pytest.mark.parametrize("change", [{"standardise": True}, {"normalise": (0.4, 0.2)}])
def test_what_is_filled_in_is_what_zero_has_become(tmp_path, change):
    """In images of floating-point numbers, which are standardised as they lie."""
    if "normalise" in change:
        mean, std = change["normalise"]
        change = {"normalise": GivenScale(mean=[mean], std=[std])}
    images = IMAGES[:, 0] / np.float64(255)
    config = npz(tmp_path, x_train=images, y_train=np.arange(40) % 2)
    data = load(config.model_copy(update=change))
    means, deviations = data.standard
    zeros = augmentation(Augment(shift=1), data, 0).zeros

    np.testing.assert_allclose(zeros, -means / deviations, rtol=1e-6)
    plain = np.sort(load(config).train.inputs.ravel())
    np.testing.assert_allclose(
        np.sort(data.train.inputs.ravel()), (plain - means) / deviations, atol=1e-5
    )


def test_training_resumes_with_the_same_bits(tmp_path):
    data = {"augment": {"shift": 1, "flip": 0.5, "cutout": 2}, "validation": 0.2}
    config = small_config(data=data)
    once = small_config(data=data, training={"epochs": 1})
    whole = train(config)
    train(once, RunDirectory(tmp_path / "run"))
    resumed = train(config, RunDirectory(tmp_path / "run"), resume=True)

    assert resumed.state_digest == whole.state_digest
    assert resumed.validation_loss == whole.validation_loss
    assert whole.state_digest != train(small_config(data={"validation": 0.2})).state_digest


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shift": 8}, r"data\.augment\.shift must be below the 8 pixels of an image's side"),
        ({"cutout": 9}, r"data\.augment\.cutout must be below the 8 pixels of an image's side"),
    ],
)
def test_too_large_a_change_is_refused(settings, message):
    with pytest.raises(DataError, match=message):
        prepare(small_config(data={"augment": settings}))


def test_examples_that_are_no_images_are_refused(tmp_path):
    config = npz(tmp_path, x_train=IMAGES.reshape(40, -1), y_train=np.arange(40) % 2)
    with pytest.raises(DataError, match=r"unless examples are images .*, got examples of shape"):
        augmentation(Augment(shift=1), load(config), 0)
