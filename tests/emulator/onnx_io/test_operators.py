"""Networks from and to ONNX, PyTorch and archives of weights."""

import subprocess
import sys
import warnings

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.config.layers import (
    MergeLayer,
)
from crossmesh.emulator.onnx_io.reading import read_onnx
from crossmesh.emulator.onnx_io.torch_path import from_torch
from crossmesh.emulator.onnx_io.writing import write_onnx
from tests.emulator.onnx_io.onnx_material import (
    CAUSAL,
    check_read,
    f32,
    lstm,
    onnx_file,
    ran,
    same_weights,
)
from tests.layers_oracle import evaluate, softmax


@pytest.mark.parametrize("causal", [0, 1])
def test_the_attention_operator_shares_keys_between_heads(causal, tmp_path):
    nodes = [
        ("MatMul", ["x", "wq"], ["q"], {}),
        ("MatMul", ["x", "wk"], ["k"], {}),
        ("MatMul", ["x", "wv"], ["v"], {}),
        (
            "Attention",
            ["q", "k", "v"],
            ["y"],
            {"q_num_heads": 4, "kv_num_heads": 2, "is_causal": causal},
        ),
    ]
    constants = {"wq": f32(6, 8), "wk": f32(6, 4, seed=1), "wv": f32(6, 4, seed=2)}
    path = onnx_file(tmp_path / "a.onnx", nodes, (5, 6), constants, opset=23)

    read = check_read(path, f32(2, 5, 6))

    assert [layer.kind for layer in read.layers] == ["linear", "scores"]
    assert read.layers[0].outputs == 24


def test_queries_keys_and_values_that_are_no_projections_are_laid_side_by_side(tmp_path):
    nodes = [
        ("Relu", ["x"], ["v"], {}),
        ("Transpose", ["x"], ["k"], {"perm": [0, 2, 1]}),
        ("MatMul", ["x", "k"], ["s"], {}),
        ("Mul", ["s", "scale"], ["t"], {}),
        ("Softmax", ["t"], ["a"], {}),
        ("MatMul", ["a", "v"], ["y"], {}),
    ]
    path = onnx_file(tmp_path / "a.onnx", nodes, (5, 4), {"scale": np.float32(0.5)})

    read = check_read(path, f32(2, 5, 4))

    assert read.layers[1] == MergeLayer(
        kind="concat", name="concat1", inputs=["input", "input", "relu0"]
    )


def test_moves_before_a_linear_layer_are_folded_into_its_weights(tmp_path):
    nodes = [
        ("Transpose", ["x"], ["t"], {"perm": [0, 2, 3, 1]}),  # channels last
        ("Slice", ["t", "one", "three", "one"], ["s"], {}),  # without the first row of pixels
        ("Reshape", ["s", "shape"], ["f"], {}),
        ("Gemm", ["f", "w", "b"], ["y"], {"alpha": 2.0}),
    ]
    constants = {"one": [1], "three": [3], "shape": [0, -1], "w": f32(12, 5), "b": f32(5)}
    path = onnx_file(tmp_path / "a.onnx", nodes, (3, 3, 2), constants)

    read = check_read(path, f32(2, 3, 3, 2))

    assert [layer.kind for layer in read.layers] == ["linear"]


def test_a_flattened_sequence_goes_step_by_step_as_in_pytorch(tmp_path):
    nodes = [("Flatten", ["x"], ["f"], {}), ("MatMul", ["f", "w"], ["y"], {})]
    path = onnx_file(tmp_path / "a.onnx", nodes, (4, 3), {"w": f32(12, 2)})

    layers = check_read(path, f32(2, 4, 3)).layers

    assert [layer.kind for layer in layers] == ["flatten", "linear"]


def test_outputs_may_have_their_classes_along_any_axis(tmp_path):
    nodes = [("MatMul", ["x", "w"], ["a"], {}), ("Transpose", ["a"], ["y"], {"perm": [0, 2, 1]})]
    path = onnx_file(tmp_path / "a.onnx", nodes, (4, 3), {"w": f32(3, 2)})
    assert [layer.kind for layer in read_onnx(path).layers] == ["linear"]

    nodes = [("MatMul", ["x", "w"], ["a"], {}), ("Slice", ["a", "one", "two", "one"], ["y"], {})]
    path = onnx_file(tmp_path / "a.onnx", nodes, (4, 3), {"w": f32(3, 2), "one": [1], "two": [2]})
    with pytest.raises(ConfigError, match=r"must have an output with all values of a layer, got"):
        read_onnx(path)


def test_pixels_and_channels_are_selected_by_a_layer_that_never_learns(tmp_path):
    nodes = [
        ("Slice", ["x", "zeros", "ends", "axes", "steps"], ["s"], {}),
        ("Pad", ["s", "pads"], ["p"], {}),
        ("Conv", ["p", "w"], ["y"], {"auto_pad": "SAME_UPPER"}),
    ]
    constants = {
        "zeros": [0, 0],
        "ends": [99, 99],
        "axes": [2, 3],
        "steps": [2, 2],
        "pads": [0, 1, 0, 0, 0, 2, 0, 0],
        "w": f32(4, 5, 3, 3),
    }
    path = onnx_file(tmp_path / "a.onnx", nodes, (2, 6, 5), constants)

    selection, conv = check_read(path, f32(2, 2, 6, 5)).layers

    assert (selection.outputs, selection.stride, selection.kernel) == (5, 2, 1)
    assert selection.frozen
    assert selection.digital
    assert (conv.padding, conv.frozen) == (1, False)


def test_a_mean_of_pixels_with_channels_last_and_a_last_step_are_layers(tmp_path):
    nodes = [
        ("Transpose", ["x"], ["t"], {"perm": [0, 2, 3, 1]}),
        ("ReduceMean", ["t", "axes"], ["m"], {"keepdims": 0}),
        ("MatMul", ["m", "w"], ["y"], {}),
    ]
    path = onnx_file(tmp_path / "a.onnx", nodes, (3, 4, 2), {"axes": [1, 2], "w": f32(3, 2)})
    layers = check_read(path, f32(2, 3, 4, 2)).layers
    assert [layer.kind for layer in layers] == ["global_pool", "linear"]

    nodes = [("Gather", ["x", "end"], ["s"], {"axis": 1}), ("MatMul", ["s", "w"], ["y"], {})]
    path = onnx_file(tmp_path / "a.onnx", nodes, (4, 3), {"end": [-1], "w": f32(3, 2)})
    layers = check_read(path, f32(2, 4, 3)).layers
    assert [layer.kind for layer in layers] == ["last", "linear"]


W = {"w": f32(2, 3, 3, 3), "b": f32(2)}


REFUSED = {
    "einsum": ([("Einsum", ["x"], ["y"], {"equation": "nchw->nc"})], {}, "Einsum at node"),
    "pads": (
        [("Conv", ["x", "w"], ["y"], {"pads": [0, 0, 1, 1]})],
        W,
        r"Conv at node /block/Conv \(pads \[0, 0, 1, 1\] that differ on opposite sides\)",
    ),
    "ceil": (
        [("MaxPool", ["x"], ["y"], {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1})],
        {},
        r"MaxPool at node /block/MaxPool \(windows over the edge \(ceil_mode\)\)",
    ),
    "means": (
        [("AveragePool", ["x"], ["y"], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]})],
        {},
        r"AveragePool at node /block/AveragePool \(means that leave padding out\)",
    ),
    "product": (
        [("Sigmoid", ["x"], ["s"], {}), ("Mul", ["x", "s"], ["y"], {})],
        {},
        r"Mul at node /block/Mul \(a product of two layers\)",
    ),
    "gelu": (
        [("Gelu", ["x"], ["y"], {"approximate": "tanh"})],
        {},
        r"Gelu at node /block/Gelu \(approximate tanh\)",
    ),
    "clip": (
        [("Clip", ["x", "low", "high"], ["y"], {})],
        {"low": np.float32(0), "high": np.float32(6)},
        r"Clip at node /block/Clip \(bounds 0\.0 and 6\.0\)",
    ),
    "erf": ([("Erf", ["x"], ["y"], {})], {}, r"Erf at node /block/Erf$"),
    "pixels": (
        [("Reshape", ["x", "shape"], ["r"], {}), ("MatMul", ["r", "w"], ["y"], {})],
        {"shape": [0, 3, 25], "w": f32(25, 2)},
        r"MatMul at node /block/MatMul \(rows that are not the values of one example each\)",
    ),
    "random": (
        [("RandomNormalLike", ["x"], ["r"], {}), ("Add", ["x", "r"], ["y"], {})],
        {},
        r"RandomNormalLike at node",
    ),
    "weights": (
        [("Relu", ["x"], ["r"], {}), ("Conv", ["x", "r"], ["y"], {})],
        {},
        r"Conv at node /block/Conv \(input 1 that depends on the network's input\)",
    ),
    "offset": (
        [("Relu", ["x"], ["r"], {}), ("Add", ["r", "b"], ["y"], {})],
        {"b": f32(3, 5, 5)},
        r"Add at node /block/Add \(a constant that is added\)",
    ),
    "domain": (
        [("Relu", ["x"], ["r"], {}), ("FusedConv", ["r"], ["y"], {"domain": "com.microsoft"})],
        {},
        r"FusedConv at node /block/FusedConv \(domain com\.microsoft\)",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_operators_without_a_layer_are_named_with_their_node(name, tmp_path):
    nodes, constants, message = REFUSED[name]
    path = onnx_file(tmp_path / "a.onnx", nodes, (3, 5, 5), constants)
    if name == "domain":
        model = onnx.load(path)
        model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
        onnx.save(model, path)

    rule = r"network\.onnx must use supported operators, got .*"
    with pytest.raises(ConfigError, match=rule + message):
        read_onnx(path)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"direction": "reverse"}, r"direction reverse"),
        ({"activations": ["Relu", "Tanh", "Tanh"]}, r"activations other than sigmoid and tanh"),
        ({"clip": 1.0}, r"clip 1\.0"),
    ],
)
def test_unusual_recurrent_layers_are_refused(attributes, message, tmp_path):
    constants = {"w": f32(1, 8, 3), "r": f32(1, 8, 2)}
    nodes = [("Transpose", ["x"], ["t"], {"perm": [1, 0, 2]}), *lstm(**attributes)]
    nodes[1][1][0] = "t"
    path = onnx_file(tmp_path / "a.onnx", nodes, (4, 3), constants)

    with pytest.raises(ConfigError, match=rf"LSTM at node /block/LSTM \({message}\)"):
        read_onnx(path)


def test_masks_that_are_neither_causal_nor_none_are_refused(tmp_path):
    nodes = [
        ("Transpose", ["x"], ["k"], {"perm": [0, 2, 1]}),
        ("MatMul", ["x", "k"], ["s"], {}),
        ("Mul", ["s", "scale"], ["t"], {}),
        ("Add", ["t", "mask"], ["m"], {}),
        ("Softmax", ["m"], ["a"], {}),
        ("MatMul", ["a", "x"], ["y"], {}),
    ]
    mask = np.where(CAUSAL.T, 0, -np.inf).astype(np.float32)
    path = onnx_file(tmp_path / "a.onnx", nodes, (5, 4), {"mask": mask, "scale": np.float32(0.5)})
    with pytest.raises(ConfigError, match=r"a mask that is neither causal nor none"):
        read_onnx(path)

    path = onnx_file(
        tmp_path / "a.onnx", nodes, (5, 4), {"mask": f32(5, 5), "scale": np.float32(0.5)}
    )
    with pytest.raises(ConfigError, match=r"a constant that is added to scores"):
        read_onnx(path)


def test_files_that_are_no_models_are_refused(tmp_path):
    (tmp_path / "text.onnx").write_text("no model at all")
    with pytest.raises(ConfigError, match=r"network\.onnx must be an ONNX model, got .*text\.onnx"):
        read_onnx(tmp_path / "text.onnx")
    with pytest.raises(ConfigError, match=r"network\.onnx must be a file, got .*none\.onnx"):
        read_onnx(tmp_path / "none.onnx")


def test_models_with_an_open_shape_need_one(tmp_path):
    path = onnx_file(tmp_path / "a.onnx", [("Relu", ["x"], ["y"], {})], ("t", 3))

    with pytest.raises(ConfigError, match=r"be given input_shape, got x of \(n, n, 3\)"):
        read_onnx(path)
    with pytest.raises(ConfigError, match=r"must take examples of \(4, 2\), got \(None, 3\)"):
        read_onnx(path, input_shape=(4, 2))
    assert read_onnx(path, input_shape=(4, 3)).input_shape == (4, 3)


def test_models_with_several_inputs_or_outputs_are_refused(tmp_path):
    path = onnx_file(tmp_path / "a.onnx", [("Relu", ["x"], ["y"], {})], (3,))
    model = onnx.load(path)
    model.graph.output.append(helper.make_tensor_value_info("x", TensorProto.FLOAT, []))
    onnx.save(model, path)
    with pytest.raises(ConfigError, match=r"network\.onnx must have one output, got y, x"):
        read_onnx(path)

    model.graph.input.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, [1]))
    onnx.save(model, path)
    with pytest.raises(ConfigError, match=r"network\.onnx must have one input, got x, z"):
        read_onnx(path)


@pytest.mark.parametrize("place", ["../w.bin", "/w.bin", "none.bin"])
def test_weights_outside_the_folder_are_refused(place, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "w.bin").write_bytes(bytes(24))
    nodes = [("MatMul", ["x", "w"], ["y"], {})]
    path = onnx_file(folder / "a.onnx", nodes, (3,), {"w": f32(3, 2)})
    model = onnx.load(path)
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=place)
    path.write_bytes(model.SerializeToString())

    with pytest.raises(ConfigError, match=r"network\.onnx must (keep|have) its data") as caught:
        read_onnx(path)
    assert place in str(caught.value)


def test_nothing_is_imported_before_it_is_needed():
    modules = ("reading", "writing", "weights", "torch_path")
    code = "import sys; " + "; ".join(
        f"import crossmesh.emulator.onnx_io.{name}" for name in modules
    )
    code += "; print([name for name in ('onnx', 'torch') if name in sys.modules])"

    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert found.stdout.strip() == "[]"


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
    y = evaluate(read.layers, read.weights, x.numpy())
    np.testing.assert_allclose(y, wanted, atol=1e-5)
    write_onnx(read.layers, read.weights, read.input_shape, path, read.tokens)
    np.testing.assert_allclose(softmax(ran(path, x.numpy())), wanted, atol=1e-4)
    again = read_onnx(path)
    assert again.layers == [
        layer.model_copy(update={"digital": False, "frozen": False})
        if getattr(layer, "digital", False) and layer.kind != "embedding"
        else layer
        for layer in read.layers
    ]
    same_weights(again.weights, read.weights)


MODELS = (
    "mlp", "lenet5", "resnet20", "vgg8", "separable", "lstm", "gru-last", "nanogpt", "encoder",
    "multihead",
)  # fmt: skip


BY_DYNAMO = ("resnet20", "gru-last", "nanogpt", "encoder", "multihead-weights")


BY_SCRIPT = (
    "lenet5", "resnet20", "resnet20-b", "vgg8", "separable", "lstm", "nanogpt-by-hand", "encoder",
    "multihead", "multihead-weights",
)  # fmt: skip


EXPORTS = [*((name, True) for name in BY_DYNAMO), *((name, False) for name in BY_SCRIPT)]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "dynamo"), EXPORTS)
def test_exported_models_come_in_and_go_out_again(name, dynamo, torch_models, tmp_path):
    model, x = torch_models.built(name)
    exported(torch_models, model, x, tmp_path / "a.onnx", dynamo=dynamo)

    read = read_onnx(tmp_path / "a.onnx")

    check_both_ways(read, tmp_path / "b.onnx", shares(model, x), x)


LAYERS = {
    "mlp": "linear layer_norm linear linear",
    "lenet5": "conv average_pool conv average_pool linear linear",
    "lstm": "embedding lstm lstm linear",
    "gru-last": "embedding gru gru last linear",
    "nanogpt": "embedding position"
    + 2 * " layer_norm attention add layer_norm linear linear add"
    + " layer_norm linear",
    "encoder": "embedding position"
    + 2 * " attention add layer_norm linear linear add layer_norm"
    + " global_pool linear",
    "multihead": "attention add linear",
    "separable": "conv batch_norm relu conv batch_norm relu conv max_pool average_pool linear",
    "vgg8": 3 * "conv batch_norm relu conv batch_norm relu max_pool "
    + "linear batch_norm relu linear",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_models_come_in_with_all_their_layers_names_and_weights(name, torch_models, tmp_path):
    model, x = torch_models.built(name)
    model.train()

    read = from_torch(model, x)

    assert model.training
    check_both_ways(read, tmp_path / "a.onnx", shares(model.eval(), x), x)
    if name in LAYERS:
        kinds = [layer.kind.replace("global_pool", "average_pool") for layer in read.layers]
        assert kinds == LAYERS[name].replace("global_pool", "average_pool").split()
    same_parameters(model, read)


def same_parameters(model, read):
    """Every parameter of the model is one of the layers', under its own name."""
    own = {name.replace(".", "-"): array for name, array in read.weights.items()}
    attention = {"in_proj_weight": "qkv-weight", "in_proj_bias": "qkv-bias",
                 "out_proj-weight": "out-weight", "out_proj-bias": "out-bias",
                 "c_attn-weight": "qkv-weight", "c_attn-bias": "qkv-bias",
                 "c_proj-weight": "out-weight", "c_proj-bias": "out-bias",
                 "_l0": "", "recurrent-weight_ih_l1": "recurrent-2-weight_ih",
                 "recurrent-weight_hh_l1": "recurrent-2-weight_hh",
                 "recurrent-bias_ih_l1": "recurrent-2-bias_ih",
                 "recurrent-bias_hh_l1": "recurrent-2-bias_hh"}  # fmt: skip
    for name, array in model.state_dict().items():
        ours = name.replace(".", "-")
        for theirs, called in attention.items():
            ours = ours.replace(theirs, called)
        if ours not in own or "num_batches" in name or "mask" in name:
            continue
        scale = 4 if name == "embedding.weight" and "positions" in model.state_dict() else 1
        np.testing.assert_array_equal(own[ours], array.numpy() * scale, err_msg=name)
        own.pop(ours)
    assert not [name for name in own if not name.startswith(("position", "conv"))]


def test_models_that_cannot_come_in_say_so(torch_models):
    torch = torch_models.torch

    with pytest.raises(ConfigError, match=r"must use supported operators, got Mul at node"):
        from_torch(torch.nn.SiLU(), torch.zeros(2, 3))


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)

    with pytest.raises(ConfigError, match=r"from_torch must have the package torch, got none"):
        from_torch(None, None)
