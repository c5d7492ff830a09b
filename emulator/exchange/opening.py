"""ONNX files, checked before anything is made of them."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from emulator.errors import ConfigError

FIELD = "network.onnx"


def load(path: Path) -> Any:
    """The model, with its weights and without functions of its own.

    Raises:
        ConfigError: If it is none, or keeps weights outside its folder.
    """
    if not path.is_file():
        raise ConfigError(f"{FIELD} must be a file, got {path}")
    import onnx
    from onnx import checker, external_data_helper, inliner

    try:
        model = onnx.load(path, load_external_data=False)
        for tensor in _tensors([model.graph, *model.functions]):
            _check_place(path, tensor)
        checker.check_model(str(path))
        external_data_helper.load_external_data_for_model(model, str(path.parent))
        return inliner.inline_local_functions(model) if model.functions else model
    except ConfigError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(f"{FIELD} must be an ONNX model, got {path} ({reason})") from None


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
        if not file.is_file():
            raise ConfigError(f"{FIELD} must have its data beside it, got no file {place}")
