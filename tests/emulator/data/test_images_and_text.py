"""Data sources: what they give, what they refuse, and that order and split never move."""

import gzip
import hashlib
import tarfile
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from crossmesh.emulator.data import (
    SOURCES,
    DataConfig,
    DataError,
    Dataset,
    Examples,
    load,
    published,
)
from tests.emulator.data.data_material import (
    BATCHES,
    IMAGES,
    LABELS,
    LINES,
    SHARED,
    archive,
    idx_contents,
    npz,
    serve,
    text,
    write_batches,
    write_idx,
)


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

    rule = rf"data\.directory must hold a whole gzip stream in {folder / name}"
    with pytest.raises(DataError, match=rf"\A{rule}, got .+\Z"):
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

    rule = "data.standardise must be false unless inputs differ from each other"
    assert str(error.value) == f"{rule}, {message}"


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
