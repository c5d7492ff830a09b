"""Random small ONNX graphs: what their operators give, and how that follows from their input.

``python -m tests.graphs N [FIRST]`` tries N of them and prints what came of each kind.
"""

import collections
import math
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.onnx_io.reading import read_onnx
from tests import exact

N = 7  # examples, as many as no axis is long
OPSET = 21
MOST_NUMBERS = 300  # of an example
TOLERANCE = 1e-4  # of the largest number
RIGHT = {"right", "right in value", "at a kink"}
# What may be refused, as it would take other examples into account.
FINE = (
    "the axis of the examples", "along different axes", "examples that", "differs between",
    "before that of the examples",
)  # fmt: skip


class Erf(OpRun):
    """In float64, as the reference's own is not."""

    op_domain = ""

    def _run(self, x):
        return (_erf(x),)


class Gelu(OpRun):
    """In float64."""

    op_domain = ""

    def _run(self, x, approximate="none"):
        if approximate == "none":
            return (x * (1 + _erf(x / math.sqrt(2))) / 2,)
        return (x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2,)


class LRN(OpRun):
    """Of any number of channels."""

    op_domain = ""

    def _run(self, x, alpha, beta, bias, size):
        before, behind = (size - 1) // 2, size // 2
        wide = np.pad(x**2, ((0, 0), (before, behind), *[(0, 0)] * (x.ndim - 2)))
        sums = sum(wide[:, i : i + x.shape[1]] for i in range(size))
        return (x / (bias + alpha / size * sums) ** beta,)


def _erf(x):
    return np.vectorize(math.erf, otypes=[x.dtype])(x)


REFERENCE = [Erf, Gelu, LRN]  # where the standard's own computes in float32, or not at all


class Graph:
    """A graph that is being made, with the values of all tensors for some examples.

    Args:
        seed: What it follows from.
    """

    def __init__(self, seed):
        self.draw = np.random.default_rng(seed)
        self.is_open = bool(self.draw.integers(2))
        self.nodes, self.initializers, self.inputs = [], [], []
        self.values, self.kinds, self.hidden = {}, [], {}
        for i in range(1 if self.draw.random() < 0.7 else 2):
            shape = (N, *self.shape(int(self.draw.integers(1, 4))))
            self.values[f"x{i}"] = self.draw.normal(size=shape)
            self.inputs.append(f"x{i}")

    def shape(self, rank, most=5):
        """Random sizes."""
        return tuple(int(n) for n in self.draw.integers(1, most + 1, rank))

    def pick(self, *ranks):
        """A tensor, of one of some ranks if there is one; rather a late one."""
        names = [n for n in self.values if not ranks or self.values[n].ndim in ranks]
        if not names:
            return None
        weights = np.arange(1, len(names) + 1) ** 2.0
        return str(self.draw.choice(names, p=weights / weights.sum()))

    def constant(self, array):
        """A constant of the file."""
        name = f"c{len(self.initializers)}"
        self.initializers.append((name, np.asarray(array)))
        return name

    def numbers(self, *shape, scale=1.0):
        """Random numbers, as a constant."""
        return self.constant(self.draw.normal(0, scale, shape))

    def whole(self, *numbers):
        """Whole numbers, as a constant."""
        return self.constant(np.array(numbers, np.int64))

    def chance(self, p=0.5):
        """Whether something is so."""
        return bool(self.draw.random() < p)

    def any(self, *choices):
        """One of several."""
        return choices[int(self.draw.integers(len(choices)))]

    def axis(self, name, first=1):
        """An axis of a tensor, as a rule not that of the examples; None: it has no other."""
        rank = self.values[name].ndim
        if rank <= first:
            return None
        axis = int(self.draw.integers(first, rank))
        return axis - rank if self.chance(0.3) else axis

    def array(self, name):
        """The numbers of a tensor or constant."""
        known = self.values | self.hidden
        return known[name] if name in known else dict(self.initializers)[name]

    def add_hidden(self, operator, inputs):
        """A node whose output is for another operator alone; its name."""
        name = f"{operator.lower()}{len(self.nodes)}"
        node = helper.make_node(operator, inputs, [name], name=name)
        self.hidden[name] = _run(node, {one: self.array(one) for one in inputs})[0]
        self.nodes.append(node)
        return name

    def add(self, kind, operator, inputs, outputs=1, **attributes):
        """A node, if it gives a tensor of finite numbers; its first output."""
        names = [f"{operator.lower()}{len(self.nodes)}_{i}" for i in range(outputs)]
        node = helper.make_node(operator, inputs, names, name=names[0], **attributes)
        made = _computed(node, {name: self.array(name) for name in inputs if name})
        if made is None:
            return None
        self.nodes.append(node)
        self.kinds.append(kind)
        self.values |= zip(names, made, strict=True)
        return names[int(self.draw.integers(outputs))]

    def model(self, output, dtype=np.float32):
        """The graph as a model, whose numbers are of a type."""
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        first = "n" if self.is_open else N

        def entry(name, is_input):
            shape = self.values[name].shape
            sizes = [first, *shape[1:]] if is_input else [f"{name}{i}" for i in range(len(shape))]
            return helper.make_tensor_value_info(name, kind, sizes)

        constants = [
            numpy_helper.from_array(a.astype(dtype) if a.dtype.kind == "f" else a, name)
            for name, a in self.initializers
        ]
        graph = helper.make_graph(
            self.nodes, "graph", [entry(name, True) for name in self.inputs],
            [entry(output, False)], constants,
        )  # fmt: skip
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9
        )


def _computed(node, arrays):
    """Outputs of a node; None: it is not valid, or has no finite numbers, or too many."""
    try:
        made = _run(node, arrays)
    except Exception:  # whatever a node that is not valid raises
        return None
    for one in made:
        is_small = 0 < one.size <= MOST_NUMBERS * N and one.ndim <= 6
        if one.dtype.kind != "f" or not is_small or not (np.abs(one) < 100).all():
            return None
    return made


def _run(node, arrays):
    """Outputs of a node."""
    graph = helper.make_graph(
        [node], "node",
        [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
         for n, a in arrays.items()],
        [helper.make_empty_tensor_value_info(name) for name in node.output],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    return [
        np.asarray(one) for one in ReferenceEvaluator(model, new_ops=REFERENCE).run(None, arrays)
    ]


def graph(seed, operators):
    """A graph of some nodes, and the name of its output; None: none came about."""
    made = Graph(seed)
    last = None
    wanted = int(made.draw.integers(2, 8))
    for _ in range(6 * wanted):
        if len(made.kinds) >= wanted:
            break
        name = made.any(*operators)
        last = operators[name](made, name) or last
    return (made, last) if last is not None else None


def tried(seed, operators, folder):
    """What came of a graph: ``right``, or what was wrong, or why it was refused."""
    found = graph(seed, operators)
    if found is None:
        return "none", "", ()
    made, output = found
    kinds = tuple(dict.fromkeys(made.kinds))
    file = Path(folder) / "graph.onnx"
    onnx.save(made.model(output), file)
    wanted = _wanted(file, made)
    if wanted is None:
        return "none", "", kinds
    try:
        read = read_onnx(file, softmax=False, output=output)
    except ConfigError as refusal:
        return "refused", str(refusal), kinds
    given = [made.values[one.name] for one in read.inputs]
    n = N if read.inputs[0].at is not None else 1
    x = np.concatenate([one.reshape(n, -1) for one in given], 1).reshape(n, *read.input_shape)
    y = exact.outputs(read, x)
    known = made.values[output]  # by the standard's reference, which is wrong of some operators
    is_known = known.shape == wanted.shape and np.allclose(known, wanted, rtol=1e-3, atol=1e-3)
    if read.output.at:
        wanted = np.moveaxis(wanted, read.output.at, 0)
    if y.size != wanted.size:
        return "wrong", f"{y.shape} for {wanted.shape}", kinds
    scale = max(1e-2, float(np.abs(wanted).max()))
    off = float(np.abs(y.reshape(wanted.shape) - wanted).max()) / scale
    if not off <= TOLERANCE:
        return "wrong", f"off by {off:.2g}", kinds
    return _slope(made, output, read, x, y) if is_known else "right in value", "", kinds


def _wanted(file, made):
    """What onnxruntime gives; None: the graph is not valid, though the reference takes it."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(file, options)
        names = [one.name for one in session.get_inputs()]
        return session.run(None, {n: made.values[n].astype(np.float32) for n in names})[0]
    except Exception:  # whatever it raises
        return None


def _slope(made, output, read, x, y):
    """Whether the error at the input is what numbers beside it say."""
    model = ReferenceEvaluator(made.model(output, np.float64), new_ops=REFERENCE)
    fed = {name: made.values[name] for name in made.inputs}
    d = made.draw.normal(size=y.shape)
    at = read.output.at or 0
    way = {name: made.draw.normal(size=array.shape) for name, array in fed.items()}

    def loss(step):
        moved = {name: fed[name] + step * way[name] for name in fed}
        return float((np.moveaxis(model.run(None, moved)[0], at, 0).reshape(d.shape) * d).sum())

    h = 1e-6
    before, here, behind = loss(-h), loss(0.0), loss(h)
    slope, kink = (behind - before) / (2 * h), abs(behind - 2 * here + before) / h
    error = exact.errors(read, x, d.astype(np.float32))
    moves = [way[one.name].reshape(len(x), -1) for one in read.inputs]
    flat = np.concatenate(moves, 1)
    ours = float((error.reshape(flat.shape).astype(float) * flat).sum())
    size = float((np.abs(error.reshape(flat.shape)) * np.abs(flat)).sum())
    if kink > 1e-3 * max(1.0, abs(slope)):
        return "at a kink"
    return "right" if abs(ours - slope) <= 2e-3 * max(size, 1e-1) else f"slope {ours} for {slope}"


def run(seeds, operators):
    """What came of many graphs: by outcome, the seeds; and how often each operator was right."""
    found, counts = collections.defaultdict(list), collections.Counter()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for seed in seeds:
            with np.errstate(all="ignore"):
                status, reason, kinds = tried(seed, operators, folder)
            if status == "refused" and any(fine in reason for fine in FINE):
                status = "refused, as it should"
            word = "wrong slope" if status.startswith("slope") else status
            found[word].append((seed, reason or status, kinds))
            if status in RIGHT:
                counts.update(kinds)
    return found, counts


if __name__ == "__main__":
    from tests.graph_operators import OPERATORS

    first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    found, counts = run(range(first, first + int(sys.argv[1])), OPERATORS)
    for status, entries in found.items():
        sys.stdout.write(f"{status}: {len(entries)}\n")
        if status not in {*RIGHT, "none"}:
            for seed, reason, kinds in entries[:40]:
                sys.stdout.write(f"  {seed} {reason[-160:]} {kinds}\n")
    missing = sorted(set(OPERATORS) - set(counts))
    sys.stdout.write(f"right {dict(counts)}\nnever right: {missing}\n")
