"""``data.only_classes``: examples of some classes, numbered again in the order given."""

import numpy as np
import pytest
from pydantic import ValidationError

from crossmesh.emulator.data import DataConfig, DataError, load
from tests.emulator.data.data_material import (
    SHARED,
    npz,
    parquet,
    records,
    write_batches,
)

X = np.arange(24 * 5, dtype=np.float64).reshape(24, 5)
LABELS = np.arange(24) * 7 % 4


@pytest.mark.parametrize("classes", [[0, 1], [3, 0], [2, 3, 1, 0]])
@pytest.mark.parametrize("order", ["C", "F"])
def test_kept_are_the_examples_of_these_classes_in_the_order_of_the_file(tmp_path, classes, order):
    arrays = {"x_train": np.array(X[:16], order=order), "y_train": LABELS[:16]}
    arrays |= {"x_test": np.array(X[16:], order=order), "y_test": LABELS[16:]}
    data = load(npz(tmp_path, **arrays).model_copy(update={"only_classes": tuple(classes)}))

    assert data.n_outputs == len(classes)
    for part, x, y in ((data.train, X[:16], LABELS[:16]), (data.test, X[16:], LABELS[16:])):
        kept = np.isin(y, classes)
        np.testing.assert_array_equal(part.inputs, x[kept])
        assert [classes[number] for number in part.targets] == y[kept].tolist()


def test_what_is_set_aside_and_standardised_is_of_these_classes_alone(tmp_path):
    whole = {"x_train": X, "y_train": LABELS}
    half = {"x_train": X[LABELS < 2], "y_train": LABELS[LABELS < 2]}
    (tmp_path / "half").mkdir()
    chosen = npz(tmp_path, **whole).model_copy(update={"only_classes": (0, 1)})
    apart = npz(tmp_path / "half", **half)

    one, other = (
        load(config.model_copy(update={"standardise": True})) for config in (chosen, apart)
    )

    np.testing.assert_array_equal(one.train.inputs, other.train.inputs)
    np.testing.assert_array_equal(one.test.inputs, other.test.inputs)
    np.testing.assert_array_equal(one.test.targets, other.test.targets)


def test_files_of_records_are_read_in_parts(tmp_path):
    """3,000 images of CIFAR-10 are three parts of about 4 MiB."""
    batch = records(3000)
    names = ("data_batch.bin", "test_batch.bin")
    folder = write_batches(tmp_path, dict.fromkeys(names, batch.tobytes()))
    data = load(DataConfig(source="cifar10", directory=folder, only_classes=[9, 4]))

    kept = batch[np.isin(batch[:, 0], [9, 4])]
    np.testing.assert_array_equal(data.train.kept, kept[:, 1:])
    np.testing.assert_array_equal(data.train.targets, kept[:, 0] == 4)


def test_a_class_may_have_no_test_examples_but_some_must(tmp_path):
    arrays = {"x_train": X, "y_train": LABELS, "x_test": X[:3], "y_test": [0, 1, 0]}
    config = npz(tmp_path, **arrays)

    data = load(config.model_copy(update={"only_classes": (3, 0)}))
    assert (data.test.targets.tolist(), data.n_outputs) == ([1, 1], 2)
    with pytest.raises(DataError) as error:
        load(config.model_copy(update={"only_classes": (3, 2)}))
    assert str(error.value) == (
        "data.file must hold one or more examples, numbers (examples, inputs...) in x_test of "
        f"{config.file}, got float64 (0, 5)"
    )


def test_a_table_has_classes_to_choose_from(tmp_path):
    config = parquet(tmp_path, a=np.arange(24.0), b=np.arange(24), label=LABELS)
    data = load(config.model_copy(update={"only_classes": (2, 1)}))

    inputs = np.concatenate([data.train.inputs, data.test.inputs])[:, 1].astype(int)
    targets = np.concatenate([data.train.targets, data.test.targets])
    assert sorted(inputs) == np.flatnonzero(np.isin(LABELS, [1, 2])).tolist()
    np.testing.assert_array_equal(LABELS[inputs], 2 - targets)


def test_halves_of_cifar10_have_their_published_counts():
    if not (SHARED / "cifar10-subset").is_dir():
        pytest.skip(f"needs images of CIFAR-10 in {SHARED / 'cifar10-subset'}")
    data = load(DataConfig(source="cifar10", directory=SHARED, only_classes=[5, 6, 7, 8, 9]))

    assert np.bincount(data.train.targets).tolist() == [393, 414, 385, 407, 413]
    assert np.bincount(data.test.targets).tolist() == [86, 112, 102, 106, 109]


@pytest.mark.parametrize(
    ("labels", "place", "got"),
    [
        (LABELS, "examples of every class of data.only_classes", "none of class 7"),
        (
            LABELS[:, np.newaxis],
            "one class for each example, for data.only_classes to choose from,",
            "int64 (24, 1)",
        ),
        (
            LABELS[:, np.newaxis] / 2,
            "one class for each example, for data.only_classes to choose from,",
            "float64 (24, 1)",
        ),
    ],
)
def test_classes_that_the_data_lack_are_refused(tmp_path, labels, place, got):
    config = npz(tmp_path, x_train=X, y_train=labels).model_copy(update={"only_classes": (1, 7)})
    with pytest.raises(DataError) as error:
        load(config)

    assert str(error.value) == (
        f"data.file must hold {place} in y_train of {config.file}, got {got}"
    )


@pytest.mark.parametrize(
    ("source", "classes", "message"),
    [
        ("digits", [3, 4, 3], r"only_classes must differ, got \[3, 4, 3\]"),
        ("digits", [3], "at least 2 items"),
        ("digits", [3, -1], "greater than or equal to 0"),
        ("digits", [3, 2**31], "less than 2147483648"),
        ("digits", ["cat", "dog"], "valid integer"),
        ("synthetic", [0, 1], r"only_classes must be left out for the source synthetic"),
        ("text", [0, 1], r"only_classes must be left out for the source text"),
    ],
)
def test_unfit_choices_are_refused(source, classes, message):
    with pytest.raises(ValidationError, match=message):
        DataConfig(source=source, only_classes=classes)
