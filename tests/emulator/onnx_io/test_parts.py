"""Parts of tensors, which are taken where they lie."""

import numpy as np
import pytest
from onnx.reference import ReferenceEvaluator

from crossmesh.emulator.onnx_io.reading import read_onnx
from crossmesh.tiles.digital import Call
from crossmesh.tiles.digital.operators import OPERATORS, Operand
from tests.emulator.onnx_io.onnx_material import f32, onnx_file
from tests.exact import graph_of, outputs

CONV = ("Conv", ["x", "w"], ["a"], {"pads": [1, 1, 1, 1]})


def read_and_checked(tmp_path, nodes, constants):
    """A network behind a convolution of 6 channels, which computes what its file does."""
    constants = {"w": f32(6, 3, 3, 3, seed=1), **constants}
    file, x = onnx_file(tmp_path / "m.onnx", [CONV, *nodes], (3, 4, 5), constants), f32(2, 3, 4, 5)
    read = read_onnx(file, softmax=False)
    (wanted,) = ReferenceEvaluator(str(file)).run(None, {"x": x})
    np.testing.assert_allclose(outputs(read, x).reshape(wanted.shape), wanted, atol=1e-5)
    return read


@pytest.mark.parametrize(("axis", "is_join"), [(1, True), (2, True), (3, False)])
def test_a_part_that_lies_in_one_piece_is_joined_to_what_follows(axis, is_join, tmp_path):
    nodes = [("Slice", ["a", "one", "three", "axis"], ["b"], {}), ("Relu", ["b"], ["y"], {})]
    limits = {"one": np.array([1]), "three": np.array([3]), "axis": np.array([axis])}
    read = read_and_checked(tmp_path, nodes, limits)

    part = next(layer for layer in read.layers if layer.kind == "operator")
    assert part.operator == "slice"
    assert all(operand.order is None for operand in part.operands)
    assert graph_of(read).by_name[part.name].is_join == is_join


def test_channels_that_are_shuffled_stay_behind_the_pixels(tmp_path):
    nodes = [
        ("Reshape", ["a", "split"], ["b"], {}),
        ("Transpose", ["b"], ["c"], {"perm": [0, 2, 1, 3, 4]}),
        ("Reshape", ["c", "whole"], ["d"], {}),
        ("Slice", ["d", "zero", "four", "one"], ["e"], {}),
        ("Concat", ["e", "a"], ["y"], {"axis": 1}),
    ]
    shapes = {"split": np.array([0, 2, 3, 4, 5]), "whole": np.array([0, 6, 4, 5])}
    limits = {"zero": np.array([0]), "four": np.array([4]), "one": np.array([1])}
    read = read_and_checked(tmp_path, nodes, {**shapes, **limits})

    kinds = [getattr(layer, "operator", layer.kind) for layer in read.layers]
    assert kinds[:4] == ["conv", "arrange", "slice", "concat"]
    assert read.layers[1].operands[0].order == (0, 1, 3, 2)


def test_what_is_only_reshaped_is_not_copied(tmp_path):
    """The mean of all pixels and channels, as rows."""
    nodes = [
        ("GlobalAveragePool", ["a"], ["b"], {}),
        ("Conv", ["b", "v"], ["y"], {}),
    ]
    read = read_and_checked(tmp_path, nodes, {"v": f32(2, 6, 1, 1)})

    arranged = [node for node in graph_of(read).nodes if "arrange" in node.name]
    assert len(arranged) == 1
    assert arranged[0].function.reshapes


@pytest.mark.parametrize("order", [(0, 2, 1), (1, 2, 0), (2, 1, 0), (0, 1, 2)])
@pytest.mark.parametrize("sizes", [(3, 4, 5), (2, 40, 30), (1, 1, 6)])
def test_any_transposition_gives_the_numbers_of_numpy(sizes, order):
    x, operand = f32(3, *sizes), Operand(sizes, order)
    arrange = OPERATORS["arrange"](operands=(operand,), axes=operand.axes)
    out = np.empty((3, x[0].size), np.float32)
    arrange.forward([x.reshape(3, -1)], out, Call())

    wanted = x.transpose(0, *(1 + axis for axis in order))
    np.testing.assert_array_equal(out.reshape(wanted.shape), wanted)
