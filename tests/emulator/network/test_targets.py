"""Losses, last activations and targets, through the command: PyTorch's numbers, or one line.

The tiles are ideal, so one update of all examples leaves minus the gradient in the weights.
"""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from crossmesh.emulator.cli import main

N, INPUTS, OUTPUTS, STEPS = 6, 4, 3, 2
RATE = 0.125
IDEAL = {
    "cell": {"kind": "ideal"},
    "read": {
        "noise_management": "none", "bound_management": "none", "dac": None, "adc": None,
        "output_noise": 0.0,
    },
}  # fmt: skip
RNG = np.random.default_rng(0)
X = RNG.uniform(-1, 1, (N, INPUTS)).astype(np.float32)
WEIGHT = RNG.uniform(-0.5, 0.5, (OUTPUTS, INPUTS)).astype(np.float32)
BIAS = RNG.uniform(-0.5, 0.5, OUTPUTS).astype(np.float32)
CLASSES = np.array([0, 1, 2, 2, 0, 1])
SOFT = RNG.uniform(0.1, 1, (N, OUTPUTS))
LABELS = np.array([[1, 1, 1], [0, 1, 1], [1, 0, 1], [0, 0, 0], [1, 0, 0], [0, 0, 1]])
TARGETS = {
    "classes": CLASSES,
    "one-hot ints": np.eye(OUTPUTS, dtype=np.int64)[CLASSES],
    "one-hot": np.eye(OUTPUTS)[CLASSES],
    "distributions": SOFT / SOFT.sum(axis=1, keepdims=True),
    "shares": SOFT,  # from 0 to 1, but with any sum
    "labels": LABELS.astype(float),
    "label ints": LABELS,
    "positive": 3 * SOFT,
    "small": SOFT - 0.5,  # within -1 and 1
    "values": 4 * SOFT - 2,
    "classes as floats": CLASSES[:, None].astype(float),
    "steps": np.stack([CLASSES, CLASSES[::-1]], axis=1),
}
# What outputs of each activation may be asked for.
FITTING = {
    "softmax": {"classes", "one-hot ints", "one-hot", "distributions", "steps"},
    "sigmoid": {"classes", "one-hot ints", "one-hot", "distributions", "shares", "labels",
                "label ints", "steps"},
    "tanh": {"classes", "one-hot ints", "one-hot", "distributions", "shares", "labels",
             "label ints", "small", "steps"},
    "relu": TARGETS.keys() - {"small", "values", "classes as floats"},
    "gelu": TARGETS.keys() - {"small", "values", "classes as floats"},
    "identity": TARGETS.keys() - {"classes as floats"},
}  # fmt: skip
BEHIND = {"cross_entropy": "softmax", "binary_cross_entropy": "sigmoid"}
ACCURATE = {"classes", "one-hot ints", "one-hot", "steps"}  # with any loss


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """The command within this process and a folder of its own: exit code, output, errors."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["crossmesh", *map(str, arguments)])
        return main.run(), *capsys.readouterr()

    return run


@pytest.fixture
def trained(run):
    """Exit code, summary or error, and trained weights of one update."""

    def trained(loss, activation, targets, *, y_test=None, outputs=OUTPUTS, **data):
        is_sequence = targets.ndim == 2 and targets.shape[1] == STEPS
        x = np.stack([X, X[::-1]], axis=1) if is_sequence else X
        if not data:
            y_test = targets if y_test is None else y_test
            np.savez("data.npz", x_train=x, y_train=targets, x_test=x, y_test=y_test)
            data = {"source": "npz", "file": "data.npz"}
        given = {"out.weight": WEIGHT[:outputs], "out.bias": BIAS[:outputs]}
        out = {"kind": "linear", "name": "out", "outputs": outputs, "activation": activation}
        network = [out]
        if is_sequence:
            network = [{"kind": "position", "name": "at", "frozen": True}, out]
            given["at.weight"] = np.zeros((STEPS, INPUTS), np.float32)
        np.savez("weights.npz", **given)
        config = {
            "name": "one", "data": data, "network": network, "weights": "weights.npz",
            "loss": loss, "tile": IDEAL, "engine": {"kind": "local"},
            "training": {"epochs": 1, "batch": N, "learning_rate": RATE, "shuffle": False,
                         "baseline": True},
        }  # fmt: skip
        Path("one.yaml").write_text(yaml.safe_dump(config))
        code, _, error = run("train", "one.yaml", "--run-dir", "run", "--quiet")
        if code:
            return code, error, {}
        assert run("export", "run", "--npz", "after.npz", "--quiet")[0] == 0
        with np.load("after.npz") as after:
            weights = {name: after[name] for name in after.files}
        return code, json.loads(Path("run/summary.json").read_text()), weights

    return trained


def of_pytorch(loss, activation, targets, outputs=OUTPUTS):
    """Mean loss, and sums over the examples of the gradients of weight and bias."""
    torch = pytest.importorskip("torch", reason="PyTorch, the oracle, is not installed")
    f = torch.nn.functional
    weight = torch.tensor(WEIGHT[:outputs], requires_grad=True)
    bias = torch.tensor(BIAS[:outputs], requires_grad=True)
    x, t = torch.tensor(X), torch.tensor(targets)
    if targets.ndim == 2 and targets.shape[1] == STEPS:
        x, t = torch.stack([x, x.flip(0)], dim=1).reshape(-1, INPUTS), t.reshape(-1)
    logits = x @ weight.T + bias
    is_class = t.ndim == 1
    values = f.one_hot(t, outputs).float() if is_class else t.float()
    if loss == "cross_entropy":
        mean = f.cross_entropy(logits, t if is_class else values)
    elif loss == "binary_cross_entropy":
        mean = f.binary_cross_entropy(torch.sigmoid(logits), values)
    else:
        act = {"identity": lambda u: u, "softmax": lambda u: torch.softmax(u, 1), "gelu": f.gelu}
        y = act.get(activation, getattr(torch, activation, None))(logits)
        mean = f.mse_loss(y, values) / 2
    (mean * N).backward()
    return mean.item(), weight.grad.numpy(), bias.grad.numpy()


def fits(loss, activation, kind):
    return BEHIND.get(loss, activation) == activation and kind in FITTING[activation]


@pytest.mark.parametrize("activation", FITTING)
@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy", "mean_squared_error"])
def test_loss_and_gradient_are_those_of_pytorch_or_the_targets_are_refused(
    trained, tmp_path, monkeypatch, loss, activation
):
    for kind, targets in TARGETS.items():
        folder = tmp_path / kind
        folder.mkdir()
        monkeypatch.chdir(folder)
        code, reported, after = trained(loss, activation, targets)
        if not fits(loss, activation, kind):
            assert code == 2, kind
            assert reported.startswith(("error: data must have targets ", "error: network.")), (
                reported
            )
            assert reported.count("\n") == 1
            continue
        assert code == 0, (kind, reported)
        mean, weight, bias = of_pytorch(loss, activation, targets)
        assert reported["train_loss"] == pytest.approx(mean, rel=1e-5), kind
        np.testing.assert_allclose((WEIGHT - after["out.weight"]) / RATE, weight, atol=3e-6)
        np.testing.assert_allclose((BIAS - after["out.bias"]) / RATE, bias, atol=3e-6)
        has_accuracy = kind in ACCURATE or loss in BEHIND
        for name in ("test_accuracy", "baseline_test_accuracy"):
            assert (reported[name] is not None) == has_accuracy, (kind, name)


@pytest.mark.parametrize("kind", ["one-hot", "one-hot ints"])
@pytest.mark.parametrize(
    ("loss", "activation"), [("cross_entropy", "softmax"), ("mean_squared_error", "tanh")]
)
def test_one_hot_targets_train_as_their_classes_do(trained, run, loss, activation, kind):
    _, of_classes, weights = trained(loss, activation, CLASSES)
    shutil.rmtree("run")
    _, reported, after = trained(loss, activation, TARGETS[kind])
    assert reported["test_accuracy"] == of_classes["test_accuracy"]
    np.testing.assert_allclose(after["out.weight"], weights["out.weight"], atol=1e-6)
    tested = json.loads(run("evaluate", "run", "--json", "--quiet")[1])
    assert tested["test_accuracy"] == reported["test_accuracy"]


def test_of_several_labels_each_is_right_or_wrong(trained, run):
    _, reported, after = trained("binary_cross_entropy", "sigmoid", LABELS)
    u = X @ after["out.weight"].T + after["out.bias"]
    assert reported["test_accuracy"] == pytest.approx(((u > 0) == (LABELS > 0)).mean())
    tested = json.loads(run("evaluate", "run", "--json", "--quiet")[1])
    assert tested["test_accuracy"] == reported["test_accuracy"]


@pytest.mark.parametrize(
    "targets", [CLASSES > 0, (CLASSES > 0)[:, None] * 1.0], ids=["int", "float"]
)
def test_one_sigmoid_output_tells_two_classes_apart(trained, targets):
    targets = targets * 1
    _, reported, after = trained("binary_cross_entropy", "sigmoid", targets, outputs=1)
    mean, weight, bias = of_pytorch(
        "binary_cross_entropy", "sigmoid", targets.astype(float).reshape(-1, 1), 1
    )
    assert reported["train_loss"] == pytest.approx(mean, rel=1e-5)
    np.testing.assert_allclose((WEIGHT[:1] - after["out.weight"]) / RATE, weight, atol=3e-6)
    np.testing.assert_allclose((BIAS[:1] - after["out.bias"]) / RATE, bias, atol=3e-6)
    u = X @ after["out.weight"].T + after["out.bias"]
    assert reported["test_accuracy"] == pytest.approx(
        ((u > 0)[:, 0] == (targets.ravel() > 0)).mean()
    )


CASES = {
    "negative": ("cross_entropy", "softmax", {(2, 1): -0.5}, "training",
                 "from 0 to 1, as outputs of softmax are, got -0.5 in training example 2"),
    "sum": ("cross_entropy", "softmax", {(4, 0): 0.5, (4, 1): 0.5, (4, 2): 0.5}, "training",
            "that add up to 1 in every example, as outputs of softmax do (several labels of an "
            "example take sigmoid and the loss binary_cross_entropy), got a sum of 1.5 in training "
            "example 4"),
    "test": ("cross_entropy", "softmax", {(5, 2): 2.0}, "test",
             "from 0 to 1, as outputs of softmax are, got 2 in test example 5"),
    "label": ("binary_cross_entropy", "sigmoid", {(1, 1): 2.0}, "training",
              "from 0 to 1, as outputs of sigmoid are, got 2 in training example 1"),
    "tanh": ("mean_squared_error", "tanh", {(0, 2): -1.5}, "test",
             "from -1 to 1, as outputs of tanh are, got -1.5 in test example 0"),
    "relu": ("mean_squared_error", "relu", {(3, 0): -0.25}, "training",
             "of at least 0, as outputs of relu are, got -0.25 in training example 3"),
    "just beyond": ("mean_squared_error", "tanh", {(0, 2): -1.00002}, "test",
                    "from -1 to 1, as outputs of tanh are, got -1.00002 in test example 0"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("source", ["npz", "parquet"])
def test_one_target_of_many_is_found_in_either_part(trained, case, source):
    loss, activation, changes, part, rule = case
    parts = {"training": TARGETS["one-hot"].copy(), "test": TARGETS["one-hot"].copy()}
    for place, value in changes.items():
        parts[part][place] = value
    data = {}
    if source == "parquet":
        for name, targets in parts.items():
            columns = {f"x{j}": X[:, j] for j in range(INPUTS)} | {"target": list(targets)}
            pq.write_table(pa.table(columns), f"{name}.parquet")
        data = {"source": "parquet", "file": "training.parquet", "test_file": "test.parquet"}
    code, reported, _ = trained(loss, activation, parts["training"], y_test=parts["test"], **data)
    assert (code, reported) == (2, f"error: data must have targets {rule}\n")


def test_sums_may_be_off_by_what_rounding_leaves(trained):
    targets = np.round(TARGETS["distributions"], 3)
    assert trained("cross_entropy", "softmax", targets)[0] == 0


@pytest.mark.parametrize(
    ("activation", "name"), [("tanh", "one-hot"), ("sigmoid", "labels"), ("relu", "positive")]
)
def test_values_may_be_beyond_a_limit_by_what_rounding_leaves(trained, activation, name):
    targets = TARGETS[name].copy()
    targets[0, 0] = 0.0 if activation == "relu" else 1.0
    targets[0, 0] += -5e-6 if activation == "relu" else 5e-6
    assert trained("mean_squared_error", activation, targets)[0] == 0


def test_one_softmax_output_is_refused_with_what_may_be_meant(trained):
    code, reported, _ = trained("cross_entropy", "softmax", TARGETS["classes as floats"], outputs=1)
    assert code == 2
    assert reported == (
        "error: network.0.outputs must be at least 2 for softmax, whose only output would always "
        "be 1, got 1; class numbers in the data must be of a whole-number type, and a yes or no "
        "may have one sigmoid output and the loss binary_cross_entropy\n"
    )
