"""Inputs of an ONNX file: their shapes, where examples lie in them, and which are constants."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.onnx_io.arrangement import NamedShape
from crossmesh.emulator.onnx_io.moving import reshaped
from crossmesh.emulator.onnx_io.opening import FIELD
from crossmesh.emulator.onnx_io.operating import operate
from crossmesh.emulator.onnx_io.sketch import INPUT, Sketch
from crossmesh.emulator.onnx_io.values import Axes, Constant, View, kind_of, view_of

OPEN = 2  # examples that stand for any number, where the file leaves it open
Size = int | Literal["n"]
Shape = Sequence[Size]  # of an example, or of the tensor with ``n`` where the examples lie
Shapes = Shape | Mapping[str, Shape]


@dataclass(frozen=True, kw_only=True)
class Taken:
    """How a network takes its examples.

    Attributes:
        inputs: The inputs whose numbers follow each other in an example.
        constants: The inputs that are the same for all examples.
        n: Examples that the shapes of the file stand for.
        is_open: Whether they stand for any number.
        has_tokens: Whether the input is whole numbers of steps, which are rows of tables.
    """

    inputs: tuple[NamedShape, ...]
    constants: Mapping[str, Constant]
    n: int
    is_open: bool = False
    has_tokens: bool = False

    @property
    def shape(self) -> Axes:
        """Shape of an example: of the only input, or all numbers of several."""
        if len(self.inputs) == 1:
            return self.inputs[0].shape or (1,)
        return (sum(math.prod(one.shape) for one in self.inputs),)

    def fed(self, sketch: Sketch) -> dict[str, View | Constant]:
        """What the inputs stand for: the input of the network, or parts of it."""
        fed: dict[str, View | Constant] = dict(self.constants)
        whole = view_of(INPUT, sketch.n, (sketch.n, *self.shape))
        start = 0
        for one in self.inputs:
            if len(self.inputs) == 1:
                shape = one.tensor_shape(sketch.n)
                fed[one.name] = view_of(INPUT, sketch.n, shape, one.at, one.kind)
                break
            stop = start + math.prod(one.shape)
            settings = {"axis": 0, "start": start, "stop": stop, "step": 1}
            part = operate(
                sketch, "slice", [whole], [sketch.n, stop - start], settings=settings, at=0,
                hint=one.name, kind=one.kind,
            )  # fmt: skip
            cut = reshaped(sketch, part, (sketch.n, *one.shape))
            order = list(range(1, cut.rank))
            order.insert(one.at or 0, 0)
            fed[one.name] = cut.permuted(order) if one.at is not None else cut.squeezed([0])
            start = stop
        return fed


def ways(
    graph: Any, needed: set[str], given: Shapes | None, constants: Mapping[str, Any]
) -> list[Taken]:
    """How examples may be taken, the way that is tried first at first.

    A file whose shapes are of several examples may do something with them that only makes sense
    for all of them together; then all of them are one example.

    Raises:
        ConfigError: If shapes are open, or do not fit what is given.
    """
    initial = {tensor.name for tensor in graph.initializer}
    entries = [entry for entry in graph.input if entry.name not in initial]
    names = [entry.name for entry in entries]
    _check_names("network.constants", constants, names)
    entries = [entry for entry in entries if entry.name in needed]
    held = {e.name: _constant(e, constants[e.name]) for e in entries if e.name in constants}
    entries = [entry for entry in entries if entry.name not in held]
    if not entries:
        raise ConfigError(f"{FIELD} must have an input that its output depends on, got none")
    if isinstance(given, Mapping):
        _check_names("network.input_shape", given, names)
        shapes = given
    elif given is not None and len(entries) > 1:
        rule = f"be a mapping from {', '.join(e.name for e in entries)} to shapes"
        raise ConfigError(f"network.input_shape must {rule}, got {list(given)}")
    else:
        shapes = {} if given is None else {entries[0].name: given}
    marked = [_marked(entry, shapes.get(entry.name)) for entry in entries]
    found = [_as_examples(entries, marked, held), _as_one(entries, marked, held)]
    chosen = [one for one in found if one is not None]
    if not chosen:
        raise ConfigError(_open(entries, marked))
    others = [replace(one, has_tokens=False) for one in chosen if one.has_tokens]
    return [*chosen[:1], *others, *chosen[1:]]


def _check_names(field: str, given: Mapping[str, Any], names: Sequence[str]) -> None:
    for name in given:
        if name not in names:
            raise ConfigError(f"{field} must name inputs ({', '.join(names)}), got {name}")


def _dtype(entry: Any) -> np.dtype[Any]:
    from onnx import helper

    kind = entry.type.tensor_type
    if not entry.type.HasField("tensor_type") or not kind.elem_type:
        raise ConfigError(f"{FIELD} must take tensors, got {entry.name}, which is none")
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(kind.elem_type))
    if dtype.kind not in "fiub":
        raise ConfigError(f"{FIELD} must take numbers, got {entry.name} of {dtype}")
    return dtype


def _constant(entry: Any, value: Any) -> Constant:
    return Constant(np.asarray(value, _dtype(entry)))


def _marked(entry: Any, given: Shape | None) -> list[Size | None]:
    """Sizes of an input's axes, ``n`` where the examples lie; None: open."""
    _dtype(entry)
    dims = entry.type.tensor_type.shape.dim
    if any(dim.HasField("dim_value") and not dim.dim_value for dim in dims[1:]):
        raise ConfigError(f"{FIELD} must take numbers, got {entry.name}, which has none")
    own = [dim.dim_value if dim.dim_value > 0 else None for dim in dims]
    sizes: list[Size | None] = list(own)
    if given is None:
        is_open = [i for i, size in enumerate(own) if size is None]
        if is_open == [0] or len(is_open) == 1:
            sizes[is_open[0]] = "n"
        elif 0 in is_open:
            sizes[0] = "n"
        return sizes
    wanted: list[Size] = list(given) if "n" in given or len(given) == len(own) else ["n", *given]
    fits = len(wanted) == len(own) and all(
        known in {None, size} or size == "n" for known, size in zip(own, wanted, strict=True)
    )
    if not fits or wanted.count("n") > 1:
        shown = ", ".join("open" if size is None else str(size) for size in own)
        raise ConfigError(
            f"network.input_shape must fit {entry.name} of ({shown}), got {list(given)}"
        )
    return list(wanted)


def _as_examples(
    entries: Sequence[Any], marked: Sequence[Sequence[Size | None]], held: Mapping[str, Constant]
) -> Taken | None:
    """Examples along an axis of every input; None: they are not."""
    axes, counts = [], set()
    for entry, sizes in zip(entries, marked, strict=True):
        if None in sizes or not sizes:
            return None
        at = sizes.index("n") if "n" in sizes else 0
        own = entry.type.tensor_type.shape.dim[at].dim_value
        axes.append(at)
        counts.add(max(own, 0))
    is_open = counts == {0}
    if len(counts) > 1:
        return None
    inputs = tuple(map(_named, entries, marked, axes))
    n = OPEN if is_open else counts.pop()
    has_tokens = len(inputs) == 1 and inputs[0].kind == "i" and len(inputs[0].shape) == 1
    return Taken(inputs=inputs, constants=held, n=n, is_open=is_open, has_tokens=has_tokens)


def _as_one(
    entries: Sequence[Any], marked: Sequence[Sequence[Size | None]], held: Mapping[str, Constant]
) -> Taken | None:
    """All numbers as one example; None: shapes are open."""
    if any(not isinstance(size, int) for size in itertools.chain(*marked)):
        return None
    inputs = tuple(_named(entry, sizes, None) for entry, sizes in zip(entries, marked, strict=True))
    return Taken(inputs=inputs, constants=held, n=1)


def _named(entry: Any, sizes: Sequence[Size | None], at: int | None) -> NamedShape:
    shape = tuple(int(size) for i, size in enumerate(sizes) if i != at and size is not None)
    return NamedShape(name=entry.name, shape=shape, kind=kind_of(_dtype(entry)), at=at)


def _open(entries: Sequence[Any], marked: Sequence[Sequence[Size | None]]) -> str:
    """Why examples cannot be taken, and what would help."""
    shown = ", ".join(
        f"{entry.name} of ({', '.join('open' if size is None else str(size) for size in sizes)})"
        for entry, sizes in zip(entries, marked, strict=True)
    )
    one = "a shape" if len(entries) == 1 else "shapes by name, n where the examples lie"
    rule = (
        f"have inputs of fixed size but for the examples, or be given network.input_shape ({one})"
    )
    return f"{FIELD} must {rule}, got {shown}"
