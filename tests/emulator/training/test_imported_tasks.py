"""Imported networks: data for every task, and outputs of files by themselves."""

import warnings

import numpy as np
import pytest

from tests.emulator.commands.shell import done, refused
from tests.emulator.training.predicted import LOCAL, predicted

torch = pytest.importorskip("torch")

EXACT = """
tile:
  cell: {kind: ideal}
  read: {noise_management: none, bound_management: none, dac: null, adc: null, output_noise: 0.0}
engine: {kind: local}
training: {batch: 4}
"""


def exported(model, *inputs, path, names=("x", "y")):
    """Outputs of a model for some inputs, after it has gone to a file."""
    model.eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its exporter's own
        torch.onnx.export(
            model, tuple(x[:2] for x in inputs), path, input_names=names[:-1],
            output_names=names[-1:], dynamo=False, dynamic_axes={name: {0: "n"} for name in names},
        )  # fmt: skip
    return model(*inputs).detach().numpy()


class Language(torch.nn.Module):
    """A character model: 11 tokens, a class for every step."""

    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.Embedding(11, 8)
        self.lstm = torch.nn.LSTM(8, 9, batch_first=True)
        self.head = torch.nn.Linear(9, 11)

    def forward(self, x):
        return self.head(self.lstm(self.embedding(x))[0])


@pytest.mark.parametrize("kept", [np.int64, np.uint8])
def test_a_language_model_takes_tokens_and_targets_of_steps(kept, tmp_path):
    torch.manual_seed(0)
    x = torch.randint(0, 11, (40, 6))
    logits = exported(Language(), x, path=tmp_path / "net.onnx")
    following = np.roll(x.numpy(), -1, axis=1)
    tokens = x.numpy().astype(kept)
    arrays = {"x_train": tokens, "y_train": following, "x_test": tokens, "y_test": following}
    np.savez(tmp_path / "data.npz", **arrays)
    (tmp_path / "net.yaml").write_text(
        "name: language\ndata: {source: npz, file: data.npz, tokens: 11}\n"
        "network: {onnx: net.onnx}" + EXACT
    )
    tested = done("evaluate", "net.yaml", "--json", "--quiet", folder=tmp_path).answer
    loss = torch.nn.functional.cross_entropy(
        torch.tensor(logits).reshape(-1, 11), torch.tensor(following).reshape(-1)
    )
    assert tested["test_loss"] == pytest.approx(float(loss), rel=1e-5)
    trained = done("train", "net.yaml", "--json", "--quiet", folder=tmp_path).answer
    assert trained["test_loss"] < tested["test_loss"]

    arrays["x_test"] = tokens.copy()
    arrays["x_test"][3, 2] = 11
    np.savez(tmp_path / "data.npz", **arrays)
    sentence = refused("train", "net.yaml", "--quiet", folder=tmp_path)
    rule = "data must have inputs that are whole numbers of tokens below 11"
    assert sentence == f"error: {rule}, got 11 in test example 3"


@pytest.mark.parametrize("outputs", [1, 3])
def test_a_regression_keeps_the_end_of_its_file(outputs, tmp_path):
    torch.manual_seed(0)
    x = torch.rand(30, 4)
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(),
                                torch.nn.Linear(8, outputs))  # fmt: skip
    y = exported(model, x, path=tmp_path / "net.onnx")
    np.savez(tmp_path / "data.npz", x_train=x.numpy(), y_train=y + 0.5)
    (tmp_path / "net.yaml").write_text(
        "name: regression\ndata: {source: npz, file: data.npz}\nloss: mean_squared_error\n"
        "network: {onnx: net.onnx}" + EXACT
    )
    tested = done("evaluate", "net.yaml", "--json", "--quiet", folder=tmp_path).answer

    assert tested["test_loss"] == pytest.approx(0.125, rel=1e-5)
    assert tested["test_accuracy"] is None


@pytest.mark.parametrize("outputs", [1, 3])
def test_labels_get_a_sigmoid(outputs, tmp_path):
    torch.manual_seed(0)
    x = torch.rand(30, 4)
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(),
                                torch.nn.Linear(8, outputs))  # fmt: skip
    logits = exported(model, x, path=tmp_path / "net.onnx")
    labels = (np.random.default_rng(0).random((30, outputs)) < 0.5).astype(np.float32)
    arrays = {"x_train": x.numpy(), "y_train": labels, "x_test": x.numpy(), "y_test": labels}
    np.savez(tmp_path / "data.npz", **arrays)
    (tmp_path / "net.yaml").write_text(
        "name: labels\ndata: {source: npz, file: data.npz}\nloss: binary_cross_entropy\n"
        "network: {onnx: net.onnx}" + EXACT
    )
    tested = done("evaluate", "net.yaml", "--json", "--quiet", folder=tmp_path).answer
    loss = torch.nn.BCEWithLogitsLoss()(torch.tensor(logits), torch.tensor(labels))

    assert tested["test_loss"] == pytest.approx(float(loss), rel=1e-5)
    assert tested["test_accuracy"] == pytest.approx(((logits > 0) == labels).mean())


def test_an_onnx_file_by_itself(tmp_path):
    """Arrays have the file's names, outputs its axes; nothing is put behind its last operator."""
    torch.manual_seed(0)
    x, path = torch.rand(37, 2, 6, 5), tmp_path / "net.onnx"
    model = torch.nn.Sequential(torch.nn.Conv2d(2, 4, 3, padding=1), torch.nn.ReLU(),
                                torch.nn.Conv2d(4, 3, 1))  # fmt: skip
    wanted = exported(model, x, path=path, names=("picture", "maps"))
    np.savez(tmp_path / "in.npz", picture=x, other=np.arange(3))
    found = predicted(tmp_path, "net.onnx", "in.npz", "--ideal", "--top", 2)

    np.testing.assert_allclose(found["maps"], wanted, atol=1e-5)
    assert found["maps"].shape == (37, 3, 6, 5)
    order = np.argsort(-wanted, axis=1)[:, :2]
    np.testing.assert_array_equal(found["classes"], order)
    shares = np.exp(wanted) / np.exp(wanted).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(
        found["shares"], np.take_along_axis(shares, order, axis=1), atol=1e-5
    )
    noisy = predicted(tmp_path, "net.onnx", "in.npz")["maps"]
    assert 1e-3 < np.abs(noisy - wanted).max() < 1
    other = predicted(tmp_path, "net.onnx", "in.npz", "--set", "seed=1")["maps"]
    assert not np.array_equal(other, noisy)

    np.savez(tmp_path / "in.npz", picture=x[:, :, 1:])
    sentence = refused("predict", "net.onnx", "--inputs", "in.npz", "--out", "out.npz", *LOCAL,
                       folder=tmp_path)  # fmt: skip
    assert sentence == (
        "error: inputs must hold examples of the network's shape (2, 6, 5) in picture of in.npz, "
        "got (2, 5, 5)"
    )


class Both(torch.nn.Module):
    """Two inputs, of other shapes, whose products with weights are multiplied."""

    def __init__(self):
        super().__init__()
        self.a, self.b = torch.nn.Linear(6, 4), torch.nn.Linear(3, 4)

    def forward(self, left, right):
        return self.a(left.flatten(1)) * torch.sigmoid(self.b(right))


def test_an_onnx_file_of_two_inputs(tmp_path):
    torch.manual_seed(0)
    left, right, path = torch.rand(9, 2, 3), torch.rand(9, 3), tmp_path / "net.onnx"
    wanted = exported(Both(), left, right, path=path, names=("left", "right", "product"))
    np.savez(tmp_path / "in.npz", right=right.numpy(), left=left.numpy())
    found = predicted(tmp_path, "net.onnx", "in.npz", "--ideal")
    np.testing.assert_allclose(found["product"], wanted, atol=1e-6)
    np.savez(tmp_path / "in.npz", left=left.numpy())
    options = ("--inputs", "in.npz", "--out", "out.npz", *LOCAL)
    sentence = refused("predict", "net.onnx", *options, folder=tmp_path)
    assert sentence == "error: inputs must hold left, right, got left in in.npz"


class Halves(torch.nn.Module):
    """Two outputs of two vectors."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(5, 6)

    def forward(self, x):
        return self.linear(x)[:, :2], self.linear(x).mean(1)


def test_an_output_is_chosen(tmp_path):
    """One number for each example has no axis, and no classes."""
    torch.manual_seed(0)
    model, x = Halves().eval(), torch.rand(7, 5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model, (x[:2],), tmp_path / "net.onnx", input_names=["x"], output_names=["a", "b"],
            dynamo=False, dynamic_axes={name: {0: "n"} for name in "xab"},
        )  # fmt: skip
    np.savez(tmp_path / "in.npz", x=x.numpy())
    for name, wanted in zip("ab", model(x), strict=True):
        chosen = ("--set", f"network.output={name}", "--ideal")
        found = predicted(tmp_path, "net.onnx", "in.npz", *chosen)
        np.testing.assert_allclose(found[name], wanted.detach(), atol=1e-6)
    options = ("--inputs", "in.npz", "--out", "out.npz", "--top", 1, *chosen, *LOCAL)
    sentence = refused("predict", "net.onnx", *options, folder=tmp_path)
    assert sentence == "error: --top must be from 1 to the 0 outputs, got 1"
