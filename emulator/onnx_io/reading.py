"""Networks from ONNX files, with their weights."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.config.layers import Layer
from crossmesh.emulator.onnx_io import folding
from crossmesh.emulator.onnx_io.assembling import assembled, finished
from crossmesh.emulator.onnx_io.building import is_along, natural
from crossmesh.emulator.onnx_io.opening import FIELD, load
from crossmesh.emulator.onnx_io.operators import OPERATORS
from crossmesh.emulator.onnx_io.values import (
    Array,
    Constant,
    Layout,
    Parts,
    Refusal,
    Shape,
    Source,
    Use,
    Value,
    View,
)
from crossmesh.emulator.onnx_io.weights import published_names

EXAMPLES = 2  # stand for any number, where the file leaves it open
LEAST_OPSET = 9
# What an operator may raise at a node that is not valid.
NOT_VALID = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    MemoryError,
    ArithmeticError,
    AssertionError,
)
LAYOUTS: dict[int, Layout] = {1: "flat", 2: "sequence", 3: "image"}
# What exporters call parameters; what they make up themselves has other names.
PARAMETER = re.compile(
    r"^(?!val_|onnx::)(?:(.+)[._])??(?:in_proj_)?"
    r"(?:weight|bias|running_mean|running_var|[WRB])$"
)


@dataclass(frozen=True, kw_only=True)
class ImportedNetwork:
    """A network as a config has it, and its weights.

    Attributes:
        layers: The layers, every one with a name.
        weights: Published weights, as ``crossmesh.emulator.onnx_io.weights`` names them.
        input_shape: Shape of an example: (channels, height, width), (steps, features), (features)
            or, of tokens, (steps).
        tokens: Size of the vocabulary, if the input is tokens.
    """

    layers: list[Layer]
    weights: dict[str, Array]
    input_shape: tuple[int, ...]
    tokens: int | None = None


def read_onnx(
    path: Path | str,
    *,
    softmax: bool = True,
    input_shape: Sequence[int] | None = None,
) -> ImportedNetwork:
    """Read a network and its weights; nothing in the file is executed.

    The examples are along the input's first axis. A PyTorch layer that is used twice becomes two
    layers with the same weights.

    Args:
        path: The ONNX file; data that it keeps elsewhere must lie in its folder.
        softmax: Whether a softmax is put behind a network that ends in logits.
        input_shape: Shape of an example, where the file leaves it open.

    Raises:
        ConfigError: If it is no ONNX file, or uses an operator that has no layer.
    """
    model = load(Path(path))
    source = _input(model, input_shape)
    values = _Evaluation(model).run(source)
    output = _output(model, values)
    layers, weights = assembled(finished(output, softmax=softmax))
    weights = {name: weights[name] for name in published_names(layers)}
    for name, array in weights.items():
        if not np.isfinite(array).all():
            raise ConfigError(f"{FIELD} must have finite weights, got others in {name}")
    tokens = _tokens(source, layers, weights)
    return ImportedNetwork(layers=layers, weights=weights, input_shape=source.shape, tokens=tokens)


def _input(model: Any, input_shape: Sequence[int] | None) -> Source:
    """The source that stands for the input."""
    from onnx import helper

    initial = {tensor.name for tensor in model.graph.initializer}
    inputs = [entry for entry in model.graph.input if entry.name not in initial]
    if len(inputs) != 1:
        names = ", ".join(entry.name for entry in inputs) or "none"
        raise ConfigError(f"{FIELD} must have one input, got {names}")
    kind = inputs[0].type.tensor_type
    sizes = [dim.dim_value if dim.HasField("dim_value") else None for dim in kind.shape.dim]
    shape = _example_shape(inputs[0].name, sizes[1:], input_shape)
    is_tokens = helper.tensor_dtype_to_np_dtype(kind.elem_type).kind in "iu"
    if (len(shape) != 1) if is_tokens else (len(shape) not in LAYOUTS):
        raise ConfigError(
            f"{FIELD} must take vectors, sequences, images or tokens, got {('n', *shape)}"
        )
    layout: Layout = "tokens" if is_tokens else LAYOUTS[len(shape)]
    return Source(kind="input", layout=layout, shape=shape, examples=sizes[0] or EXAMPLES)


def _example_shape(name: str, sizes: Sequence[int | None], wanted: Sequence[int] | None) -> Shape:
    if wanted is None:
        if not all(sizes):
            got = ", ".join("n" if size is None else str(size) for size in (None, *sizes))
            rule = "have an input of fixed size but for the examples, or be given input_shape"
            raise ConfigError(f"{FIELD} must {rule}, got {name} of ({got})")
        return tuple(size for size in sizes if size)
    fits = len(sizes) == len(wanted) and all(
        size in {None, n} for size, n in zip(sizes, wanted, strict=True)
    )
    if not fits:
        raise ConfigError(f"{FIELD} must take examples of {tuple(wanted)}, got {tuple(sizes)}")
    return tuple(int(n) for n in wanted)


def _output(model: Any, values: dict[str, Value | None]) -> Source:
    outputs = [entry.name for entry in model.graph.output]
    if len(outputs) != 1:
        raise ConfigError(f"{FIELD} must have one output, got {', '.join(outputs) or 'none'}")
    value = values.get(outputs[0])
    if not isinstance(value, View):
        raise ConfigError(f"{FIELD} must have an output that depends on its input, got none")
    try:
        return _as_output(value)
    except Refusal as refusal:
        raise ConfigError(
            f"{FIELD} must have an output with all values of a layer, got {refusal}"
        ) from None


def _as_output(view: View) -> Source:
    """What the view shows, however it is laid out."""
    source = view.source
    everything = np.arange(source.examples * source.size)
    if view.factor == 1 and view.index.size == everything.size:
        in_order = np.array_equal(view.index.ravel(), everything)
        if in_order or any(is_along(view, axis) for axis in range(len(view.shape))):
            return source
    kept = [size for i, size in enumerate(view.shape) if size != 1 or i == 0]
    return natural(view.moved(view.index.reshape(kept))).source


def _tokens(source: Source, layers: Sequence[Layer], weights: dict[str, Array]) -> int | None:
    if source.layout != "tokens":
        return None
    sizes = {len(weights[f"{layer.name}.weight"]) for layer in layers if layer.kind == "embedding"}
    if len(sizes) != 1:
        raise ConfigError(f"{FIELD} must have one size of vocabulary, got {sorted(sizes)}")
    return sizes.pop()


@dataclass
class _Evaluation:
    """The tensors of a graph, one node after the other.

    Attributes:
        model: The model.
        values: What the tensors stand for, so far.
    """

    model: Any
    values: dict[str, Value | None] = field(default_factory=dict)

    def run(self, source: Source) -> dict[str, Value | None]:
        """Values of all tensors that the output depends on."""
        from onnx import numpy_helper

        graph = self.model.graph
        if graph.sparse_initializer:
            raise ConfigError(f"{FIELD} must have dense weights, got sparse ones")
        self.values[""] = None
        for tensor in graph.initializer:
            try:
                array = _as_float32(numpy_helper.to_array(tensor))
            except NOT_VALID as error:
                raise ConfigError(
                    f"{FIELD} must have valid weights, got {tensor.name} ({error})"
                ) from None
            self.values[tensor.name] = Constant(array, _parameter(tensor.name))
        for entry in graph.input:
            self.values.setdefault(entry.name, View(source))
        needed = self._needed()
        for node in graph.node:
            if needed & set(node.output):
                self._step(node, needed)
        return self.values

    def _needed(self) -> set[str]:
        needed = {entry.name for entry in self.model.graph.output}
        for node in reversed(self.model.graph.node):
            if needed & set(node.output):
                needed |= set(node.input)
        return needed - {""}

    def _step(self, node: Any, needed: set[str]) -> None:
        try:
            outputs = self._outputs(node, needed)
        except Refusal as refusal:
            reason = f" ({refusal})" if str(refusal) else ""
            place = node.name or node.output[0]
            raise ConfigError(
                f"{FIELD} must use supported operators, got {node.op_type} at node {place}{reason}"
            ) from None
        self.values |= zip(node.output, outputs, strict=False)
        self.values[""] = None

    def _outputs(self, node: Any, needed: set[str]) -> Sequence[Value | None]:
        if node.domain not in {"", "ai.onnx"}:
            raise Refusal(f"domain {node.domain}")
        inputs = tuple(self.values[name] for name in node.input)
        constants = [value for value in inputs if not isinstance(value, View | Parts)]
        if len(constants) == len(inputs):
            return self._folded(node, constants)
        if node.op_type not in OPERATORS:
            raise Refusal("")
        try:
            with np.errstate(all="ignore"):  # of weights that are not finite, which are refused
                return OPERATORS[node.op_type](self._use(node, inputs, needed))
        except NOT_VALID as error:
            raise Refusal(" ".join(str(error).split())[:200]) from None

    def _use(self, node: Any, inputs: tuple[Value | None, ...], needed: set[str]) -> Use:
        from onnx import helper

        return Use(
            operator=node.op_type,
            inputs=inputs,
            attributes={a.name: helper.get_attribute_value(a) for a in node.attribute},
            outputs=tuple(name in needed for name in node.output),
            opset=self._opset,
            hint=_hint(node),
            node=node,
        )

    def _folded(self, node: Any, inputs: Sequence[Constant | None]) -> list[Value]:
        if any(a.HasField("g") or a.graphs for a in node.attribute):
            raise Refusal("a graph within the graph")
        arrays = [None if value is None else value.array for value in inputs]
        name = inputs[0].name if inputs and inputs[0] is not None else ""
        outputs = folding.run(node, arrays, self._opset)
        return [Constant(_as_float32(array), name) for array in outputs]

    @property
    def _opset(self) -> int:
        versions = [e.version for e in self.model.opset_import if e.domain in {"", "ai.onnx"}]
        opset = int(max(versions, default=0))
        if opset < LEAST_OPSET:
            raise ConfigError(f"{FIELD} must be of opset {LEAST_OPSET} or newer, got {opset}")
        return opset


def _as_float32(array: Array) -> Array:
    """Numbers of any precision as float32; integers and truth values as they are."""
    if array.dtype.kind in "iub":
        return array
    return array.astype(np.float32, copy=False)


def _parameter(name: str) -> str:
    """The layer of a parameter with this name, or nothing."""
    match = PARAMETER.match(name)
    return (match[1] or "") if match else ""


def _hint(node: Any) -> str:
    """The module that a node comes from, as exporters write it."""
    for entry in node.metadata_props:
        if entry.key == "pkg.torch.onnx.name_scopes":
            scopes: list[str] = re.findall(r"'([^']*)'", entry.value)
            return scopes[-2] if len(scopes) > 1 else ""
    if not node.name.startswith("/"):
        return ""
    hint = ""
    for part in node.name.split("/")[1:-1]:
        hint = part if part.startswith(f"{hint}.") or not hint else f"{hint}.{part}"
    return hint
