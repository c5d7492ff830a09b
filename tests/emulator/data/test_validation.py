"""``data.validation`` and ``training.class_weights``."""

import numpy as np
import pytest

from crossmesh.common.errors import ConfigError, DataError
from crossmesh.emulator.compiler.class_weights import class_weights
from crossmesh.emulator.compiler.job import prepare
from crossmesh.emulator.config.rates import EpochLoss, Moment, PlateauRate
from crossmesh.emulator.config.run import Training
from crossmesh.emulator.data import DataConfig, Dataset, Examples
from crossmesh.emulator.data.validation import with_validation
from crossmesh.emulator.runs.directory import RunDirectory
from crossmesh.emulator.training.training import evaluate, train
from crossmesh.tiles.digital import LOSSES
from tests.jobs import small_config

LABELS = np.repeat([0, 1, 2], [60, 30, 10]).astype(np.int32)


def dataset_of(labels=LABELS):
    inputs = np.arange(len(labels), dtype=np.float32)[:, np.newaxis]
    examples = Examples(inputs, labels)
    return Dataset("numbers", examples, examples.first(4), (1,), 3)


def config(**fields):
    return DataConfig(source="digits", **fields)


def test_what_is_set_aside_is_no_longer_trained_on_and_follows_from_the_seed():
    split = with_validation(dataset_of(), config(validation=0.25), seed=3)
    train_x, aside_x = (part.inputs.ravel().tolist() for part in (split.train, split.validation))

    assert sorted(train_x + aside_x) == list(range(100))
    assert len(aside_x) == 25
    again, other = (with_validation(dataset_of(), config(validation=0.25), s) for s in (3, 4))
    assert again.validation.inputs.ravel().tolist() == aside_x
    assert other.validation.inputs.ravel().tolist() != aside_x
    assert aside_x == sorted(aside_x)
    np.testing.assert_array_equal(split.validation.targets, LABELS[np.array(aside_x, int)])


def test_every_class_has_its_part_where_it_is_stratified():
    split = with_validation(dataset_of(), config(validation=0.1, stratified=True), seed=0)

    assert np.bincount(split.validation.targets).tolist() == [6, 3, 1]


@pytest.mark.parametrize(
    ("labels", "fields", "message"),
    [
        (LABELS[:3], {"validation": 0.9}, "must leave a training example or more, got 0.9 of 3"),
        (
            LABELS.astype(np.float32)[:, np.newaxis],
            {"validation": 0.1, "stratified": True},
            r"data\.stratified must be false unless examples have one class each",
        ),
    ],
)
def test_what_cannot_be_set_aside_is_refused(labels, fields, message):
    with pytest.raises(DataError, match=message):
        with_validation(dataset_of(labels), config(**fields), seed=0)


def test_a_run_reports_it_and_a_test_says_the_same(tmp_path):
    directory = RunDirectory(tmp_path / "run")
    result = train(small_config(data={"validation": 0.2}), directory)
    last = result.history.to_pylist()[-1]
    again = evaluate(directory, directory.config(), lambda line: None)

    assert result.examples_trained == 2 * 40
    for name in ("validation_loss", "validation_accuracy", "test_loss", "test_accuracy"):
        assert getattr(result, name) == last[name] == again[name]
    assert result.validation_loss != result.test_loss


def test_a_rate_may_watch_it():
    rate = {"kind": "plateau", "value": 0.05, "monitor": "validation_loss", "patience": 0}
    losses = [EpochLoss(3.0, 3.0, 1.0), EpochLoss(2.0, 2.0, 1.5), EpochLoss(1.0, 1.0, 1.4)]
    moment = Moment(epoch=3, update=0, updates=1, examples=30, losses=losses)
    assert PlateauRate(**rate).at(moment) == pytest.approx(0.05 / 100)

    training = {"learning_rate": rate, "baseline": True}
    assert train(small_config(data={"validation": 0.2}, training=training)).epochs == 2
    with pytest.raises(ConfigError, match=r"without data\.validation, got validation_loss"):
        small_config(training=training)


# Weights of classes


@pytest.mark.parametrize("steps", [1, 3])
def test_weighted_cross_entropy_is_that_of_pytorch(steps):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(6 * steps, 4)).astype(np.float32)
    targets = rng.integers(0, 4, 6 * steps).astype(np.int32)
    weights = np.array([0.5, 2.0, 0.0, 1.0], np.float32)
    x = torch.tensor(logits, requires_grad=True)
    weight = torch.tensor(weights)
    theirs = torch.nn.CrossEntropyLoss(weight, reduction="sum")(x, torch.tensor(targets).long())
    (theirs / steps).backward()

    y = torch.softmax(x, 1).detach().numpy()
    shaped = targets if steps == 1 else targets.reshape(6, steps)
    loss, d = LOSSES["cross_entropy"].evaluate_weighted(y, shaped, weights)
    assert loss == pytest.approx(theirs.item() / steps, rel=1e-5)
    np.testing.assert_allclose(d, -x.grad.numpy(), atol=1e-6)


def test_one_sigmoid_output_has_the_weights_of_no_and_yes():
    y = np.array([[0.2], [0.9], [0.6]], np.float32)
    targets = np.array([[0.0], [1.0], [1.0]], np.float32)
    loss = LOSSES["binary_cross_entropy"]
    both, d = loss.evaluate_weighted(y, targets, np.array([1, 3], np.float32))

    zeros, ones = loss.evaluate(y[:1], targets[:1]), loss.evaluate(y[1:], targets[1:])
    assert both == pytest.approx(zeros[0] + 3 * ones[0])
    np.testing.assert_allclose(d, np.concatenate([zeros[1], 3 * ones[1]]))


def test_balanced_weights_are_those_of_scikit_learn():
    weights = class_weights(Training(class_weights="balanced"), dataset_of(), 3)

    np.testing.assert_allclose(weights, 100 / (3 * np.array([60, 30, 10])))
    assert np.mean(np.array(weights)[LABELS]) == pytest.approx(1)


def test_weights_of_one_change_no_bit_and_others_do():
    plain = train(small_config())
    ones = train(small_config(training={"class_weights": [1.0] * 10}))
    others = train(small_config(training={"class_weights": "balanced"}))

    assert ones.state_digest == plain.state_digest != others.state_digest


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"training": {"class_weights": [1.0, 2.0]}}, "one entry for each of 10 classes, got 2"),
        (
            {"training": {"class_weights": "balanced"}, "data": {"source": "npz"}},
            r"training\.class_weights must be left out unless targets are classes",
        ),
    ],
)
def test_weights_of_what_is_no_class_are_refused(change, message, tmp_path):
    if "data" in change:
        file = tmp_path / "values.npz"
        np.savez(file, x_train=np.ones((200, 4)), y_train=np.ones((200, 10)))
        change["data"] |= {"file": str(file)}
        change |= {"loss": "mean_squared_error"}
    with pytest.raises((ConfigError, DataError), match=message):
        prepare(small_config(**change))
