"""What several tests of exchange need."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from crossmesh.emulator.onnx_io.reading import read_onnx
from tests.exact import outputs


def ran(path, *x):
    """Output of an ONNX file for its inputs."""
    names = [entry.name for entry in onnx.load(path).graph.input]
    feed = dict(zip(names, x, strict=True))
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
    made = []
    for operator, taken, given, attributes in nodes:
        count = sum(node.op_type == operator for node in made)
        name = f"/block/{operator}" + (f"_{count}" if count else "")
        made.append(helper.make_node(operator, taken, given, name=name, **attributes))
    graph = helper.make_graph(
        made,
        "test",
        [helper.make_tensor_value_info("x", kind, ["n", *shape])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    model = onnx.shape_inference.infer_shapes(model)
    for entry in model.graph.output:
        entry.type.tensor_type.shape.SetInParent()  # also where it is unknown
    onnx.save(model, path)
    return path


def f32(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def check_read(path, *x):
    """Read a file; its layers must compute what the file does."""
    read = read_onnx(path, softmax=False)
    row = x[0] if len(x) == 1 else np.concatenate([one.reshape(len(one), -1) for one in x], 1)
    wanted = ran(path, *x)
    y = outputs(read, row)
    assert y.shape == wanted.shape
    np.testing.assert_allclose(y, wanted, rtol=1e-4, atol=1e-5)
    return read


def kinds(read):
    """Kinds of layers, and names of operators."""
    return [getattr(layer, "operator", layer.kind) for layer in read.layers]
