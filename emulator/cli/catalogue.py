"""Lists of configs, studies and devices, made from them, so that no second list can go stale."""

import inspect
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import to_jsonable_python

from crossmesh.common.descriptions import meanings
from crossmesh.emulator.config.loading import load_cell, shipped
from crossmesh.emulator.config.shorthand import presets
from crossmesh.emulator.study.config import shipped_studies
from crossmesh.tiles.analog.cells import Ideal
from crossmesh.tiles.analog.devices import DEVICES


def configs() -> list[dict[str, str]]:
    """Every shipped config: its name, and the comment that it begins with."""
    return _summaries(shipped())


def studies() -> list[dict[str, str]]:
    """Every shipped study: its name, and the comment that it begins with."""
    return _summaries(shipped_studies())


def _summaries(files: Mapping[str, Path]) -> list[dict[str, str]]:
    return [{"name": name, "summary": _comments(path)[0]} for name, path in files.items()]


def devices() -> list[dict[str, Any]]:
    """Every kind of device: summary, source, and its parameters with defaults and meaning."""
    kinds: dict[str, Any] = {"ideal": Ideal, **DEVICES.usable()}
    return [
        {
            "name": kind,
            "kind": kind,
            "summary": (inspect.getdoc(cls) or "").splitlines()[0],
            "source": getattr(cls, "source", "unknown"),
            "parameters": _parameters(cls, _defaults(cls), "default"),
        }
        for kind, cls in kinds.items()
    ]


def shipped_devices() -> list[dict[str, Any]]:
    """Every device that a section of a config can extend by its name, with its parameters."""
    return [device_entry(name, path) for name, path in presets().items()]


def device_entry(name: str, path: Path) -> dict[str, Any]:
    """What a device file says: summary and source are those that it begins with."""
    cell = load_cell(path)
    comments = _comments(path)
    sources = (line.removeprefix("source: ") for line in comments if line.startswith("source: "))
    return {
        "name": name,
        "kind": cell.kind,
        "summary": comments[0] if comments else f"a device of the kind {cell.kind}",
        "source": next(sources, "unknown"),
        "parameters": _parameters(type(cell), cell.model_dump(mode="json"), "value"),
    }


def _comments(path: Path) -> list[str]:
    """The lines of comment that a file begins with."""
    lines = itertools.takewhile(lambda line: line[:1] == "#", path.read_text("utf-8").splitlines())
    return [line.lstrip("# ") for line in lines]


def _defaults(device: type[BaseModel]) -> dict[str, Any]:
    """Default of every parameter; of one that must be given, that."""
    try:
        return device().model_dump(mode="json")
    except ValidationError:
        fields = device.model_fields.items()
        return {
            n: "required"
            if f.is_required()
            else to_jsonable_python(f.get_default(call_default_factory=True))
            for n, f in fields
        }


def _parameters(device: type, values: dict[str, Any], as_: str) -> list[dict[str, Any]]:
    what = meanings(device)
    return [
        {"name": name, as_: value, "what": what.get(name, "")}
        for name, value in values.items()
        if name != "kind"
    ]
