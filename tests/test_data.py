"""Data sources: what they give, what they refuse, and that order and split never move."""

import gzip
import hashlib
import io
import struct
import tarfile
import tracemalloc
from dataclasses import replace
from email.message import Message
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from emulator.data import (
    SOURCES,
    DataConfig,
    DataError,
    Dataset,
    Examples,
    load,
    order,
    published,
)
from emulator.data import fetch as fetching
from emulator.data.idx import NAMES
from emulator.data.streams import split_indices

SHARED = Path(__file__).parents[2] / "shared" / "data"

IMAGES = (np.arange(12 * 6 * 5) % 256).astype(np.uint8).reshape(12, 6, 5)
LABELS = (np.arange(12) % 3).astype(np.uint8)


def idx_bytes(array):
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return header + array.tobytes()


def idx_contents(images=IMAGES, labels=LABELS):
    """The four files by name; the test set is the first half."""
    arrays = (images, labels, images[:6], labels[:6])
    return {name: idx_bytes(array) for name, array in zip(NAMES, arrays, strict=True)}


def write_idx(folder, contents=None):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (contents or idx_contents()).items():
        (folder / f"{name}.gz").write_bytes(gzip.compress(content))
    return folder


def records(n, first=0):
    """Images of CIFAR-10 that differ, of labels that go round."""
    images = (np.arange(n * 3072) % 251 + first).astype(np.uint8).reshape(n, 3072)
    return np.hstack([(np.arange(n, dtype=np.uint8) % 10)[:, np.newaxis], images])


BATCHES = {
    "data_batch_1.bin": records(7).tobytes(),
    "data_batch_2.bin": records(4, first=4).tobytes(),
    "test_batch.bin": records(3, first=2).tobytes(),
}


def write_batches(folder, batches=None):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (batches or BATCHES).items():
        (folder / name).write_bytes(content)
    return folder


def archive(batches=None):
    """The batches in an archive like the published one, last one first."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        for name, content in reversed({"readme.html": b"<p>", **(batches or BATCHES)}.items()):
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return file.getvalue()


LINES = "the rain in spain,\r\nünd wer es lässt\n" * 20


def text(folder, content=LINES, **fields):
    """A config of a text with these characters."""
    file = folder / "lines.txt"
    file.write_bytes(content.encode())
    return DataConfig(source="text", file=file, **fields)


def npz(folder, **arrays):
    np.savez(folder / "mine.npz", **arrays)
    return DataConfig(source="npz", file=folder / "mine.npz")


def table(path, **columns):
    pq.write_table(pa.table(columns), path)
    return path


@pytest.fixture
def secluded(monkeypatch, tmp_path):
    """No data on this machine, and no network."""

    def unreachable(url, timeout):
        raise URLError("no route to host")

    monkeypatch.delenv("CROSSMESH_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(fetching, "urlopen", unreachable)
    return tmp_path


@pytest.fixture(params=SOURCES)
def dataset(request, secluded):
    """A small data set from every source."""
    folder = write_idx(secluded / "images")
    npz(folder, x_train=IMAGES, y_train=LABELS)
    table(folder / "t.parquet", a=np.arange(12.0), b=np.arange(12), label=LABELS)
    write_batches(folder)
    text(folder)
    files = {
        "cifar10": {"directory": folder},
        "text": {"file": folder / "lines.txt", "steps": 10},
        "mnist": {"directory": folder},
        "mnist-backrand": {"directory": folder},
        "fashion-mnist": {"directory": folder},
        "idx": {"directory": folder},
        "npz": {"file": folder / "mine.npz"},
        "parquet": {"file": folder / "t.parquet"},
    }
    return load(DataConfig(source=request.param, **files.get(request.param, {})))


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


def serve(monkeypatch, contents):
    """Answer every address by the file that its last part names; returns the addresses asked."""
    asked = []

    class Response(io.BytesIO):
        headers = Message()

    def answer(url, timeout):
        asked.append(url)
        return Response(contents[url.rsplit("/", 1)[-1]])

    monkeypatch.setattr(fetching, "urlopen", answer)
    return asked


def packed():
    return {f"{name}.gz": gzip.compress(content) for name, content in idx_contents().items()}


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


def test_npz_bytes_are_scaled_and_floats_are_not(tmp_path):
    rest = {"y_train": LABELS, "y_test": LABELS}
    scaled = load(npz(tmp_path, x_train=IMAGES, x_test=IMAGES, **rest))
    floats = np.float64(IMAGES)
    plain = load(npz(tmp_path, x_train=floats, x_test=floats, **rest))

    assert (scaled.name, scaled.shape, len(scaled.test)) == ("mine", (6, 5), 12)
    np.testing.assert_array_equal(plain.train.inputs / np.float32(255), scaled.train.inputs)


def test_npz_targets_make_a_regression(tmp_path):
    data = load(npz(tmp_path, x_train=np.eye(10), y_train=np.ones((10, 3))))

    assert (len(data.train), len(data.test), data.n_outputs) == (8, 2, 3)
    assert data.train.targets.dtype == np.float32


GOOD = {"x_train": np.eye(4), "y_train": np.arange(4)}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x_train": np.eye(4)}, r"y_train, got x_train in "),
        (GOOD | {"x_test": np.eye(4)}, r"y_test, got x_train, y_train, x_test in "),
        (GOOD | {"x_train": np.full((4, 2), np.nan)}, r"finite .* in x_train of .*, got nan"),
        (GOOD | {"x_train": np.full((4, 2), 1e300)}, r"finite float32 numbers .*, got 1e\+300"),
        (GOOD | {"x_train": np.arange(4)}, r"one or more examples.*, got int64 \(4,\)"),
        (GOOD | {"x_train": np.full((4, 1), "a")}, r"one or more examples.*, got <U1 \(4, 1\)"),
        (GOOD | {"y_train": np.arange(3)}, r"\(4\) in y_train of .*, got 3"),
        (GOOD | {"y_train": np.arange(4) - 1}, r"labels from 0 to below 2\*\*31 .*, got -1"),
        (GOOD | {"y_train": np.ones(4)}, r"integer labels .*, got float64 \(\d,\)"),
        (GOOD | {"y_train": np.full((4, 1), np.inf)}, r"finite .* in y_train of .*, got inf"),
        (GOOD | {"x_test": np.eye(3), "y_test": np.arange(3)}, r"like float64 \(4,\) in x_test"),
        (GOOD | {"x_test": np.eye(4), "y_test": np.eye(4)}, r"targets like int64 \(\) in y_test"),
        ({"x_train": np.eye(1), "y_train": np.arange(1)}, r"two examples or more.*, got 1"),
    ],
)
def test_unfit_npz_is_refused(tmp_path, arrays, message):
    with pytest.raises(DataError, match=rf"^data\.file must hold .*{message}"):
        load(npz(tmp_path, **arrays))


def test_objects_in_npz_are_never_unpickled(tmp_path):
    config = npz(tmp_path, x_train=np.array([{}, {}]), y_train=np.arange(2))
    with pytest.raises(
        DataError, match=r"must be an npz archive, got .*mine\.npz .*Python objects"
    ):
        load(config)


def test_what_else_is_in_npz_is_not_looked_at(tmp_path):
    arrays = {"x_train": np.eye(4), "y_train": np.arange(4), "names": np.array([{}] * 4)}
    data = load(npz(tmp_path, **arrays))

    assert len(data.train) + len(data.test) == 4


@pytest.mark.parametrize("source", ["npz", "parquet"])
def test_file_of_another_kind_is_refused(tmp_path, source):
    file = tmp_path / "notes.txt"
    file.write_text("not a table")

    with pytest.raises(DataError, match=r"^data\.file must be an? (npz|Parquet) .*notes\.txt"):
        load(DataConfig(source=source, file=file))
    with pytest.raises(DataError, match=r"^data\.file must be a file, got .*absent"):
        load(DataConfig(source=source, file=tmp_path / "absent"))


def parquet(folder, **columns):
    return DataConfig(source="parquet", file=table(folder / "t.parquet", **columns))


def test_parquet_takes_numeric_columns_in_order(tmp_path):
    columns = {"b": [1.0, 2.0], "label": [0, 1], "name": ["p", "q"], "a": [3, 4], "x": [5, 6]}
    test_file = table(tmp_path / "test.parquet", **columns)
    config = parquet(tmp_path, **columns).model_copy(update={"test_file": test_file})

    data = load(config)

    assert data.train.inputs.tolist() == [[1, 3, 5], [2, 4, 6]]
    assert data.test.inputs.tolist() == data.train.inputs.tolist()
    assert data.train.targets.tolist() == [0, 1]


@pytest.mark.parametrize("kind", [pa.list_(pa.float32()), pa.list_(pa.float32(), 2)])
def test_parquet_takes_a_list_of_inputs_and_a_list_of_targets(tmp_path, kind):
    lists = pa.array([[1, 2], [3, 4], [5, 6]], kind)
    data = load(parquet(tmp_path, x=lists, target=lists, other=[7, 8, 9]))

    assert (len(data.train), len(data.test), data.n_outputs) == (2, 1, 2)
    np.testing.assert_array_equal(data.train.inputs, data.train.targets)


def test_a_parquet_table_whose_names_are_no_text_is_refused(tmp_path):
    config = parquet(tmp_path, abcdefghij=[1.0, 2.0], label=[0, 1])
    config.file.write_bytes(config.file.read_bytes().replace(b"abcdefghij", b"\xfe" * 10))
    with pytest.raises(DataError, match=r"^data\.file must be a Parquet table, got .*decode"):
        load(config)


def test_parquet_takes_a_single_target_and_bytes(tmp_path):
    data = load(
        parquet(tmp_path, x=pa.array([[0, 255]] * 3, pa.list_(pa.uint8())), target=[1.0] * 3)
    )

    assert data.train.inputs.tolist() == [[0, 1], [0, 1]]
    assert data.train.targets.shape == (2, 1)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"a": [1, 2]}, r"have one column label or target, got a in"),
        ({"a": [1], "label": [1], "target": [1]}, r"have one column label or target, got a, label"),
        ({"label": [0, 1], "s": ["p", "q"]}, r"have numeric columns or a list x, got label, s in"),
        ({"label": [0, 1], "a": [1.0, None]}, r"hold a value in every row in a of .*, got null"),
        (
            {"label": [0, 1], "x": [[1.0], [None]]},
            r"hold a value in every row in x of .*, got null",
        ),
        (
            {"label": [0, 1], "x": [[1], [1, 2]]},
            r"hold lists of equal length .*, got lengths 1\.\.2",
        ),
        ({"label": [0, 1], "x": [["p"], ["q"]]}, r"hold numbers or lists of numbers in x of"),
        ({"label": ["p", "q"], "a": [1, 2]}, r"hold numbers .* in label of .*, got string"),
        ({"label": [0.5, 1], "a": [1, 2]}, r"hold integer labels .*, got float64 \(2,\)"),
        ({"label": pa.array([], pa.int32()), "a": []}, r"have a row or more .*, got 0 rows"),
    ],
)
def test_unfit_parquet_is_refused(tmp_path, columns, message):
    with pytest.raises(DataError, match=rf"^data\.file must {message}"):
        load(parquet(tmp_path, **columns))


def test_parquet_test_table_with_other_columns_is_refused(tmp_path):
    config = parquet(tmp_path, a=[1, 2], label=[0, 1])
    other = table(tmp_path / "other.parquet", b=[1, 2], label=[0, 1])

    with pytest.raises(DataError, match=r"data\.test_file must have .*\(a, label\), got b, label"):
        load(config.model_copy(update={"test_file": other}))


@pytest.mark.parametrize("form", ["plain", "compressed", "archive", "both"])
def test_cifar10_is_read_in_order_of_its_names(secluded, form):
    folder = secluded / "mine"
    if form in ("plain", "both"):
        write_batches(folder)
    if form in ("compressed", "both"):
        packed = {f"{name}.gz": gzip.compress(batch) for name, batch in BATCHES.items()}
        write_batches(folder, packed)
    if form in ("archive", "both"):
        write_batches(folder, {"cifar-10-binary.tar.gz": archive()})

    data = load(DataConfig(source="cifar10", directory=folder))

    assert (data.name, data.shape, data.n_outputs) == ("cifar10", (3, 32, 32), 7)
    expected = np.vstack([records(7), records(4, first=4)])
    np.testing.assert_array_equal(data.train.inputs, np.float32(expected[:, 1:]) / 255)
    assert data.train.targets.tolist() == [0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3]
    assert data.test.targets.tolist() == [0, 1, 2]
    assert data.has_classes
    assert data.tokens is None


def test_cifar10_keeps_planes_rows_and_columns_in_the_order_of_the_file(secluded):
    planes = np.zeros((1, 3, 32, 32), np.uint8)
    planes[0, 1, 5, 9] = 255  # green, row 5, column 9
    batch = b"\3" + planes.tobytes()
    folder = write_batches(secluded, {"data_batch.bin": batch, "test_batch.bin": batch})

    data = load(DataConfig(source="cifar10", directory=folder))

    image = data.train.inputs.reshape(data.shape)
    assert image[1, 5, 9] == image.sum() == 1


@pytest.mark.parametrize("place", ["directory", "variable", "cache"])
@pytest.mark.parametrize("below", ["", "cifar10", "cifar-10-batches-bin", "cifar10-subset"])
def test_cifar10_is_found_where_it_may_be(secluded, monkeypatch, place, below):
    if place == "cache":
        write_batches(secluded / "cache" / "crossmesh" / "cifar10")
    else:
        write_batches(secluded / "here" / below)
    if place == "variable":
        monkeypatch.setenv("CROSSMESH_DATA", str(secluded / "here"))
    directory = secluded / "here" if place == "directory" else None

    assert len(load(DataConfig(source="cifar10", directory=directory)).train) == 11


def test_missing_cifar10_says_what_to_get_and_where_to_put_it(secluded):
    mine, cache = secluded / "mine", secluded / "cache" / "crossmesh" / "cifar10"
    with pytest.raises(DataError) as error:
        load(DataConfig(source="cifar10", directory=mine))

    assert str(error.value) == (
        f"data.directory must hold cifar-10-binary.tar.gz, got none in {mine}/cifar10, "
        f"{mine}/cifar-10-batches-bin, {mine}/cifar10-subset, {mine}, {cache}, nor from the "
        "network (https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz: no route to host); "
        "get it from https://www.cs.toronto.edu/~kriz/cifar.html and give its folder by --data-dir"
    )


def test_missing_cifar10_is_fetched_once(secluded, monkeypatch):
    content = archive()
    sums = {published.ARCHIVE: hashlib.sha256(content).hexdigest()}
    publication = replace(published.PUBLICATIONS["cifar10"], sha256=sums)
    monkeypatch.setitem(published.PUBLICATIONS, "cifar10", publication)
    asked = serve(monkeypatch, {published.ARCHIVE: content})

    first, second = (load(DataConfig(source="cifar10")) for _ in range(2))

    assert asked == ["https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"]
    np.testing.assert_array_equal(first.train.inputs, second.train.inputs)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("test_batch.bin", None, "test_batch*.bin, got {} without it"),
        (
            "data_batch_2.bin",
            bytes(3074),
            "one or more records of 3073 bytes in {}/data_batch_2.bin, got 3074 bytes",
        ),
        (
            "test_batch.bin",
            b"",
            "one or more records of 3073 bytes in {}/test_batch.bin, got 0 bytes",
        ),
        (
            "data_batch_1.bin",
            b"\x0a" + bytes(3072),
            "labels from 0 to 9 in {}/data_batch_1.bin, got 10",
        ),
    ],
)
@pytest.mark.parametrize("archived", [False, True])
def test_damaged_cifar10_is_refused(secluded, name, content, message, archived):
    batches = {key: batch for key, batch in {**BATCHES, name: content}.items() if batch is not None}
    inside = secluded / published.ARCHIVE / "cifar-10-batches-bin" if archived else secluded
    if archived:
        batches = {published.ARCHIVE: archive(batches)}
    place = secluded if content is None else inside

    with pytest.raises(DataError) as error:
        load(DataConfig(source="cifar10", directory=write_batches(secluded, batches)))

    assert str(error.value) == f"data.directory must hold {message.format(place)}"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("data_batch_1.bin.gz", gzip.compress(BATCHES["data_batch_1.bin"])),
        (published.ARCHIVE, archive()),
    ],
)
@pytest.mark.parametrize("damage", [lambda c: c[:-9], lambda c: c[20:], lambda c: c[:20] + c[30:]])
def test_damaged_gzip_of_cifar10_is_refused(secluded, name, content, damage):
    folder = write_batches(secluded, {name: damage(content)})

    law = rf"data\.directory must hold a whole gzip stream in {folder / name}"
    with pytest.raises(DataError, match=rf"\A{law}, got .+\Z"):
        load(DataConfig(source="cifar10", directory=folder))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda c: c[:9000], "unexpected end of data"),
        (lambda c: c[:100], "truncated header"),
        (lambda c: b"<html>" * 1000, "invalid header"),
    ],
)
def test_damaged_archive_of_cifar10_is_refused(secluded, damage, reason):
    whole = damage(gzip.decompress(archive()))
    folder = write_batches(secluded, {published.ARCHIVE: gzip.compress(whole)})
    path = folder / published.ARCHIVE

    with pytest.raises(DataError) as error:
        load(DataConfig(source="cifar10", directory=folder))

    assert str(error.value) == (
        f"data.directory must hold a whole tar archive in {path}, got {reason}"
    )


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("many", [True, False])
def test_an_archive_with_long_headers_takes_no_memory(secluded, form, many):
    folder = write_batches(secluded, {published.ARCHIVE: b""})
    path = folder / published.ARCHIVE
    with tarfile.open(path, "w:gz", format=form, compresslevel=1) as tar:
        for name in [f"{k}" for k in range(2100)] if many else ["x" * (16 << 20)]:
            tar.addfile(tarfile.TarInfo(name))
    tracemalloc.start()
    try:
        with pytest.raises(DataError) as error:
            load(DataConfig(source="cifar10", directory=folder))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert str(error.value) == (
        f"data.directory must hold a whole tar archive in {path}, got headers of more than "
        "1048576 bytes"
    )
    assert peak < 8 << 20


def test_an_archive_of_headers_about_headers_is_refused(secluded):
    """Each one would have tarfile call itself."""
    folder = write_batches(secluded, {published.ARCHIVE: b""})
    header = tarfile.TarInfo("././@LongLink")
    header.type = tarfile.GNUTYPE_LONGNAME
    content = gzip.compress(1900 * header.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    (folder / published.ARCHIVE).write_bytes(content)
    with pytest.raises(DataError, match=r"^data\.directory must hold a whole tar archive in "):
        load(DataConfig(source="cifar10", directory=folder))


def test_real_cifar10_has_its_published_counts():
    if not (SHARED / "cifar10-subset").is_dir():
        pytest.skip(f"needs images of CIFAR-10 in {SHARED / 'cifar10-subset'}")
    data = load(DataConfig(source="cifar10", directory=SHARED))

    assert (data.train.inputs.shape, data.test.inputs.shape) == ((4000, 3072), (1000, 3072))
    assert (data.shape, data.n_outputs) == ((3, 32, 32), 10)
    assert data.train.targets[:10].tolist() == [6, 9, 9, 4, 1, 1, 2, 7, 8, 3]
    assert data.test.targets[:10].tolist() == [3, 8, 8, 0, 6, 6, 1, 6, 3, 1]
    counts = np.bincount(data.train.targets)
    assert counts.tolist() == [396, 366, 420, 384, 422, 393, 414, 385, 407, 413]
    means = data.train.inputs.reshape(4000, 3, -1).mean((0, 2), dtype=np.float64)
    np.testing.assert_allclose(means, [0.4916, 0.4818, 0.4447], atol=5e-5)
    assert np.rint(data.train.inputs[0, :3] * 255).tolist() == [59, 43, 50]


IMAGES_OF_CHANNELS = np.random.default_rng(1).integers(0, 256, (20, 3, 4, 5)).astype(np.uint8)


@pytest.mark.parametrize(
    ("shape", "axes"),
    [((3, 4, 5), (0, 2, 3)), ((12, 5), (0, 1, 2)), ((60,), (0, 1))],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
def test_standardise_is_the_formula_for_each_channel(tmp_path, shape, axes, dtype):
    x = IMAGES_OF_CHANNELS.reshape(20, *shape).astype(dtype)
    config = npz(tmp_path, x_train=x[:15], x_test=x[15:], y_train=LABELS[[0] * 15], y_test=[0] * 5)
    data = load(config.model_copy(update={"standardise": True}))

    scaled = np.float64(x)
    mean = scaled[:15].mean(axes, keepdims=True)
    deviation = scaled[:15].std(axes, keepdims=True)
    expected = ((scaled - mean) / deviation).reshape(20, -1)
    assert data.train.inputs.dtype == np.float32
    np.testing.assert_allclose(data.train.inputs, expected[:15], atol=2e-6)
    np.testing.assert_allclose(data.test.inputs, expected[15:], atol=2e-6)


@pytest.mark.parametrize("source", ["digits", "mnist", "mnist-backrand", "idx", "cifar10"])
def test_standardised_inputs_have_mean_0_and_deviation_1(secluded, source):
    folder = write_batches(write_idx(secluded / "images"))
    config = DataConfig(source=source, directory=folder, standardise=True)
    plain, data = load(config.model_copy(update={"standardise": False})), load(config)

    n_channels = 3 if source == "cifar10" else 1
    inputs = np.float64(data.train.inputs.reshape(len(data.train), n_channels, -1))
    np.testing.assert_allclose(inputs.mean((0, 2)), 0, atol=1e-6)
    np.testing.assert_allclose(inputs.std((0, 2)), 1, atol=1e-6)
    np.testing.assert_array_equal(data.train.targets, plain.train.targets)


def test_crop_comes_before_standardise(tmp_path):
    images = IMAGES.copy()
    images[:, 0] = 255
    crop = {"rows": [1, 6], "columns": [0, 5]}
    folder = write_idx(tmp_path, idx_contents(images))
    data = load(DataConfig(source="idx", directory=folder, crop=crop, standardise=True))

    assert abs(data.train.inputs.mean(dtype=np.float64)) < 1e-6


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.full((4, 2), 0.1), "got 0.1 throughout all inputs"),
        (np.stack([np.eye(4)[:, None], np.zeros((4, 1, 4))], 1), "got 0 throughout channel 1"),
    ],
)
def test_standardise_of_equal_inputs_is_refused(tmp_path, x, message):
    config = npz(tmp_path, x_train=x, x_test=x, y_train=np.arange(4), y_test=np.arange(4))
    with pytest.raises(DataError) as error:
        load(config.model_copy(update={"standardise": True}))

    law = "data.standardise must be false unless inputs differ from each other"
    assert str(error.value) == f"{law}, {message}"


def characters_of(numbers, data):
    return "".join(data.characters[int(number)] for number in numbers.ravel())


@given(
    content=st.text(st.characters(codec="utf-8"), min_size=60, max_size=300),
    steps=st.integers(2, 9),
    fraction=st.floats(0.3, 0.7),
)
@settings(deadline=None)
def test_windows_of_a_text_give_it_back(tmp_path_factory, content, steps, fraction):
    folder = tmp_path_factory.mktemp("text")
    data = load(text(folder, content, steps=steps, test_fraction=fraction))

    n_train = len(content) - round(len(content) * fraction)
    assert data.characters == "".join(sorted(set(content)))
    assert data.tokens == data.n_outputs == len(data.characters)
    assert (data.name, data.shape, data.has_classes) == ("lines", (steps,), True)
    for part, whole in ((data.train, content[:n_train]), (data.test, content[n_train:])):
        n = (len(whole) - 1) // steps * steps
        assert part.inputs.shape == part.targets.shape == (n // steps, steps)
        assert characters_of(part.inputs, data) == whole[:n]
        assert characters_of(part.targets, data) == whole[1 : n + 1]


@pytest.mark.parametrize("below", ["", "tinyshakespeare"])
@pytest.mark.parametrize("place", ["directory", "variable", "cache"])
@pytest.mark.parametrize("compressed", [False, True])
def test_input_txt_is_found_where_it_may_be(secluded, monkeypatch, below, place, compressed):
    folder = secluded / "here" / below
    if place == "cache":
        folder = secluded / "cache" / "crossmesh" / "tinyshakespeare"
    folder.mkdir(parents=True)
    content = gzip.compress(LINES.encode()) if compressed else LINES.encode()
    (folder / f"input.txt{'.gz' * compressed}").write_bytes(content)
    if place == "variable":
        monkeypatch.setenv("CROSSMESH_DATA", str(secluded / "here"))
    directory = secluded / "here" if place == "directory" else None

    data = load(DataConfig(source="text", directory=directory, steps=8))

    assert data.name == folder.name
    assert characters_of(data.train.inputs[:3], data) == LINES[:24]


def test_missing_text_says_what_is_missing_and_what_to_do(secluded):
    mine, cache = secluded / "mine", secluded / "cache" / "crossmesh" / "tinyshakespeare"
    address = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/"
    with pytest.raises(DataError) as error:
        load(DataConfig(source="text", directory=mine))

    assert str(error.value) == (
        f"data.directory must hold input.txt, got none in {mine}/tinyshakespeare, {mine}, {cache}, "
        f"nor from the network ({address}input.txt: no route to host); "
        "give its folder by --data-dir, or another text by data.file"
    )


def test_absent_text_is_refused(tmp_path):
    with pytest.raises(DataError) as error:
        load(DataConfig(source="text", file=tmp_path / "absent"))

    assert str(error.value) == f"data.file must be a file, got {tmp_path / 'absent'}"


def test_text_of_other_bytes_is_refused(tmp_path):
    config = text(tmp_path)
    config.file.write_bytes(b"abc\xff")

    with pytest.raises(DataError) as error:
        load(config)

    assert str(error.value) == (
        f"data.file must hold text in UTF-8 in {config.file}, "
        "got 'utf-8' codec can't decode byte 0xff in position 3: invalid start byte"
    )


@pytest.mark.parametrize(
    ("content", "counts"), [("", "0 and 0"), ("ab" * 40, "64 and 16"), ("ab" * 41, "66 and 16")]
)
def test_text_without_a_whole_window_is_refused(tmp_path, content, counts):
    config = text(tmp_path, content, steps=16)
    with pytest.raises(DataError) as error:
        load(config)

    assert str(error.value) == (
        "data.steps must be less than the characters to train on and to test with in "
        f"{config.file} ({counts}), got 16"
    )


def test_text_of_one_window_each_is_enough(tmp_path):
    data = load(text(tmp_path, "ab" * 41, steps=15))

    assert (len(data.train), len(data.test)) == (4, 1)


def test_real_text_has_its_published_counts():
    path = SHARED / "tinyshakespeare" / "input.txt"
    if not path.is_file():
        pytest.skip(f"needs the text of tinyshakespeare in {path}")
    data = load(DataConfig(source="text", directory=SHARED, test_fraction=0.1))

    assert hashlib.sha256(path.read_bytes()).hexdigest() == next(
        iter(published.PUBLICATIONS["tinyshakespeare"].sha256.values())
    )
    assert (data.name, data.tokens, data.n_outputs) == ("tinyshakespeare", 65, 65)
    assert (len(data.train), len(data.test)) == (1_003_854 // 64, 111_538 // 64)
    assert characters_of(data.train.inputs[0], data).startswith("First Citizen:\nBefore we proceed")
    np.testing.assert_array_equal(data.train.inputs[:, 1:], data.train.targets[:, :-1])


@pytest.mark.parametrize(
    ("targets", "has_classes"),
    [
        (np.zeros(4, np.int32), True),
        (np.zeros((4, 6), np.int32), True),
        (np.zeros((4, 6), np.float32), False),
    ],
)
def test_integer_targets_are_classes_of_any_rank(targets, has_classes):
    examples = Examples(np.zeros((4, 6), np.float32), targets)
    dataset = Dataset("mine", examples, examples, (6,), 1)

    assert examples.has_classes == dataset.has_classes == has_classes


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"source": "idx"}, "directory must be given for the source idx, got none"),
        ({"source": "npz"}, "file must be given for the source npz, got none"),
        (
            {"source": "mnist", "examples": 9},
            "examples must be left out for the source mnist, got 9",
        ),
        (
            {"source": "mnist", "crop": {"rows": [5, 5], "columns": [0, 1]}},
            r"rows must rise .*\[5, 5\]",
        ),
        ({"source": "digits", "test_fraction": 1.0}, "less than 1"),
        (
            {"source": "text", "standardise": True},
            "standardise must be left out for the source text, got True",
        ),
        ({"source": "digits", "steps": 8}, "steps must be left out for the source digits, got 8"),
        (
            {"source": "cifar10", "file": Path("f")},
            "file must be left out for the source cifar10, got f",
        ),
        (
            {"source": "cifar10", "test_fraction": 0.1},
            r"test_fraction must be left out for the source cifar10, got 0\.1",
        ),
        ({"source": "text", "steps": 1}, "greater than or equal to 2"),
        ({"source": "cifar"}, "'digits', 'mnist'"),
        ({"source": "digits", "colour": True}, "Extra inputs are not permitted"),
    ],
)
def test_unfit_config_is_refused(fields, message):
    with pytest.raises(ValidationError, match=message):
        DataConfig(**fields)


@pytest.mark.parametrize("source", SOURCES)
def test_config_written_in_full_loads_again(source):
    config = DataConfig(
        source=source, file="~/f" if source in ("npz", "parquet") else None, directory="~/d"
    )

    assert DataConfig.model_validate(config.model_dump(mode="json")) == config
    assert config.directory == Path.home() / "d"


@pytest.mark.parametrize("source", ["idx", "text"])
def test_a_link_to_itself_is_refused_as_what_is_not_there(source, tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(DataError, match=r"^data\.directory must "):
        load(DataConfig(source=source, directory=tmp_path / "loop"))
