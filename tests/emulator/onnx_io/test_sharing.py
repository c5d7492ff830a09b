"""Weights that several nodes use, and products that are used twice."""

import numpy as np
import pytest

from crossmesh.emulator.onnx_io.reading import read_onnx
from tests.emulator.onnx_io.onnx_material import f32, onnx_file, ran
from tests.exact import outputs

CONSTANTS = {"w": f32(4, 6), "b": f32(6, seed=1)}
GRAPHS = {
    "bare product too": [
        ("MatMul", ["x", "w"], ["p"], {}),
        ("Add", ["p", "b"], ["a"], {}),
        ("Relu", ["p"], ["r"], {}),
        ("Mul", ["a", "r"], ["y"], {}),
    ],
    "by another name": [
        ("MatMul", ["x", "w"], ["p"], {}),
        ("Identity", ["p"], ["q"], {}),
        ("Add", ["q", "b"], ["a"], {}),
        ("Mul", ["a", "p"], ["y"], {}),
    ],
    "tied, one behind a function": [
        ("Neg", ["x"], ["n"], {}),
        ("Gemm", ["x", "w", "b"], ["p"], {}),
        ("Gemm", ["n", "w", "b"], ["q"], {}),
        ("Relu", ["p"], ["r"], {}),
        ("Sub", ["r", "q"], ["y"], {}),
    ],
    "tied, biases behind both": [
        ("Neg", ["x"], ["n"], {}),
        ("MatMul", ["x", "w"], ["p"], {}),
        ("MatMul", ["n", "w"], ["q"], {}),
        ("Add", ["p", "b"], ["r"], {}),
        ("Add", ["q", "b"], ["s"], {}),
        ("Mul", ["r", "s"], ["y"], {}),
    ],
}


@pytest.mark.parametrize("name", GRAPHS)
def test_what_shares_weights_or_products_computes_as_the_file(name, tmp_path):
    path = onnx_file(tmp_path / "a.onnx", GRAPHS[name], (4,), CONSTANTS)
    x = f32(3, 4, seed=2)

    made = outputs(read_onnx(path, softmax=False), x)

    np.testing.assert_allclose(made, ran(path, x), atol=1e-5)


@pytest.mark.parametrize(
    ("mask", "learns"),
    [
        (np.tril(np.ones((6, 6), np.float32)), False),
        (np.triu(np.full((6, 6), -1e9, np.float32), 1), False),
        (f32(6, 6, seed=3), True),
    ],
)
def test_masks_stay_as_they_are(mask, learns, tmp_path):
    nodes = [
        ("MatMul", ["x", "w"], ["p"], {}),
        ("Reshape", ["p", "s"], ["q"], {}),
        ("Add", ["q", "m"], ["y"], {}),
    ]
    constants = {"w": f32(4, 36), "s": np.array([-1, 6, 6]), "m": mask}

    read = read_onnx(onnx_file(tmp_path / "a.onnx", nodes, (4,), constants), softmax=False)

    (masked,) = (layer for layer in read.layers if getattr(layer, "operator", "") == "add")
    assert masked.frozen != learns
