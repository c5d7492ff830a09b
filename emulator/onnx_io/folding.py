"""Running single ONNX operators on arrays: constants, and numbers of values that are moved."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossmesh.emulator.onnx_io.values import Refusal

MOST_VALUES = 2**28  # a constant that is larger has no place in a network
RANDOM = ("Random", "Bernoulli", "Multinomial")
SIZED_BY_VALUES = {"ConstantOfShape", "Expand", "Tile", "Range"}


def run(node: Any, arrays: Sequence[NDArray[Any] | None], opset: int) -> list[NDArray[Any]]:
    """Outputs of a node for these inputs, None where one is left out.

    Raises:
        Refusal: If it cannot be run.
    """
    from onnx import helper
    from onnx.reference import ReferenceEvaluator

    if node.op_type.startswith(RANDOM):
        raise Refusal("random numbers")
    if node.op_type in SIZED_BY_VALUES:
        _check_size(node.op_type, arrays)
    if node.op_type == "GatherElements":  # of which the reference takes equal shapes alone
        axis = next((int(a.i) for a in node.attribute if a.name == "axis"), 0)
        return [_gathered(arrays[0], arrays[1], axis)]
    feeds = {name: array for name, array in zip(node.input, arrays, strict=True) if name}
    graph = helper.make_graph(
        [node],
        "node",
        [_typed(name, array) for name, array in feeds.items()],
        [helper.make_empty_tensor_value_info(name) for name in node.output if name],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    try:
        with np.errstate(all="ignore"):
            outputs = ReferenceEvaluator(model).run(None, feeds)
    except Exception as error:
        raise Refusal(" ".join(str(error).split())[:200]) from None
    return [np.asarray(output) for output in outputs]


def _typed(name: str, array: NDArray[Any] | None) -> Any:
    from onnx import helper

    assert array is not None  # only inputs that are left out are None
    return helper.make_tensor_value_info(
        name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
    )


def _check_size(operator: str, arrays: Sequence[NDArray[Any] | None]) -> None:
    if operator == "Range":
        start, stop, step = (float(np.ravel(array)[0]) for array in arrays if array is not None)
        size = (stop - start) / step if step else 0.0
    else:
        array = arrays[-1]
        factors = np.abs(np.asarray(array, float))
        size = float(np.prod(factors)) * (arrays[0].size if operator == "Tile" else 1)  # type: ignore[union-attr]  # it has it
    if size > MOST_VALUES:
        raise Refusal(f"{size:.3g} values")


def _gathered(data: NDArray[Any] | None, places: NDArray[Any] | None, axis: int) -> NDArray[Any]:
    assert data is not None
    assert places is not None
    inner = tuple(slice(None if i == axis % data.ndim else n) for i, n in enumerate(places.shape))
    return np.take_along_axis(
        data[inner], np.where(places < 0, places + data.shape[axis], places), axis
    )
