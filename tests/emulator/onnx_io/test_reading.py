"""ONNX graphs as networks: the same numbers, and what is refused."""

import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.config.layers import LinearLayer
from crossmesh.emulator.onnx_io.reading import read_onnx
from crossmesh.emulator.onnx_io.weights import matrices
from crossmesh.emulator.onnx_io.writing import write_onnx
from tests.emulator.onnx_io.onnx_material import check_read, f32, kinds, onnx_file, ran
from tests.exact import outputs

CAUSAL = np.tri(5, dtype=bool)
LOW = np.where(CAUSAL, 0, -np.inf).astype(np.float32)
SCALARS = {
    name: np.float32(value)
    for name, value in {"half": 0.5, "one": 1, "two": 2, "root": 2**0.5, "epsilon": 1e-3}.items()
}


def attention(order, mask):
    """Attention whose projection has its features in some order of (heads, part, features)."""
    return [
        ("MatMul", ["x", "w"], ["p"], {}),
        ("Reshape", ["p", "shape"], ["r"], {}),
        ("Transpose", ["r"], ["t"], {"perm": order}),
        ("Split", ["t"], ["q3", "k3", "v3"], {"axis": 0, "num_outputs": 3}),
        *[("Squeeze", [f"{part}3", "zero"], [part], {}) for part in "qkv"],
        ("Transpose", ["k"], ["kt"], {"perm": [0, 1, 3, 2]}),
        ("Mul", ["q", "half"], ["qs"], {}),
        ("MatMul", ["qs", "kt"], ["s"], {}),
        mask,
        ("Softmax", ["sm"], ["a"], {"axis": -1}),
        ("MatMul", ["a", "v"], ["o"], {}),
        ("Transpose", ["o"], ["z"], {"perm": [0, 2, 1, 3]}),
        ("Reshape", ["z", "flat"], ["y"], {}),
    ]


HEADS = {"w": f32(6, 24), "flat": [0, 5, 8], "zero": [0], "seen": CAUSAL, "mask": LOW,
         "low": np.float32(-1e9)}  # fmt: skip

# Nodes, shape of an example, constants, and the layers that they become.
GRAPHS = {
    "layer norm and GELU by hand": (
        [
            ("MatMul", ["x", "w"], ["a"], {}),
            ("ReduceMean", ["a", "axes"], ["m"], {}),
            ("Sub", ["a", "m"], ["c"], {}),
            ("Pow", ["c", "two"], ["s"], {}),
            ("ReduceMean", ["s", "axes"], ["v"], {}),
            ("Add", ["v", "epsilon"], ["e"], {}),
            ("Sqrt", ["e"], ["r"], {}),
            ("Div", ["c", "r"], ["n"], {}),
            ("Mul", ["n", "gamma"], ["g"], {}),
            ("Add", ["g", "beta"], ["b"], {}),
            ("Div", ["b", "root"], ["d"], {}),
            ("Erf", ["d"], ["f"], {}),
            ("Add", ["f", "one"], ["h"], {}),
            ("Mul", ["b", "h"], ["i"], {}),
            ("Mul", ["i", "half"], ["y"], {}),
        ],
        (3,),
        {"w": f32(3, 4), "gamma": f32(4, seed=1), "beta": f32(4, seed=2), "axes": [-1]},
        None,
    ),
    "attention, heads first": (
        attention([3, 0, 2, 1, 4], ("Where", ["seen", "s", "low"], ["sm"], {})),
        (5, 6),
        HEADS | {"shape": [0, 5, 2, 3, 4]},
        None,
    ),
    "attention, parts first": (
        attention([2, 0, 3, 1, 4], ("Add", ["s", "mask"], ["sm"], {})),
        (5, 6),
        HEADS | {"shape": [0, 5, 3, 2, 4]},
        None,
    ),
    "queries, keys and values that are no projections": (
        [
            ("Relu", ["x"], ["v"], {}),
            ("Transpose", ["x"], ["k"], {"perm": [0, 2, 1]}),
            ("MatMul", ["x", "k"], ["s"], {}),
            ("Softmax", ["s"], ["a"], {}),
            ("MatMul", ["a", "v"], ["y"], {}),
        ],
        (5, 4),
        {},
        ["relu", "matmul", "softmax", "matmul"],
    ),
    "moves before a linear layer": (
        [
            ("Transpose", ["x"], ["t"], {"perm": [0, 2, 3, 1]}),
            ("Slice", ["t", "first", "end", "first"], ["s"], {}),
            ("Reshape", ["s", "shape"], ["f"], {}),
            ("Gemm", ["f", "w", "b"], ["y"], {"alpha": 2.0}),
        ],
        (3, 3, 2),
        {"first": [1], "end": [3], "shape": [0, -1], "w": f32(12, 5), "b": f32(5)},
        None,
    ),
    "a sequence that is flattened step by step": (
        [("Flatten", ["x"], ["f"], {}), ("MatMul", ["f", "w"], ["y"], {})],
        (4, 3),
        {"w": f32(12, 2)},
        ["arrange", "linear"],
    ),
    "a reshape that cuts no axis evenly": (
        [("Relu", ["x"], ["r"], {}), ("Reshape", ["r", "shape"], ["f"], {}),
         ("MatMul", ["f", "w"], ["y"], {})],
        (4, 3),
        {"shape": [0, 2, 6], "w": f32(6, 2)},
        None,
    ),
    "part of an output": (
        [("MatMul", ["x", "w"], ["a"], {}), ("Slice", ["a", "first", "end", "first"], ["y"], {})],
        (4, 3),
        {"w": f32(3, 2), "first": [1], "end": [2]},
        ["linear", "slice"],
    ),
    "pixels, margins and a convolution with uneven padding": (
        [
            ("Slice", ["x", "zeros", "ends", "axes", "steps"], ["s"], {}),
            ("Pad", ["s", "pads"], ["p"], {}),
            ("Conv", ["p", "w"], ["c"], {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
            ("MaxPool", ["c"], ["y"], {"kernel_shape": [2, 1], "strides": [2, 2], "ceil_mode": 1}),
        ],
        (2, 9, 10),
        {"zeros": [0, 0], "ends": [99, 99], "axes": [2, 3], "steps": [2, 1], "w": f32(4, 5, 3, 3),
         "pads": [0, 1, 0, 0, 0, 2, 0, 0]},
        None,
    ),
    "a mean of pixels with channels last": (
        [
            ("Transpose", ["x"], ["t"], {"perm": [0, 2, 3, 1]}),
            ("ReduceMean", ["t", "axes"], ["m"], {"keepdims": 0}),
            ("MatMul", ["m", "w"], ["y"], {}),
        ],
        (3, 4, 2),
        {"axes": [1, 2], "w": f32(3, 2)},
        ["mean", "linear"],
    ),
    "the last step": (
        [("Gather", ["x", "end"], ["s"], {"axis": 1}), ("MatMul", ["s", "w"], ["y"], {})],
        (4, 3),
        {"end": [-1], "w": f32(3, 2)},
        ["slice", "linear"],
    ),
    "means without padding": (
        [("AveragePool", ["x"], ["y"], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]})],
        (3, 5, 5),
        {},
        ["average_pooling", "arrange"],
    ),
    "SiLU, ReLU6 and GELU by tanh": (
        [("Sigmoid", ["x"], ["s"], {}), ("Mul", ["x", "s"], ["m"], {}),
         ("Clip", ["m", "zero", "six"], ["c"], {}),
         ("Gelu", ["c"], ["y"], {"approximate": "tanh"})],
        (3, 5),
        {"zero": np.float32(0), "six": np.float32(6)},
        ["sigmoid", "multiply", "clip", "gelu"],
    ),
    "rows of pixels": (
        [("Reshape", ["x", "shape"], ["r"], {}), ("MatMul", ["r", "w"], ["y"], {})],
        (3, 5, 5),
        {"shape": [0, 3, 25], "w": f32(25, 2)},
        None,
    ),
    "a number for each pixel": (
        [("Add", ["x", "b"], ["y"], {})], (3, 5, 5), {"b": f32(3, 5, 5)}, ["add"],
    ),
    "sums of axes by letters": (
        [("Einsum", ["x", "w"], ["y"], {"equation": "nchw,ck->nhk"})],
        (3, 4, 5), {"w": f32(3, 2)}, None,
    ),
    "the same tensor several times": (
        [("Sum", ["x", "x"], ["s"], {}), ("Mean", ["x", "s", "x"], ["m"], {}),
         ("Max", ["m", "x"], ["y"], {})],
        (3,), {}, None,
    ),
    "places, and numbers set at them": (
        [("ArgMax", ["x"], ["p"], {"axis": 2}), ("Neg", ["x"], ["u"], {}),
         ("GatherElements", ["u", "p"], ["g"], {"axis": 2}),
         ("ScatterElements", ["x", "p", "g"], ["s"], {"axis": 2, "reduction": "add"}),
         ("ScatterElements", ["s", "p", "g"], ["y"], {"axis": 2})],
        (3, 4), {}, None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_computes_the_same_as_layers(name, tmp_path):
    nodes, shape, constants, wanted = GRAPHS[name]
    used = {value for _, inputs, _, _ in nodes for value in inputs}
    held = {key: array for key, array in SCALARS.items() if key in used} | constants
    path = onnx_file(tmp_path / "a.onnx", nodes, shape, held)

    read = check_read(path, f32(3, *shape, seed=1))

    assert wanted is None or kinds(read) == wanted


@pytest.mark.parametrize("causal", [0, 1])
def test_the_attention_operator_shares_keys_between_heads(causal, tmp_path):
    nodes = [
        *[("MatMul", ["x", f"w{part}"], [part], {}) for part in "qkv"],
        ("Attention", ["q", "k", "v"], ["y"],
         {"q_num_heads": 4, "kv_num_heads": 2, "is_causal": causal}),
    ]  # fmt: skip
    constants = {"wq": f32(6, 8), "wk": f32(6, 4, seed=1), "wv": f32(6, 4, seed=2)}
    path = onnx_file(tmp_path / "a.onnx", nodes, (5, 6), constants, opset=23)

    read = check_read(path, f32(2, 5, 6))

    assert [layer.outputs for layer in read.layers if layer.kind == "linear"] == [8, 4, 4]


def test_matrices_that_are_used_twice_share_their_tiles(tmp_path):
    nodes = [
        ("MatMul", ["x", "a.weight"], ["p"], {}),
        ("Add", ["p", "a.bias"], ["b"], {}),
        ("Relu", ["b"], ["r"], {}),
        ("MatMul", ["r", "a.weight"], ["q"], {}),
        ("Add", ["q", "a.bias"], ["s"], {}),
        ("Transpose", ["a.weight"], ["t"], {}),
        ("MatMul", ["s", "t"], ["y"], {}),
    ]
    constants = {"a.weight": f32(4, 4), "a.bias": f32(4)}
    path = onnx_file(tmp_path / "a.onnx", nodes, (4,), constants)

    read = check_read(path, f32(3, 4))

    linear = [layer for layer in read.layers if layer.kind == "linear"]
    assert [(one.name, one.share) for one in linear][:2] == [("a", None), ("a-2", "a")]
    assert linear[2].share is None
    assert [name for name in matrices(read.layers, read.weights) if name == "a-2"] == []


def test_a_parameter_that_every_example_is_given_is_one_that_learns(tmp_path):
    """As the class token of a transformer of images."""
    nodes = [
        ("MatMul", ["x", "w"], ["p"], {}),
        ("Shape", ["p"], ["n"], {"start": 0, "end": 1}),
        ("Concat", ["n", "sizes"], ["shape"], {"axis": 0}),
        ("Expand", ["token.weight", "shape"], ["t"], {}),
        ("Concat", ["t", "p"], ["y"], {"axis": 1}),
    ]
    constants = {"w": f32(3, 4), "sizes": [1, 4], "token.weight": f32(1, 1, 4)}
    path = onnx_file(tmp_path / "a.onnx", nodes, (5, 3), constants)

    read = check_read(path, f32(2, 5, 3))

    assert not any(getattr(layer, "frozen", False) for layer in read.layers)
    np.testing.assert_array_equal(
        read.weights["token.weight"].ravel(), constants["token.weight"].ravel()
    )


@pytest.mark.parametrize("opset", [11, 20])
@pytest.mark.parametrize("rate", [0.25, None])
def test_dropout_is_kept_where_a_rate_is_given(opset, rate, tmp_path):
    attributes = {} if rate is None or opset > 11 else {"ratio": rate}
    inputs = ["a", "rate"] if rate is not None and opset > 11 else ["a"]
    nodes = [("MatMul", ["x", "w"], ["a"], {}), ("Dropout", inputs, ["y"], attributes)]
    constants = {"w": f32(3, 4)} | ({"rate": np.float32(rate)} if len(inputs) > 1 else {})
    path = onnx_file(tmp_path / "a.onnx", nodes, (3,), constants, opset=opset)

    read = check_read(path, f32(2, 3))

    assert kinds(read) == (["linear"] if rate is None else ["linear", "dropout"])
    assert rate is None or read.layers[1].rate == rate


# Outputs


def test_a_softmax_at_the_end_is_added_only_to_logits(tmp_path):
    for activation, softmaxes in (("identity", 1), ("softmax", 1), ("tanh", 0)):
        layers = [LinearLayer(name="a", outputs=2, activation=activation)]
        arrays = {"a.weight": f32(2, 3), "a.bias": f32(2)}
        write_onnx(layers, arrays, (3,), tmp_path / "a.onnx", logits=False)

        read = read_onnx(tmp_path / "a.onnx").layers

        assert sum(layer.activation == "softmax" for layer in read) == softmaxes
    write_onnx([LinearLayer(name="a", outputs=2)], arrays, (3,), tmp_path / "a.onnx")
    assert read_onnx(tmp_path / "a.onnx", softmax=False).layers[-1].activation == "identity"


@pytest.mark.parametrize("operator", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("shape", [(4,), (5, 4), (4, 3, 5), (4, 2, 3, 5)])
def test_shares_of_classes_are_taken_once_wherever_the_classes_are(operator, shape, tmp_path):
    axis = {1: 1, 2: 2}.get(len(shape), 1)
    nodes = [("Relu", ["x"], ["r"], {}), (operator, ["r"], ["y"], {"axis": axis})]
    path = onnx_file(tmp_path / "a.onnx", nodes, shape)
    x = f32(2, *shape)

    read = read_onnx(path)

    assert kinds(read).count("softmax") == 1
    assert read.layers[-1].kind == "softmax"
    wanted = ran(path, x)
    wanted = np.exp(wanted) if operator == "LogSoftmax" else wanted
    np.testing.assert_allclose(outputs(read, x), wanted, atol=1e-6)


def test_one_of_several_outputs_is_chosen(tmp_path):
    nodes = [("Relu", ["x"], ["y"], {}), ("Tanh", ["x"], ["z"], {})]
    path = onnx_file(tmp_path / "a.onnx", nodes, (3,))
    model = onnx.load(path)
    model.graph.output.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, ["n", 3]))
    onnx.save(model, path)

    with pytest.raises(ConfigError, match=r"one output, or be given network\.output \(y, z\), got"):
        read_onnx(path)
    with pytest.raises(ConfigError, match=r"^network\.output must be one of y, z, got a$"):
        read_onnx(path, output="a")
    assert kinds(read_onnx(path, output="z", softmax=False)) == ["tanh"]


# Inputs


def test_several_inputs_follow_each_other_in_an_example(tmp_path):
    nodes = [("MatMul", ["x", "w"], ["p"], {}), ("Sub", ["p", "z"], ["y"], {})]
    path = onnx_file(tmp_path / "a.onnx", nodes, (2, 3), {"w": f32(3, 4)})
    model = onnx.load(path)
    model.graph.input.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, ["n", 1, 4]))
    onnx.save(model, path)

    read = check_read(path, f32(3, 2, 3), f32(3, 1, 4, seed=1))

    assert read.input_shape == (10,)
    assert [(one.name, one.shape) for one in read.inputs] == [("x", (2, 3)), ("z", (1, 4))]


def test_models_with_an_open_shape_need_one(tmp_path):
    path = onnx_file(tmp_path / "a.onnx", [("Relu", ["x"], ["y"], {})], ("t", 3))

    with pytest.raises(
        ConfigError, match=r"given network\.input_shape \(a shape\), got x of \(n, op"
    ):
        read_onnx(path)
    with pytest.raises(ConfigError, match=r"input_shape must fit x of \(.*, 3\), got \[4, 2\]"):
        read_onnx(path, input_shape=(4, 2))
    assert read_onnx(path, input_shape=(4, 3)).input_shape == (4, 3)


# What is refused


REFUSED = {
    "random": (
        [("RandomNormalLike", ["x"], ["r"], {}), ("Add", ["x", "r"], ["y"], {})],
        {},
        r"RandomNormalLike at node /block/RandomNormalLike",
    ),
    "mixed": (
        [("ReduceSum", ["x", "axes"], ["y"], {"keepdims": 0})],
        {"axes": [0]},
        r"ReduceSum at node /block/ReduceSum \(an operation along the axis of the examples\)",
    ),
    "chosen": (
        [("ArgMax", ["x"], ["p"], {"axis": 3}), ("Gather", ["x", "p"], ["y"], {"axis": 1})],
        {},
        r"Gather at node /block/Gather \(rows that examples choose from each other\)",
    ),
    "attribute": (
        [("Relu", ["x"], ["r"], {}), ("Tanh", ["r"], ["y"], {"slope": 2.0})],
        {},
        r"Tanh at node /block/Tanh \(attribute slope 2\.0\)",
    ),
    "domain": (
        [("Relu", ["x"], ["r"], {}), ("FusedConv", ["r"], ["y"], {"domain": "com.microsoft"})],
        {},
        r"com\.microsoft\.FusedConv at node /block/FusedConv \(an operator of another domain\)",
    ),
    "both": (
        [("Bernoulli", ["x"], ["r"], {}), ("CumSum", ["x", "axis"], ["s"], {}),
         ("Add", ["r", "s"], ["y"], {})],
        {"axis": 0},
        r"Bernoulli at node /block/Bernoulli.*; CumSum at node /block/CumSum \(an operation along",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_all_nodes_that_nothing_computes_are_named(name, tmp_path, monkeypatch):
    nodes, constants, message = REFUSED[name]
    path = onnx_file(tmp_path / "a.onnx", nodes, (3, 5, 5), constants)
    monkeypatch.setattr(onnx.checker, "check_model", lambda *_, **__: None)  # as an older checker

    with pytest.raises(
        ConfigError, match=rf"^network\.onnx must use supported operators, got {message}"
    ):
        read_onnx(path)


def test_files_that_are_no_models_are_refused(tmp_path):
    (tmp_path / "text.onnx").write_text("no model at all")
    with pytest.raises(ConfigError, match=r"network\.onnx must be an ONNX model, got .*text\.onnx"):
        read_onnx(tmp_path / "text.onnx")
    with pytest.raises(ConfigError, match=r"network\.onnx must be a file, got .*none\.onnx"):
        read_onnx(tmp_path / "none.onnx")


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
