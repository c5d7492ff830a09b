"""Data sources: what they give, what they refuse, and that order and split never move."""

import gzip

import numpy as np
import pyarrow as pa
import pytest

from crossmesh.emulator.data import (
    DataConfig,
    DataError,
    load,
)
from tests.emulator.data.data_material import (
    BATCHES,
    IMAGES,
    LABELS,
    archive,
    npz,
    parquet,
    records,
    table,
    write_batches,
)


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
