"""Faults of the import that were found from outside, and their siblings."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.onnx_io.reading import read_onnx
from tests.emulator.onnx_io.onnx_material import check_read, f32, kinds, onnx_file
from tests.exact import outputs

FILES = Path(__file__).parent / "files"


@pytest.mark.parametrize("counts", [0, 1])
@pytest.mark.parametrize("auto", ["SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize("operator", ["AveragePool", "MaxPool", "LpPool"])
def test_pools_with_automatic_padding_count_what_they_say(operator, auto, counts, tmp_path):
    own = {"count_include_pad": counts} if operator == "AveragePool" else {}
    nodes = [(operator, ["x"], ["y"], {"kernel_shape": [3, 2], "auto_pad": auto, **own})]
    check_read(onnx_file(tmp_path / "pool.onnx", nodes, (2, 5, 4)), f32(3, 2, 5, 4))


def test_padding_of_an_average_is_not_counted():
    check_read(FILES / "average-pool-same.onnx", f32(3, 1, 4, 4))


def test_a_factor_behind_the_softmax_of_attention_counts():
    check_read(FILES / "attention-shares-halved.onnx", f32(3, 4, 8))


@pytest.mark.parametrize("first", [True, False])
def test_a_mask_before_or_behind_a_scale_is_not_the_same(first, tmp_path):
    steps = [("Add", "mask"), ("Mul", "scale")]
    names = ["x", "a", "b"]
    nodes = [
        (operator, [names[i], other], [names[i + 1]], {})
        for i, (operator, other) in enumerate(steps if first else steps[::-1])
    ]
    nodes.append(("Softmax", ["b"], ["y"], {"axis": -1}))
    constants = {"mask": np.triu(np.full((4, 4), -2, np.float32), 1), "scale": np.float32(0.5)}
    path = onnx_file(tmp_path / "scores.onnx", nodes, (4, 4), constants)
    check_read(path, f32(2, 4, 4))


def test_windows_of_attention_are_kept():
    with np.load(FILES / "attention-window.npz") as case:
        x, wanted = case["x"], case["ref"]
    y = outputs(read_onnx(FILES / "attention-window.onnx", softmax=False), x)
    np.testing.assert_allclose(y.reshape(wanted.shape), wanted, rtol=1e-4, atol=1e-5)


def test_attributes_that_nobody_knows_are_refused(tmp_path):
    path = onnx_file(tmp_path / "x.onnx", [("Relu", ["x"], ["y"], {})], (4,))
    model = onnx.load(path)
    model.graph.node[0].attribute.append(helper.make_attribute("leak", 0.1))
    unchecked = tmp_path / "unknown.onnx"
    unchecked.write_bytes(model.SerializeToString())
    with pytest.raises(ConfigError, match="leak"):
        read_onnx(unchecked)


@pytest.mark.parametrize(
    ("operator", "inputs", "attributes"),
    [
        ("ReduceSum", ["x", "zero"], {}),
        ("Softmax", ["x"], {"axis": 0}),
        ("Concat", ["x", "x"], {"axis": 0}),
        ("Slice", ["x", "zero", "one", "zero"], {}),
        ("Gather", ["x", "zero"], {"axis": 0}),
        ("CumSum", ["x", "zero0"], {}),
        ("TopK", ["x", "one"], {"axis": 0}),
        ("MatMul", ["rows", "x"], {}),
        ("Flatten", ["x"], {"axis": 0}),
        ("ReduceMax", ["x"], {}),
    ],
)  # fmt: skip
def test_what_mixes_examples_is_refused(operator, inputs, attributes, tmp_path):
    constants = {
        "zero": np.array([0]),
        "one": np.array([1]),
        "zero0": np.array(0),
        "rows": f32(3, 2),
    }
    nodes = [(operator, inputs, ["y", "places"] if operator == "TopK" else ["y"], attributes)]
    path = onnx_file(tmp_path / "mixed.onnx", nodes, (4,), constants)
    with pytest.raises(ConfigError, match="examples"):
        read_onnx(path, softmax=False)


def test_numbers_that_follow_from_how_many_examples_there_are_are_refused(tmp_path):
    nodes = [
        ("Shape", ["x"], ["s"], {"end": 1}),
        ("Cast", ["s"], ["n"], {"to": TensorProto.FLOAT}),
        ("Div", ["x", "n"], ["y"], {}),
    ]
    path = onnx_file(tmp_path / "n.onnx", nodes, (4,))
    with pytest.raises(ConfigError, match="whatever the number of examples"):
        read_onnx(path, softmax=False)


@pytest.mark.parametrize("does_nothing", [0, 1])
@pytest.mark.parametrize("operator", ["ReduceSum", "ReduceMean", "ReduceL1", "ReduceLogSumExp"])
def test_reductions_without_axes_reduce_all_or_nothing(operator, does_nothing, tmp_path):
    attributes = {"noop_with_empty_axes": does_nothing}
    path = tmp_path / "reduce.onnx"
    graph = helper.make_graph(
        [helper.make_node(operator, ["x"], ["y"], **attributes)], "all",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["a", "b", "c"])],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, path)
    check_read(path, f32(1, 3, 2))


def test_inputs_that_are_no_tensors_are_refused_in_one_line():
    with pytest.raises(ConfigError, match="must take tensors, got xx"):
        read_onnx(FILES / "optional-input.onnx", softmax=False)


def test_a_slice_to_nothing_beside_others_adds_nothing(tmp_path):
    nodes = [
        ("Slice", ["x", "two", "two", "one"], ["none"], {}),
        ("Concat", ["none", "x"], ["both"], {"axis": 1}),
        ("Neg", ["both"], ["y"], {}),
    ]
    constants = {"one": np.array([1]), "two": np.array([2])}
    check_read(onnx_file(tmp_path / "none.onnx", nodes, (4,), constants), f32(3, 4))


def test_images_with_channels_last_are_images(tmp_path):
    nodes = [
        ("Transpose", ["x"], ["first"], {"perm": [0, 3, 1, 2]}),
        ("Conv", ["first", "w"], ["c"], {"pads": [1, 1, 1, 1]}),
        ("Relu", ["c"], ["y"], {}),
    ]
    path = onnx_file(tmp_path / "last.onnx", nodes, (6, 5, 3), {"w": f32(4, 3, 3, 3)})
    read = check_read(path, f32(2, 6, 5, 3))
    assert kinds(read)[0] == "conv"
    assert not read.channels_first


def test_a_layer_that_is_used_twice_is_one(tmp_path):
    nodes = [
        ("Conv", ["x", "b.weight"], ["c"], {"pads": [1, 1, 1, 1]}),
        ("Relu", ["c"], ["r"], {}),
        ("Conv", ["r", "b.weight"], ["y"], {"pads": [1, 1, 1, 1]}),
    ]
    path = onnx_file(tmp_path / "twice.onnx", nodes, (3, 5, 5), {"b.weight": f32(3, 3, 3, 3)})
    read = check_read(path, f32(2, 3, 5, 5))
    convs = [layer for layer in read.layers if layer.kind == "conv"]
    assert [layer.share for layer in convs] == [None, convs[0].name]


def test_all_blockers_are_named_at_once(tmp_path):
    nodes = [
        ("Relu", ["x"], ["a"], {}),
        ("NonZero", ["a"], ["places"], {}),
        ("RandomNormalLike", ["x"], ["noise"], {}),
        ("Add", ["a", "noise"], ["s"], {}),
        ("Det", ["m"], ["d"], {}),
        ("Reshape", ["s", "square"], ["m"], {}),
        ("Cast", ["places"], ["f"], {"to": TensorProto.FLOAT}),
        ("Add", ["f", "d"], ["y"], {}),
    ]
    nodes.insert(4, nodes.pop(5))
    path = onnx_file(tmp_path / "bad.onnx", nodes, (4,), {"square": np.array([0, 2, 2])})
    with pytest.raises(ConfigError) as caught:
        read_onnx(path)
    message = str(caught.value)
    assert "NonZero at node /block/NonZero (how many numbers it gives" in message
    assert "RandomNormalLike at node /block/RandomNormalLike (random numbers" in message


@pytest.mark.parametrize("size", [-1, 0])
def test_examples_may_be_as_other_programs_write_them(size, tmp_path):
    path = onnx_file(tmp_path / "x.onnx", [("Relu", ["x"], ["y"], {})], (4,))
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = size
    onnx.save(model, path)
    read = read_onnx(path, softmax=False)
    assert read.input_shape == (4,)


@pytest.mark.parametrize(
    ("operator", "inputs", "message"),
    [
        ("GatherElements", ["c", "places"], "GatherElements at node"),
        ("DequantizeLinear", ["c", "scale", "places"], "DequantizeLinear at node"),
        ("Reshape", ["c", "places"], "Reshape at node"),
    ],
)
def test_constants_that_do_not_fit_are_named_with_their_node(operator, inputs, message, tmp_path):
    constants = {"c": f32(4, 3), "places": np.full((2, 2), 9), "scale": f32(7)}
    graph = helper.make_graph(
        [helper.make_node(operator, inputs, ["k"], name="/block/k"),
         helper.make_node("Add", ["x", "k"], ["y"], name="/block/sum")],
        "fold",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
        [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    path = tmp_path / "fold.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ConfigError, match=message):
        read_onnx(path)
