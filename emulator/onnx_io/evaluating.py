"""The tensors of an ONNX graph, one node after the other."""

import collections
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.onnx_io import folding
from crossmesh.emulator.onnx_io.attributes import Attributes
from crossmesh.emulator.onnx_io.expanding import expanded
from crossmesh.emulator.onnx_io.nesting import NESTED, nested
from crossmesh.emulator.onnx_io.opening import FIELD, Opened
from crossmesh.emulator.onnx_io.operators import FOREIGN, OPERATORS
from crossmesh.emulator.onnx_io.parameters import arranged
from crossmesh.emulator.onnx_io.refusing import REASONS, reason_of
from crossmesh.emulator.onnx_io.sketch import Sketch
from crossmesh.emulator.onnx_io.values import Array, Constant, Refusal, Use, Value, View

T = TypeVar("T")
PRODUCTS = {"MatMul", "Gemm", "Einsum"}
LEAST_OPSET = 7
MOST_NAMED = 20  # blockers in one message
# What an operator may raise at a node that is not valid.
NOT_VALID = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    MemoryError,
    ArithmeticError,
    AssertionError,
    RuntimeError,
)
# What exporters call parameters; what they make up themselves has other names.
MADE_UP = re.compile(r"^(?:val_|onnx::|_|/|[0-9]+$)")


class _NotComputed:
    """What a node gives that nothing can compute."""


UNKNOWN = _NotComputed()


class Evaluation:
    """The tensors of a graph.

    Args:
        opened: The model.
        sketch: The network that is made of it.
        output: Name of the tensor that is wanted.
    """

    def __init__(self, opened: Opened, sketch: Sketch, output: str) -> None:
        model = opened.model
        self._opened, self._model = opened, model
        self._sketch, self._output = sketch, output
        self._values: dict[str, Value | _NotComputed | None] = {"": None}
        self._blockers: list[str] = []
        self._alone: set[str] = set()
        versions = [e.version for e in model.opset_import if e.domain in {"", "ai.onnx"}]
        self._opset = int(max(versions, default=0))
        if self._opset < LEAST_OPSET:
            rule = f"be of opset {LEAST_OPSET} or newer"
            raise ConfigError(f"{FIELD} must {rule}, got {self._opset}")

    def run(self, fed: Mapping[str, View | Constant]) -> dict[str, Any]:
        """Values of all tensors that the output depends on.

        Raises:
            ConfigError: If some nodes cannot be computed; all of them are named.
        """
        graph = self._model.graph
        if graph.sparse_initializer:
            raise ConfigError(f"{FIELD} must have dense weights, got sparse ones")
        self._values |= fed
        self._alone = _products_of_one(graph)
        last = {name: i for i, node in enumerate(graph.node) for name in _taken(node)}
        needed = names_needed(graph.node, {self._output})
        self._constants(graph, needed - set(fed))
        for i, node in enumerate(graph.node):
            if needed & set(node.output):
                self._step(node, needed)
            for name in _taken(node):  # weights that have become those of layers
                if last[name] == i and name not in {"", self._output}:
                    self._values.pop(name, None)
        if self._blockers:
            shown = "; ".join(self._blockers[:MOST_NAMED])
            rest = len(self._blockers) - MOST_NAMED
            more = f"; and {rest} more" if rest > 0 else ""
            raise ConfigError(f"{FIELD} must use supported operators, got {shown}{more}")
        return self._values

    def _run_graph(self, graph: Any, wanted: set[str], fed: set[str]) -> None:
        """Evaluate what some tensors of a graph depend on."""
        needed = names_needed(graph.node, wanted)
        self._constants(graph, needed - fed)
        for node in graph.node:
            if needed & set(node.output):
                self._step(node, needed)

    def _run_nested(self, graph: Any, inputs: Sequence[Value | None]) -> list[Value | None] | None:
        """Outputs of a graph within the graph for its inputs; None: something in it is blocked."""
        names = [entry.name for entry in graph.input]
        self._values |= zip(names, inputs, strict=True)
        outputs = [entry.name for entry in graph.output]
        self._run_graph(graph, set(outputs), set(names))
        values = [self._values[name] for name in outputs]
        return None if any(value is UNKNOWN for value in values) else values  # type: ignore[return-value]  # checked

    def _constants(self, graph: Any, needed: set[str]) -> None:
        from onnx import TensorProto

        for tensor in graph.initializer:
            if tensor.name not in needed:
                continue
            if tensor.data_type == TensorProto.STRING:
                rule = "have weights that are numbers"
                raise ConfigError(f"{FIELD} must {rule}, got {tensor.name}, text")
            try:
                array = _as_float32(self._opened.array(tensor))
            except NOT_VALID as error:
                raise ConfigError(
                    f"{FIELD} must have valid weights, got {tensor.name} ({error})"
                ) from None
            self._values[tensor.name] = Constant(array, _parameter(tensor.name))

    def _step(self, node: Any, needed: set[str]) -> None:
        inputs = [self._values.get(name) for name in node.input]
        if any(value is UNKNOWN for value in inputs):
            outputs: Sequence[Any] = [UNKNOWN] * len(node.output)
        else:
            try:
                outputs = self._outputs(node, needed)
            except Refusal as refusal:
                reason = f" ({refusal})" if str(refusal) else ""
                domain = f"{node.domain}." if node.domain not in {"", "ai.onnx"} else ""
                place = node.name or node.output[0]
                self._blockers.append(f"{domain}{node.op_type} at node {place}{reason}")
                outputs = [UNKNOWN] * len(node.output)
        self._values |= zip(node.output, outputs, strict=False)
        self._values[""] = None

    def _outputs(self, node: Any, needed: set[str]) -> Sequence[Value | _NotComputed | None]:
        if any(name not in self._values for name in node.input):
            raise Refusal("tensors that nothing gives")
        inputs: tuple[Any, ...] = tuple(self._values[name] for name in node.input)
        is_standard = node.domain in {"", "ai.onnx"}
        if node.op_type in NESTED and is_standard:
            made = _valid(lambda: nested(self._sketch, node, inputs, self._run_nested))
            return [UNKNOWN] * len(node.output) if made is None else made
        constants = [value for value in inputs if value is None or isinstance(value, Constant)]
        if len(constants) == len(inputs) and is_standard:
            return _valid(lambda: self._folded(node, constants))
        try:
            return self._translated(node, inputs, needed)
        except Refusal as refusal:
            return self._expanded(node, inputs, refusal)

    def _expanded(
        self, node: Any, inputs: Sequence[Any], refusal: Refusal
    ) -> list[Value | _NotComputed | None]:
        """Outputs of an operator as the standard writes it, of others.

        Raises:
            Refusal: If it writes none, or something in it is refused.
        """
        if node.op_type in REASONS:
            raise refusal
        found = _valid(lambda: expanded(node, inputs, self._opset))
        if found is None:
            raise refusal
        before = self._blockers, self._opset
        self._blockers, (graph, self._opset) = [], found
        self._run_graph(graph, {name for name in node.output if name}, set())
        blockers = self._blockers
        self._blockers, self._opset = before
        if blockers:
            raise refusal if node.op_type in OPERATORS else Refusal(blockers[0])
        return [self._values[name] if name else None for name in node.output]

    def _translated(
        self, node: Any, inputs: tuple[Any, ...], needed: set[str]
    ) -> Sequence[Value | None]:
        """Outputs of an operator as a layer, or several.

        Raises:
            Refusal: If there are none that do it.
        """
        is_standard = node.domain in {"", "ai.onnx"}
        known = OPERATORS.get(node.op_type) if is_standard else None
        translation = known or FOREIGN.get((node.domain, node.op_type))
        if translation is None:
            reason = reason_of(node.op_type) if is_standard else "an operator of another domain"
            raise Refusal(reason)
        use = self._use(node, inputs, needed)
        self._sketch.hint = use.hint
        made = _valid(lambda: translation(self._sketch, use))
        assert isinstance(use.attributes, Attributes)
        unknown = sorted(set(use.attributes) - use.attributes.seen)
        if unknown:
            raise Refusal(f"attribute {unknown[0]} {use.attributes[unknown[0]]}")
        return made

    def _use(self, node: Any, inputs: tuple[Any, ...], needed: set[str]) -> Use:
        from onnx import helper

        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        return Use(
            operator=node.op_type,
            inputs=inputs,
            attributes=Attributes(attributes),
            outputs=tuple(name in needed for name in node.output),
            alone=tuple(name in self._alone for name in node.input),
            opset=self._opset,
            hint=_hint(node),
        )

    def _folded(self, node: Any, inputs: Sequence[Constant | None]) -> list[Value]:
        if any(a.HasField("g") or a.graphs for a in node.attribute):
            raise Refusal("a graph within the graph")
        first = inputs[0] if inputs else None
        if node.op_type == "Identity" and first is not None:
            return [Constant(first.array, _parameter(node.output[0]) or first.name)]
        arrays: list[Array | None] = [None if value is None else value.array for value in inputs]
        outputs = [_as_float32(array) for array in folding.run(node, arrays, self._opset)]
        if first is None or not first.name:
            return [Constant(array) for array in outputs]
        return [arranged(first, node, arrays[1:], array) for array in outputs]


def _valid(make: Callable[[], T]) -> T:
    """What is made of a node.

    Raises:
        Refusal: If it is not valid.
    """
    try:
        with np.errstate(all="ignore"):  # of weights that are not finite, which are refused
            return make()
    except NOT_VALID as error:
        raise Refusal(" ".join(str(error).split())[:200]) from None


def _products_of_one(graph: Any) -> set[str]:
    """Products of matrices that one node alone takes."""
    takers = collections.Counter(name for node in graph.node for name in _taken(node))
    takers.update(entry.name for entry in graph.output)
    made = {name for node in graph.node if node.op_type in PRODUCTS for name in node.output}
    return {name for name in made if takers[name] == 1}


def names_needed(nodes: Sequence[Any], wanted: set[str]) -> set[str]:
    """Names of the tensors that some depend on, themselves among them."""
    needed = set(wanted)
    for node in reversed(nodes):
        if needed & set(node.output):
            needed |= _taken(node)
    return needed - {""}


def _taken(node: Any) -> set[str]:
    """Names that a node takes, and that graphs within it may take from outside."""
    names = set(node.input)
    for attribute in node.attribute:
        for graph in [attribute.g] if attribute.HasField("g") else attribute.graphs:
            names.update(entry.name for entry in graph.output)
            for inner in graph.node:
                names |= _taken(inner)
    return names


def _as_float32(array: Array) -> Array:
    """Numbers of any precision as float32; integers and truth values as they are."""
    if array.dtype.kind in "iub":
        return array
    return array.astype(np.float32, copy=False)


def _parameter(name: str) -> str:
    """The name of a parameter as the model has it, or nothing if an exporter made it up."""
    return "" if MADE_UP.match(name) else name


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
