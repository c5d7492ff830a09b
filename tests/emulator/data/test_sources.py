"""Data sources: what they give, what they refuse, and that order and split never move."""

import gzip
import hashlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmesh.emulator.data import (
    DataConfig,
    DataError,
    Examples,
    load,
    order,
    published,
)
from crossmesh.emulator.data.idx import NAMES
from crossmesh.emulator.data.streams import split_indices
from tests.emulator.data.data_material import (
    IMAGES,
    LABELS,
    SHARED,
    idx_bytes,
    idx_contents,
    npz,
    packed,
    serve,
    write_idx,
)


def test_every_source_gives_examples_that_tiles_can_take(dataset):
    for part in (dataset.train, dataset.test):
        assert len(part) == len(part.inputs) == len(part.targets) > 0
        assert part.inputs.shape[1] == np.prod(dataset.shape)
        assert part.inputs.dtype == np.float32
        assert part.inputs.flags.c_contiguous
        assert part.targets.dtype == np.int32
        assert 0 <= part.targets.min() <= part.targets.max() < dataset.n_outputs


@given(seed=st.integers(0, 2**64 - 1), epoch=st.integers(0, 10**6), n=st.integers(0, 300))
@settings(deadline=None)
def test_order_is_a_permutation_and_repeats(seed, epoch, n):
    first = order(seed, epoch, n)

    assert first.dtype == np.int64
    np.testing.assert_array_equal(np.sort(first), np.arange(n))
    np.testing.assert_array_equal(first, order(seed, epoch, n))


def test_order_differs_between_epochs_and_seeds():
    orders = {tuple(order(seed, epoch, 50)) for seed in range(5) for epoch in range(5)}

    assert len(orders) == 25


def test_order_never_changes():
    assert order(7, 3, 10).tolist() == [0, 2, 7, 6, 4, 1, 8, 9, 5, 3]


def test_split_takes_every_example_once_and_never_changes():
    train, test = split_indices(1797, 359)

    np.testing.assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(1797))
    assert test[:5].tolist() == [6, 10, 24, 27, 29]


def test_first_takes_examples_from_the_front():
    examples = Examples(np.eye(4, dtype=np.float32), np.arange(4, dtype=np.int32))

    assert examples.first(2).targets.tolist() == [0, 1]
    assert len(examples.first(2)) == 2


def test_digits_are_all_there_and_scaled():
    digits = load(DataConfig(source="digits"))

    assert (len(digits.train), len(digits.test)) == (1438, 359)
    assert (digits.shape, digits.n_outputs) == ((8, 8), 10)
    assert digits.train.inputs.min() == 0
    assert digits.train.inputs.max() == 1
    counts = np.bincount(np.concatenate([digits.train.targets, digits.test.targets]))
    assert counts.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_synthetic_can_be_learnt_from_class_means():
    data = load(DataConfig(source="synthetic"))
    means = np.stack([data.train.inputs[data.train.targets == c].mean(0) for c in range(10)])
    distances = ((data.test.inputs[:, None] - means) ** 2).sum(2)

    assert np.mean(distances.argmin(1) == data.test.targets) > 0.95
    assert 0 <= data.train.inputs.min() < data.train.inputs.max() <= 1


def test_synthetic_begins_alike_in_every_size():
    few = load(DataConfig(source="synthetic", examples=5, test_examples=3))
    many = load(DataConfig(source="synthetic", examples=50, test_examples=30))

    np.testing.assert_array_equal(few.train.inputs, many.train.inputs[:5])
    np.testing.assert_array_equal(few.test.inputs, many.test.inputs[:3])


@pytest.mark.parametrize("compressed", [True, False])
def test_idx_is_read_plain_and_compressed(tmp_path, compressed):
    for name, content in idx_contents().items():
        file = tmp_path / (f"{name}.gz" if compressed else name)
        file.write_bytes(gzip.compress(content) if compressed else content)

    data = load(DataConfig(source="idx", directory=tmp_path))

    np.testing.assert_array_equal(data.train.inputs, np.float32(IMAGES.reshape(12, 30)) / 255)
    assert data.train.targets.tolist() == LABELS.tolist()
    assert (len(data.test), data.shape, data.n_outputs) == (6, (6, 5), 3)


def test_crop_keeps_the_window(tmp_path):
    crop = {"rows": [1, 4], "columns": [2, 5]}
    data = load(DataConfig(source="idx", directory=write_idx(tmp_path), crop=crop))

    assert data.shape == (3, 3)
    expected = np.float32(IMAGES[:, 1:4, 2:5].reshape(12, 9)) / 255
    np.testing.assert_array_equal(data.train.inputs, expected)


@pytest.mark.parametrize(
    ("rows", "columns", "message"),
    [
        ([3, 40], [0, 5], r"^data\.crop\.rows must lie within 0\.\.6, got \[3, 40\]$"),
        ([0, 6], [-1, 5], r"^data\.crop\.columns must lie within 0\.\.5, got \[-1, 5\]$"),
    ],
)
def test_crop_outside_of_the_image_is_refused(tmp_path, rows, columns, message):
    config = DataConfig(
        source="idx", directory=write_idx(tmp_path), crop={"rows": rows, "columns": columns}
    )
    with pytest.raises(DataError, match=message):
        load(config)


def test_crop_of_vectors_is_refused(tmp_path):
    config = npz(tmp_path, x_train=np.eye(4), y_train=np.arange(4))
    crop = {"rows": (0, 1), "columns": (0, 1)}
    with pytest.raises(DataError, match=r"data\.crop must be left out unless .* got \(4,\)"):
        load(DataConfig(**{**config.model_dump(), "crop": crop}))


IMAGE_FILE, LABEL_FILE = NAMES[:2]


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        (
            IMAGE_FILE,
            lambda c: b"\0\0\x0d\x03" + c[4:],
            r"0x00000803 in .*images.*, got 0x00000d03",
        ),
        (IMAGE_FILE, lambda c: c[:2], r"magic number 0x00000803 in .*, got 0x0000$"),
        (IMAGE_FILE, lambda c: c[:-1], r"376 bytes \(an array \(12, 6, 5\)\) in .*, got 375"),
        (IMAGE_FILE, lambda c: c + b"\0", r"376 bytes .* got 377"),
        (LABEL_FILE, lambda _: idx_bytes(LABELS[:7]), r"\(12\) in .*train-labels.*, got 7"),
        (IMAGE_FILE, lambda _: idx_bytes(IMAGES[:0]), r"one or more examples, .*\(0, 6, 5\)"),
        ("t10k-images-idx3-ubyte", lambda _: idx_bytes(IMAGES[:6, 1:]), r"like uint8 \(6, 5\) in"),
    ],
)
def test_damaged_idx_is_refused(tmp_path, name, damage, message):
    contents = idx_contents()
    contents[name] = damage(contents[name])
    config = DataConfig(source="idx", directory=write_idx(tmp_path, contents))

    with pytest.raises(DataError, match=rf"^data\.directory must hold .*{message}"):
        load(config)


@pytest.mark.parametrize("damage", [lambda c: c[:-9], lambda c: c[20:], lambda c: c[:20] + c[30:]])
def test_damaged_gzip_is_refused(tmp_path, damage):
    file = write_idx(tmp_path) / f"{IMAGE_FILE}.gz"
    file.write_bytes(damage(file.read_bytes()))

    with pytest.raises(DataError, match=r"must hold a whole gzip stream in .*images.*\.gz, got "):
        load(DataConfig(source="idx", directory=tmp_path))


@pytest.mark.parametrize("place", ["directory", "variable", "cache"])
@pytest.mark.parametrize("below", ["", "mnist"])
def test_mnist_is_found_where_it_may_be(secluded, monkeypatch, place, below):
    if place == "cache":
        write_idx(secluded / "cache" / "crossmesh" / "mnist")
    else:
        write_idx(secluded / "here" / below)
    if place == "variable":
        monkeypatch.setenv("CROSSMESH_DATA", str(secluded / "here"))
    directory = secluded / "here" if place == "directory" else None

    data = load(DataConfig(source="mnist", directory=directory))

    assert (data.name, len(data.train)) == ("mnist", 12)


def test_missing_mnist_says_what_is_missing_and_what_to_do(secluded):
    with pytest.raises(DataError) as error:
        load(DataConfig(source="mnist", directory=secluded / "mine"))

    message = str(error.value)
    assert message.startswith("data.directory must hold train-images-idx3-ubyte.gz, got none in ")
    assert str(secluded / "mine") in message
    assert str(secluded / "cache" / "crossmesh" / "mnist") in message
    assert "no route to host" in message
    assert "--data-dir" in message
    assert "\n" not in message


def test_incomplete_folder_is_not_completed_from_elsewhere(secluded):
    folder = write_idx(secluded / "mine")
    write_idx(secluded / "cache" / "crossmesh" / "mnist")
    (folder / f"{LABEL_FILE}.gz").unlink()

    with pytest.raises(
        DataError, match=r"must hold train-labels-idx1-ubyte\.gz, got .*mine without"
    ):
        load(DataConfig(source="mnist", directory=folder))


def test_missing_mnist_is_fetched_once(secluded, monkeypatch):
    files = packed()
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    publication = replace(published.PUBLICATIONS["mnist"], sha256=sums)
    monkeypatch.setitem(published.PUBLICATIONS, "mnist", publication)
    asked = serve(monkeypatch, files)

    first, second = (load(DataConfig(source="mnist")) for _ in range(2))

    assert len(asked) == 4
    assert all(url.startswith("https://") for url in asked)
    np.testing.assert_array_equal(first.train.inputs, second.train.inputs)
    cached = (secluded / "cache" / "crossmesh" / "mnist").iterdir()
    assert sorted(path.name for path in cached) == sorted(files)


def test_fetched_file_with_another_checksum_is_refused_and_not_kept(secluded, monkeypatch):
    asked = serve(monkeypatch, packed())

    with pytest.raises(DataError, match=r"sha256 must be 440fcabf[0-9a-f]+, got [0-9a-f]{64}"):
        load(DataConfig(source="mnist"))

    assert len(asked) == len(published.PUBLICATIONS["mnist"].mirrors)
    assert list((secluded / "cache" / "crossmesh" / "mnist").iterdir()) == []


@pytest.mark.parametrize("source", ["mnist", "fashion-mnist"])
def test_published_files_are_the_originals(source):
    folder = SHARED / source
    if not folder.is_dir():
        pytest.skip(f"needs the published files of {source} in {folder}")
    for name, digest in published.PUBLICATIONS[source].sha256.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest


def test_real_mnist_has_its_published_counts_and_crop():
    if not (SHARED / "mnist").is_dir():
        pytest.skip(f"needs the published files of mnist in {SHARED / 'mnist'}")
    crop = {"rows": [3, 25], "columns": [2, 26]}
    mnist = load(DataConfig(source="mnist", directory=SHARED, crop=crop))

    assert mnist.train.inputs.shape == (60000, 528)
    assert (mnist.shape, mnist.n_outputs) == ((22, 24), 10)
    assert np.bincount(mnist.test.targets)[:3].tolist() == [980, 1135, 1032]
    assert mnist.train.targets[:5].tolist() == [5, 0, 4, 1, 9]


def test_backrand_fills_black_pixels_with_evenly_drawn_greys(tmp_path):
    images = np.zeros((12, 60, 50), np.uint8)
    images[:, 20:30] = IMAGES[0, 0, 3]
    folder = write_idx(tmp_path / "mnist", idx_contents(images))
    crop = {"rows": [10, 60], "columns": [0, 40]}
    whole, part = (
        load(DataConfig(source="mnist-backrand", directory=folder, crop=window))
        for window in (None, crop)
    )
    greys = np.rint(whole.train.inputs * 255).astype(int).reshape(images.shape)

    assert whole.name == "mnist-backrand"
    assert (greys[:, 20:30] == IMAGES[0, 0, 3]).all()
    counts = np.bincount(greys[images == 0], minlength=256)  # about 117 each
    assert 70 < counts.min() < counts.max() < 170
    assert not np.array_equal(greys[:6], np.rint(whole.test.inputs * 255).reshape(6, 60, 50))
    np.testing.assert_array_equal(
        part.train.inputs.reshape(12, 50, 40), whole.train.inputs.reshape(images.shape)[:, 10:, :40]
    )


def test_backrand_of_real_mnist_never_changes():
    if not (SHARED / "mnist").is_dir():
        pytest.skip(f"needs the published files of mnist in {SHARED / 'mnist'}")
    backrand = load(DataConfig(source="mnist-backrand", directory=SHARED))
    digests = [
        hashlib.sha256(np.rint(part.inputs * 255).astype(np.uint8).data).hexdigest()
        for part in (backrand.train, backrand.test)
    ]

    assert (len(backrand.train), len(backrand.test), backrand.shape) == (60000, 10000, (28, 28))
    assert digests == [
        "dca8b1759eeb1692dcbd64f978d8432e065f0641425dd03296e32a91d3d9b115",
        "21290a9dc1ac219389791c121d3f77bc6c434a6bb4e6d2cb0157db91c2093575",
    ]
