"""ONNX operators as the standard itself writes them, of simpler ones."""

from collections.abc import Sequence
from typing import Any

from crossmesh.emulator.onnx_io.values import Constant, Value, View


def expanded(node: Any, inputs: Sequence[Value | None], opset: int) -> tuple[Any, int] | None:
    """The graph that an operator stands for, and the version of its operators; None: there is none.

    Its tensors other than inputs and outputs have names that nothing else has.
    """
    from onnx import defs, helper, inliner

    try:
        schema: Any = defs.get_schema(node.op_type, opset, node.domain)
    except defs.SchemaError:
        return None
    function = _function(schema, node, [_type(value) for value in inputs], opset)
    if function is None or any(inner.op_type == node.op_type for inner in function.node):
        return None
    function.domain = "standard"
    call = helper.make_node(node.op_type, node.input, node.output, domain="standard")
    call.attribute.extend(node.attribute)
    given_names = {attribute.name for attribute in node.attribute}
    call.attribute.extend(
        attribute.default_value
        for name, attribute in schema.attributes.items()
        if name not in given_names and attribute.default_value.type
    )
    own = next((entry.version for entry in function.opset_import if not entry.domain), opset)
    pairs = dict(zip(node.input, inputs, strict=True)).items()
    given = [_entry(name, value) for name, value in pairs if isinstance(value, Constant | View)]
    made = [helper.make_empty_tensor_value_info(name) for name in node.output if name]
    graph = helper.make_graph([call], "operator", given, made)
    versions = [helper.make_opsetid("", own), helper.make_opsetid("standard", 1)]
    model = helper.make_model(graph, opset_imports=versions, functions=[function])
    inlined = inliner.inline_local_functions(model).graph
    _rename(inlined, {*node.input, *node.output}, f"_{node.output[0]}/")
    return inlined, own


def _function(schema: Any, node: Any, types: Sequence[Any], opset: int) -> Any:
    """What the standard writes for an operator; None: nothing."""
    from onnx import FunctionProto

    written = [version for version in schema.function_opset_versions if version <= opset]
    if written:
        function = schema.get_function_with_opset_version(max(written))
        return FunctionProto.FromString(function)
    versions = schema.context_dependent_function_opset_versions
    by_types = [version for version in versions if version <= opset]
    if not by_types:
        return None
    kinds = [entry.SerializeToString() for entry in types]
    known = node.SerializeToString()
    function = schema.get_context_dependent_function_with_opset_version(max(by_types), known, kinds)
    return FunctionProto.FromString(function)


def _entry(name: str, value: Constant | View) -> Any:
    from onnx import ValueInfoProto

    return ValueInfoProto(name=name, type=_type(value))


def _type(value: Value | None) -> Any:
    """The type of a tensor, of those that ONNX has."""
    from onnx import TensorProto, TypeProto, helper

    if not isinstance(value, Constant | View):
        return TypeProto()
    if isinstance(value, Constant):
        kind = helper.np_dtype_to_tensor_dtype(value.array.dtype)
    else:
        kinds = {"f": TensorProto.FLOAT, "i": TensorProto.INT64, "b": TensorProto.BOOL}
        kind = kinds[value.kind]
    return helper.make_tensor_type_proto(kind, value.shape)


def _rename(graph: Any, kept: set[str], before: str) -> None:
    """Put something before the names of all tensors but some, also in graphs within."""
    for node in graph.node:
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                if name and name not in kept:
                    names[i] = before + name
        for attribute in node.attribute:
            for inner in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                for entry in [*inner.input, *inner.output, *inner.initializer]:
                    entry.name = entry.name if entry.name in kept else before + entry.name
                _rename(inner, kept, before)
