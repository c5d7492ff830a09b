"""What configs, studies and devices there are: they tell it, so no second list can go stale."""

import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emulator.loading import shipped
from emulator.study.config import shipped_studies
from tiles.devices import DEVICES


def configs() -> list[dict[str, str]]:
    """Every shipped config: its name, and the comment that it begins with."""
    return _summaries(shipped())


def studies() -> list[dict[str, str]]:
    """Every shipped study: its name, and the comment that it begins with."""
    return _summaries(shipped_studies())


def _summaries(files: Mapping[str, Path]) -> list[dict[str, str]]:
    return [
        {"name": name, "summary": path.read_text("utf-8").splitlines()[0].lstrip("# ")}
        for name, path in files.items()
    ]


def devices() -> list[dict[str, Any]]:
    """Every device: kind, summary, source, and its parameters with defaults and meaning."""
    return [
        {
            "kind": kind,
            "summary": (inspect.getdoc(cls) or "").splitlines()[0],
            "source": cls.source,
            "parameters": _parameters(cls),
        }
        for kind, cls in DEVICES.items()
    ]


def _parameters(cls: type[Any]) -> list[dict[str, Any]]:
    meanings: dict[str, str] = {}
    for ancestor in reversed(cls.__mro__):
        meanings.update(_attributes(inspect.getdoc(ancestor) if ancestor.__doc__ else None))
    return [
        {"name": name, "default": field.default, "what": meanings.get(name, "")}
        for name, field in cls.model_fields.items()
        if name != "kind"
    ]


def _attributes(docstring: str | None) -> dict[str, str]:
    """Names and meanings of an ``Attributes:`` section."""
    _, found, section = (docstring or "").partition("Attributes:\n")
    if not found:
        return {}
    entries = re.findall(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", section, flags=re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}
