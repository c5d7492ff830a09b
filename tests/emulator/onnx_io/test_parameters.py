"""Parameters that a graph arranges before it uses them: which of them training changes."""

import numpy as np
import pytest
from onnx import TensorProto

from crossmesh.emulator.onnx_io.reading import read_onnx
from tests.emulator.onnx_io.onnx_material import f32, onnx_file

ROWS = {"different": [3, 1, 0, 2], "one": [1, 1, 1, 1], "some twice": [0, 1, 1, 2]}


def added(tmp_path, nodes, constants):
    """The layer that adds a parameter to a sequence of embedded tokens, and its weights."""
    file = onnx_file(
        tmp_path / "m.onnx",
        [
            ("Gather", ["tokens.weight", "x"], ["a"], {}),
            *nodes,
            ("Add", ["a", "b"], ["c"], {}),
            ("MatMul", ["c", "w"], ["y"], {}),
        ],
        (4,),
        {"tokens.weight": f32(7, 3), "w": f32(3, 2), **constants},
        kind=TensorProto.INT64,
    )
    read = read_onnx(file)
    layer = next(layer for layer in read.layers if layer.kind == "operator")
    return layer, read.weights[f"{layer.name}.weight"]


@pytest.mark.parametrize("name", ROWS)
def test_rows_of_a_table_learn_where_each_is_one_parameter(name, tmp_path):
    table, rows = f32(5, 3), np.array(ROWS[name])
    nodes = [("Gather", ["places.weight", "rows"], ["b"], {})]
    layer, weight = added(tmp_path, nodes, {"places.weight": table, "rows": rows})

    assert layer.frozen == (name == "some twice")
    wanted = table[[1]] if name == "one" else table[rows]
    np.testing.assert_array_equal(weight, wanted)
    assert layer.name == ("places" if name != "some twice" else layer.name)


def test_a_parameter_that_is_spread_is_held_once(tmp_path):
    row = f32(1, 3)
    nodes = [("Expand", ["offset", "shape"], ["b"], {})]
    layer, weight = added(tmp_path, nodes, {"offset": row, "shape": np.array([4, 3])})

    assert (layer.name, layer.frozen) == ("offset", False)
    np.testing.assert_array_equal(weight, row)


def test_a_part_of_a_parameter_learns(tmp_path):
    table = f32(9, 3)
    nodes = [("Slice", ["places", "first", "last"], ["b"], {})]
    limits = {"first": np.array([0]), "last": np.array([4])}
    layer, weight = added(tmp_path, nodes, {"places": table, **limits})

    assert (layer.name, layer.frozen) == ("places", False)
    np.testing.assert_array_equal(weight, table[:4])
