"""Files that other programs write, Keras and scikit-learn among them, and what they ask for.

The files of scikit-learn are of models trained on its own iris and diabetes data, by skl2onnx 1.20.
"""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.config.loading import validated
from crossmesh.emulator.onnx_io.reading import read_onnx
from crossmesh.emulator.training.predicting import predict
from tests.emulator.onnx_io.onnx_material import check_read, f32, kinds, onnx_file
from tests.exact import outputs

FILES = Path(__file__).parent / "files"


@pytest.mark.parametrize(
    ("name", "shape"), [("cnn_nhwc", (12, 12, 1)), ("conv1d", (12, 3)), ("lstm", (5, 6))]
)
def test_networks_of_keras_come_in(name, shape):
    read = check_read(FILES / f"keras-{name}.onnx", f32(4, *shape))
    assert {"conv", "linear"} & set(kinds(read))


@pytest.mark.parametrize(
    ("name", "output", "n"),
    [
        ("classifier", "output_label", 4),
        ("classifier", "output_probability", 4),
        ("binary", "output_label", 4),
        ("binary", "output_probability", 4),
        ("pipeline", "probabilities", 4),
        ("regressor", "variable", 10),
    ],
)
def test_networks_of_scikit_learn_give_what_their_files_do(name, output, n):
    onnxruntime = pytest.importorskip("onnxruntime", reason="runs operators of ai.onnx.ml")
    path = FILES / f"sklearn-{name}.onnx"
    x = np.abs(f32(6, n)) * 2
    wanted = onnxruntime.InferenceSession(path).run([output], {"X": x})[0]
    if isinstance(wanted, list):  # of classes by name
        wanted = np.array([list(row.values()) for row in wanted])
    read = read_onnx(path, softmax=False, output=output)
    np.testing.assert_allclose(outputs(read, x).reshape(wanted.shape), wanted, atol=1e-5)
    assert "linear" in kinds(read)


def test_a_label_that_is_text_is_refused_and_the_shares_are_not():
    path = FILES / "sklearn-pipeline.onnx"
    with pytest.raises(ConfigError, match=r"network\.output \(label, probabilities\)"):
        read_onnx(path)
    with pytest.raises(ConfigError, match="must have weights that are numbers, got classes, text"):
        read_onnx(path, output="label")


def two_inputs(path, first, second):
    """``y = Relu(x W) + s`` with the examples of ``s`` along its second axis."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["p"], name="product"),
        helper.make_node("Relu", ["p"], ["r"], name="relu"),
        helper.make_node("Transpose", ["s"], ["t"], name="turn", perm=[1, 0]),
        helper.make_node("Add", ["r", "t"], ["a"], name="sum"),
        helper.make_node("Mul", ["a", "k"], ["y"], name="scale"),
    ]
    float_, whole = TensorProto.FLOAT, TensorProto.FLOAT
    graph = helper.make_graph(
        nodes, "two",
        [helper.make_tensor_value_info("x", float_, first),
         helper.make_tensor_value_info("s", float_, second),
         helper.make_tensor_value_info("k", whole, [])],
        [helper.make_tensor_value_info("y", float_, ["m", 3])],
        [numpy_helper.from_array(f32(4, 3), "w")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, path)
    return path


def test_several_inputs_take_shapes_by_name_and_constants(tmp_path):
    path = two_inputs(tmp_path / "two.onnx", ["n", "features"], [3, "n"])
    shapes = {"x": ("n", 4), "s": (3, "n")}
    read = read_onnx(path, softmax=False, input_shape=shapes, constants={"k": 2.0})
    assert [(one.name, one.shape, one.at) for one in read.inputs] == [
        ("x", (4,), 0), ("s", (3,), 1),
    ]  # fmt: skip
    x, s = f32(5, 4), f32(3, 5, seed=1)
    y = outputs(read, np.concatenate([x, s.T], 1))
    np.testing.assert_allclose(y, 2 * (np.maximum(x @ f32(4, 3), 0) + s.T), rtol=1e-5, atol=1e-6)


def test_predictions_are_of_several_inputs(tmp_path):
    path = two_inputs(tmp_path / "two.onnx", ["n", "features"], [3, "n"])
    x, s = f32(5, 4), f32(5, 3, seed=1)
    settings = ["network.input_shape={x: [n, 4], s: [3, n]}", "network.constants={k: 2.0}"]
    made = predict(str(path), {"x": x, "s": s}, overrides=settings, ideal=True)
    wanted = 2 * (np.maximum(x @ f32(4, 3), 0) + s)
    np.testing.assert_allclose(made.outputs, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {},
            r"network\.input_shape \(shapes by name, n where .*got x of \(n, open\), s of \(3, n\)",
        ),
        ({"input_shape": (4,)}, "must be a mapping from x, s"),
        ({"input_shape": {"z": (4,)}}, r"must name inputs \(x, s, k\), got z"),
        ({"input_shape": {"s": (4, "n")}}, r"must fit s of \(3, open\), got \[4, 'n'\]"),
        ({"constants": {"z": 1}}, r"network\.constants must name inputs \(x, s, k\), got z"),
    ],
)
def test_shapes_that_are_missing_or_wrong_say_what_would_help(settings, message, tmp_path):
    path = two_inputs(tmp_path / "two.onnx", ["n", "features"], [3, "n"])
    with pytest.raises(ConfigError, match=message):
        read_onnx(path, **{"constants": {"k": 1.0}, **settings})


def test_configs_take_shapes_and_constants_of_inputs():
    tree = {"name": "x", "data": {"source": "synthetic"}, "loss": "mean_squared_error"}
    network = {
        "onnx": "a.onnx",
        "input_shape": {"x": ["n", 4]},
        "constants": {"k": 2, "v": [1, 2.5]},
    }
    config = validated({**tree, "network": network})
    assert config.network.input_shape == {"x": ("n", 4)}
    assert config.network.constants == {"k": 2, "v": (1, 2.5)}
    with pytest.raises(ConfigError, match=r"network\.input_shape\.1 must be at least 1"):
        validated({**tree, "network": {"onnx": "a.onnx", "input_shape": [3, 0]}})


def test_branches_that_are_known_and_loops_of_known_length_are_read(tmp_path):
    inner = helper.make_graph(
        [helper.make_node("Mul", ["v", "half"], ["out"]),
         helper.make_node("Identity", ["c"], ["d"])],
        "turn",
        [helper.make_tensor_value_info("i", TensorProto.INT64, []),
         helper.make_tensor_value_info("c", TensorProto.BOOL, []),
         helper.make_tensor_value_info("v", TensorProto.FLOAT, None)],
        [helper.make_tensor_value_info("d", TensorProto.BOOL, []),
         helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
    )  # fmt: skip
    branches = [
        helper.make_graph(
            [helper.make_node(operator, ["x"], [name])], name, [],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None)],
        )
        for operator, name in (("Relu", "then"), ("NonZero", "other"))
    ]  # fmt: skip
    nodes = [
        ("If", ["yes"], ["b"], {"then_branch": branches[0], "else_branch": branches[1]}),
        ("Loop", ["three", "", "b"], ["y"], {"body": inner}),
    ]
    constants = {"yes": np.array(True), "three": np.array(3), "half": np.float32(0.5)}
    path = onnx_file(tmp_path / "nested.onnx", nodes, (4,), constants)
    x = f32(3, 4)
    y = outputs(read_onnx(path, softmax=False), x)
    np.testing.assert_allclose(y, np.maximum(x, 0) / 8, rtol=1e-6)
