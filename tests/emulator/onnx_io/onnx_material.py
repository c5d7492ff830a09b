"""What several tests of exchange need."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from crossmesh.emulator.onnx_io.reading import read_onnx
from tests.layers_oracle import evaluate


def ran(path, x):
    """Output of an ONNX file."""
    feed = {onnx.load(path).graph.input[0].name: x}
    try:
        import onnxruntime
    except ImportError:
        return ReferenceEvaluator(str(path)).run(None, feed)[0]
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, feed)[0]


def same_weights(one, other):
    assert list(one) == list(other)
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name], err_msg=name)


def onnx_file(path, nodes, shape, constants=None, opset=20, kind=TensorProto.FLOAT):
    """A model of nodes (operator, inputs, output, attributes) from x to y."""
    constants = {name: np.asarray(array) for name, array in (constants or {}).items()}
    graph = helper.make_graph(
        [
            helper.make_node(operator, inputs, outputs, name=f"/block/{operator}", **attributes)
            for operator, inputs, outputs, attributes in nodes
        ],
        "test",
        [helper.make_tensor_value_info("x", kind, ["n", *shape])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opsets = [helper.make_opsetid("", opset)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    return path


def f32(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def check_read(path, x, softmax=False):
    """Read a file; its layers must compute what the file does."""
    read = read_onnx(path, softmax=softmax)
    wanted = ReferenceEvaluator(str(path)).run(None, {"x": x})[0]
    y = evaluate(read.layers, read.weights, x)
    np.testing.assert_allclose(y, wanted.reshape(y.shape), atol=1e-5)
    return read


CAUSAL = np.tri(5, dtype=bool)


def lstm(**attributes):
    return [("LSTM", ["x", "w", "r"], ["y"], {"hidden_size": 2, **attributes})]
