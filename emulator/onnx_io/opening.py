"""ONNX files, checked before anything is made of them."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from crossmesh.common import free_memory
from crossmesh.common.errors import ConfigError
from crossmesh.common.whole_files import is_file
from crossmesh.emulator.onnx_io.skeleton import Stretch, without_weights
from crossmesh.emulator.onnx_io.values import Array

FIELD = "network.onnx"
COPIES = 2  # of a file that are there while it is read, checked and made layers of (measured)
# Published networks have up to 20,000 nodes. More than 50,000 take minutes before any is trained.
MOST_NODES, MOST_CALLS = 50_000, 50


class Opened(NamedTuple):
    """A model whose large weights are still in their files.

    Attributes:
        model: The model, without functions of its own.
        stretches: Where the numbers of weights lie that it does not hold, by name.
    """

    model: Any
    stretches: dict[str, Stretch]

    def array(self, tensor: Any) -> Array:
        """The numbers of a weight."""
        from onnx import helper, numpy_helper

        stretch = self.stretches.get(tensor.name)
        if stretch is None:
            return numpy_helper.to_array(tensor)
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type))
        return stretch.read(dtype, tuple(tensor.dims))


def load(path: Path) -> Opened:
    """A model that has been checked.

    Raises:
        ConfigError: If it is none, or keeps weights outside its folder.
    """
    if not is_file(path):
        raise ConfigError(f"{FIELD} must be a file, got {path}")
    _check_room(path, path.stat().st_size)
    import onnx
    from onnx import inliner

    try:
        written, by_number = without_weights(path)
        model = onnx.ModelProto.FromString(written)
        stretches = {model.graph.initializer[i].name: one for i, one in by_number.items()}
        outer = {tensor.name for tensor in model.graph.initializer}
        for tensor in _tensors([model.graph, *model.functions]):
            _check_place(path, tensor)
            if tensor.external_data and tensor.name not in outer:
                rule = "keep data in other files for initializers alone"
                raise ConfigError(f"{FIELD} must {rule}, got {tensor.name or 'a constant'}")
        stretches |= _outside(path, model.graph.initializer)
        _check(model, stretches)
        _check_functions(model)
        made = inliner.inline_local_functions(model) if model.functions else model
    except ConfigError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(f"{FIELD} must be an ONNX model, got {path} ({reason})") from None
    return Opened(made, stretches)


def external_files(path: Path) -> list[Path]:
    """The other files that hold weights of a model.

    Raises:
        ConfigError: As ``load``.
    """
    return sorted({stretch.file for stretch in load(path).stretches.values()} - {path})


def _outside(path: Path, tensors: Iterable[Any]) -> dict[str, Stretch]:
    """Where weights lie that are in other files."""
    found = {}
    for tensor in tensors:
        entries = {entry.key: entry.value for entry in tensor.external_data}
        if "location" in entries:
            place = path.parent / entries["location"]
            start, n_bytes = int(entries.get("offset", 0)), int(entries.get("length", -1))
            found[tensor.name] = Stretch(place, start, n_bytes)
    return found


def _check(model: Any, stretches: dict[str, Stretch]) -> None:
    """Check a model without the numbers that it does not hold."""
    from onnx import checker

    sizes = {}
    for tensor in model.graph.initializer:
        if tensor.name in stretches:
            sizes[tensor.name] = list(tensor.dims), list(tensor.external_data), tensor.data_location
            del tensor.dims[:], tensor.external_data[:]
            tensor.dims.append(0)
            tensor.ClearField("data_location")
    checker.check_model(model)
    for tensor in model.graph.initializer:
        if tensor.name in sizes:
            dims, entries, location = sizes[tensor.name]
            tensor.dims[:] = dims
            tensor.external_data.extend(entries)
            tensor.data_location = location


def _check_room(path: Path, n_bytes: int) -> None:
    """Refuse a file that cannot be read in the memory that is free."""
    needed = COPIES * n_bytes
    if (free := free_memory.lacking(needed)) is not None:
        raise ConfigError(
            f"{FIELD} must fit in the {free_memory.in_words(free)} of memory that are free, "
            f"got {path}, which takes {free_memory.in_words(needed)}"
        )


def _check_functions(model: Any) -> None:
    """Refuse functions that call each other until there are too many nodes.

    Raises:
        ConfigError: If that is so, or if one calls itself.
    """
    functions = {(f.domain, f.name): f for f in model.functions}
    sizes: dict[tuple[str, str], int] = {}

    def size(nodes: Iterable[Any], open_: tuple[tuple[str, str], ...]) -> int:
        total = 0
        for node in nodes:
            key = (node.domain, node.op_type)
            if key in open_ or len(open_) > MOST_CALLS:
                raise ConfigError(f"{FIELD} must have functions that end, got {key[1][:100]}")
            if key in functions and key not in sizes:
                sizes[key] = size(functions[key].node, (*open_, key))
            total += sizes.get(key, 1)
        return total

    if (n := size(model.graph.node, ())) > MOST_NODES:
        raise ConfigError(f"{FIELD} must have at most {MOST_NODES} nodes, got {n:.3g}")


def _tensors(graphs: Iterable[Any]) -> Iterator[Any]:
    """All constants of graphs and functions, and of the graphs within."""
    for graph in graphs:
        yield from getattr(graph, "initializer", [])
        for node in graph.node:
            for attribute in node.attribute:
                yield attribute.t
                yield from attribute.tensors
                yield from _tensors([attribute.g, *attribute.graphs])


def _check_place(path: Path, tensor: Any) -> None:
    """Check that what a tensor has in another file lies in the model's folder."""
    places = [entry.value for entry in tensor.external_data if entry.key == "location"]
    folder = path.parent.resolve()
    for place in places:
        file = (folder / place).resolve()
        if not file.is_relative_to(folder):
            raise ConfigError(f"{FIELD} must keep its data in its own folder, got {place}")
        if not is_file(file):
            raise ConfigError(f"{FIELD} must have its data beside it, got no file {place}")
