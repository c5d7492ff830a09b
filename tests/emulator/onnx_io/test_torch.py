"""PyTorch models by way of ONNX: in with their names and weights, and out again."""

import re
import sys
import warnings

import numpy as np
import onnx
import pytest

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.onnx_io.reading import read_onnx
from crossmesh.emulator.onnx_io.torch_path import from_torch
from crossmesh.emulator.onnx_io.writing import write_onnx
from tests.emulator.onnx_io.onnx_material import kinds, ran, same_weights
from tests.exact import outputs
from tests.layers_oracle import softmax


@pytest.fixture(scope="module")
def torch_models():
    pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    from tests import torch_models

    return torch_models


def exported(torch_models, model, x, path, *, dynamo):
    """Export as people do; what PyTorch says of its own exporters is not ours."""
    torch = torch_models.torch
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if dynamo:
            shapes = ({0: torch.export.Dim("batch")},)
            torch.onnx.export(model, (x,), path, dynamo=True, dynamic_shapes=shapes, verbose=False)
        else:
            axes = {"x": {0: "n"}}
            torch.onnx.export(model, (x,), path, dynamo=False, input_names=["x"], dynamic_axes=axes)


def shares(model, x):
    return model(x).softmax(-1).detach().numpy()


def check_both_ways(read, path, wanted, x):
    """Layers compute what the model does, and so does what is written of them."""
    y = outputs(read, x.numpy())
    np.testing.assert_allclose(y, wanted, atol=1e-5)
    write_onnx(
        read.layers, read.weights, read.input_shape, path, read.tokens,
        channels_first=read.channels_first, arrangement=read.arrangement,
    )  # fmt: skip
    np.testing.assert_allclose(softmax(ran(path, x.numpy())), wanted, atol=1e-4)
    again = read_onnx(path)
    assert kinds(again) == kinds(read)
    same_weights(again.weights, read.weights)


MODELS = (
    "mlp", "lenet5", "resnet20", "vgg8", "separable", "lstm", "gru-last", "nanogpt", "encoder",
    "multihead", "both-ways", "vision",
)  # fmt: skip
BY_DYNAMO = ("resnet20", "gru-last", "nanogpt", "encoder", "multihead-weights", "vision")
BY_SCRIPT = (
    "lenet5", "resnet20", "resnet20-b", "vgg8", "separable", "lstm", "nanogpt-by-hand", "encoder",
    "multihead", "multihead-weights", "both-ways", "vision",
)  # fmt: skip
EXPORTS = [*((name, True) for name in BY_DYNAMO), *((name, False) for name in BY_SCRIPT)]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "dynamo"), EXPORTS)
def test_exported_models_come_in_and_go_out_again(name, dynamo, torch_models, tmp_path):
    model, x = torch_models.built(name)
    exported(torch_models, model, x, tmp_path / "a.onnx", dynamo=dynamo)

    read = read_onnx(tmp_path / "a.onnx")

    check_both_ways(read, tmp_path / "b.onnx", shares(model, x), x)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_models_come_in_with_all_their_names_and_weights(name, torch_models, tmp_path):
    model, x = torch_models.built(name)
    model.train()

    read = from_torch(model, x)

    assert model.training
    check_both_ways(read, tmp_path / "a.onnx", shares(model.eval(), x), x)
    same_parameters(model, read)


def same_parameters(model, read):
    """Every parameter of the model is one of a layer that learns, under its own name."""
    frozen = {layer.name for layer in read.layers if getattr(layer, "frozen", False)}
    learnt = {
        name: array for name, array in read.weights.items() if name.partition(".")[0] not in frozen
    }
    for name, array in model.named_parameters():
        own = NAMES.get(name) or called(name)
        held, wanted = learnt.pop(own), array.detach().numpy()
        if wanted.ndim == 4 and held.shape != wanted.shape:  # a kernel for each channel
            wanted = np.moveaxis(wanted, (0, 1), (-1, -2))
        np.testing.assert_array_equal(held.ravel(), wanted.ravel(), name)
    for name, _ in model.named_buffers():
        learnt.pop(called(name), None)
    assert set(learnt) <= {"lm_head-2.weight"}  # of the embedding, which is no matrix of tiles


# Names that files do not have, and layers of one module.
NAMES = {"wte.weight": "lm_head.weight"}


def called(name):
    """The name of ours for a parameter of PyTorch."""
    module, _, last = name.rpartition(".")
    if match := re.fullmatch(r"(weight|bias)_(ih|hh)_l(\d)(_reverse)?", last):
        number = 2 * int(match[3]) if match[4] else int(match[3])
        number += bool(match[4])
        return f"{module}{f'-{number + 1}' if number else ''}.{match[1]}_{match[2]}"
    if match := re.fullmatch(r"(.*)_(weight|bias)", last):
        module, last = f"{module}.{match[1]}", match[2]
    elif last not in {"weight", "bias", "running_mean", "running_var"}:
        module, last = name, "weight"
    return f"{module.replace('.', '-')}.{last}"


def test_models_that_cannot_come_in_say_so(torch_models):
    torch = torch_models.torch

    class Noisy(torch.nn.Module):
        def forward(self, x):
            return x + torch.rand_like(x)

    with pytest.raises(ConfigError, match=r"must use supported operators, got RandomUniformLike a"):
        from_torch(Noisy(), torch.zeros(2, 3))


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)

    with pytest.raises(ConfigError, match=r"from_torch must have the package torch, got none"):
        from_torch(None, None)


def test_large_weights_are_kept_beside_the_file(tmp_path, monkeypatch):
    from crossmesh.emulator.config.layers import LinearLayer
    from crossmesh.emulator.onnx_io import writing

    monkeypatch.setattr(writing, "MOST_BYTES_IN_FILE", 1000)
    weights = {"a.weight": np.ones((30, 40), np.float32), "a.bias": np.ones(30, np.float32)}
    write_onnx([LinearLayer(name="a", outputs=30)], weights, (40,), tmp_path / "a.onnx")

    tensors = onnx.load(tmp_path / "a.onnx", load_external_data=False).graph.initializer
    assert [entry.value for entry in tensors[0].external_data][:1] == ["a.onnx.data"]
    same_weights(read_onnx(tmp_path / "a.onnx").weights, weights)
