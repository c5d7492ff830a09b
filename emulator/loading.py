"""Reading configs: YAML, ``extends``, ``--set``, and errors of one line."""

import difflib
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from emulator.config import SHIPPED, RunConfig
from emulator.errors import ConfigError


def shipped() -> dict[str, Path]:
    """The shipped configs by name."""
    return {path.stem: path for path in sorted(SHIPPED.glob("*.yaml"))}


def load_config(source: str | Path, overrides: Iterable[str] = ()) -> RunConfig:
    """Read a config file, or a shipped config by name.

    Args:
        source: Path of a YAML file, or name of a shipped config.
        overrides: ``a.b=value`` each, the value in YAML.

    Raises:
        ConfigError: With one line that names the field, the law and the value.
    """
    tree = _read(source, seen=())
    for override in overrides:
        tree = merged(tree, _parsed(override))
    return validated(tree)


def validated(tree: Mapping[str, Any]) -> RunConfig:
    """A config from plain dictionaries."""
    try:
        return RunConfig.model_validate(dict(tree))
    except ValidationError as error:
        raise ConfigError(_sentence(error)) from None


def dumped(config: RunConfig) -> str:
    """The config as YAML that loads again."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, width=100)


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with ``over`` laid on top, key by key; a new ``kind`` starts its object afresh."""
    result = dict(base)
    for key, value in over.items():
        old = result.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            changes_kind = "kind" in value and "kind" in old and value["kind"] != old["kind"]
            result[key] = dict(value) if changes_kind else merged(old, value)
        else:
            result[key] = value
    return result


def _read(source: str | Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    path = _find(source, seen[-1].parent if seen else Path())
    if path in seen:
        raise ConfigError(f"extends must not lead back to itself, got {source}")
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f" line {where.line + 1}" if where else ""
        problem = getattr(error, "problem", None) or "cannot be parsed"
        raise ConfigError(f"{path}{line} must be YAML: {problem}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} must be a readable text file: {error}") from None
    if not isinstance(tree, dict):
        raise ConfigError(f"{path} must hold a mapping, got {type(tree).__name__}")
    base = tree.pop("extends", None)
    return tree if base is None else merged(_read(str(base), (*seen, path)), tree)


def _find(source: str | Path, folder: Path) -> Path:
    names = shipped()
    for path in (Path(source), folder / source):
        if path.is_file():
            return path.resolve()
    if str(source) in names:
        return names[str(source)]
    hint = _nearest(str(source), names)
    raise ConfigError(
        f"config must be a file or a shipped name ({', '.join(names)}), got {source}{hint}"
    )


def _parsed(override: str) -> dict[str, Any]:
    path, separator, text = override.partition("=")
    if not separator or not all(path.split(".")):
        raise ConfigError(f"--set must be like a.b=value, got {override}")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigError(f"--set {path} must have a YAML value, got {text}") from None
    for key in reversed(path.split(".")):
        value = {key: value}
    return typing.cast("dict[str, Any]", value)


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else ""


_LAWS = {
    "missing": "be given",
    "extra_forbidden": "be a known key",
    "greater_than": "be above {gt}",
    "greater_than_equal": "be at least {ge}",
    "less_than": "be below {lt}",
    "less_than_equal": "be at most {le}",
    "literal_error": "be {expected}",
    "union_tag_invalid": "be one of {expected_tags}",
    "finite_number": "be a finite number",
    "int_from_float": "be a whole number",
    "int_parsing": "be a whole number",
    "int_type": "be a whole number",
    "float_parsing": "be a number",
    "float_type": "be a number",
    "bool_parsing": "be true or false",
    "bool_type": "be true or false",
    "string_type": "be text",
    "list_type": "be a list",
    "model_type": "be a mapping",
    "model_attributes_type": "be a mapping",
    "dict_type": "be a mapping",
    "too_short": "have at least {min_length} entries",
    "string_pattern_mismatch": "match {pattern}",
}


def _sentence(error: ValidationError) -> str:
    """The first error as a sentence: field, law, value."""
    first = error.errors()[0]
    path, owner = _walk(first["loc"])
    kind, context = first["type"], first.get("ctx", {})
    key = path.rpartition(".")[2]
    if kind == "extra_forbidden":
        hint = _nearest(key, owner.model_fields)
        return f"{path} must be a known key, got {key}{hint}"
    if kind in {"missing", "union_tag_not_found"}:
        return f"{path}{'.kind' if kind != 'missing' else ''} must be given"
    if kind == "value_error":
        return f"{path}.{context['error']}" if path else str(context["error"])
    if kind == "union_tag_invalid":
        tags = context["expected_tags"].replace("'", "")
        hint = _nearest(context["tag"], tags.split(", "))
        return f"{path}.kind must be one of {tags}, got {context['tag']}{hint}"
    law = _LAWS.get(kind, first["msg"][:1].lower() + first["msg"][1:]).format(**context)
    return f"{path} must {law}, got {_short(first['input'])}"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _walk(location: tuple[int | str, ...]) -> tuple[str, type[BaseModel]]:
    """A dotted path without the tags that unions add, and the model that its last key is in."""
    path: list[str] = []
    owner: type[BaseModel] = RunConfig
    here: list[Any] = [RunConfig]  # what the value at the path may be
    for key in location:
        models = [kind for kind in here if isinstance(kind, type) and issubclass(kind, BaseModel)]
        tagged = [model for model in models if key in _tags(model)]
        if tagged:
            owner, here = tagged[0], tagged
        elif isinstance(key, int):
            path.append(str(key))
            here = [kind for entry in here for kind in _members(_arguments(entry))]
        elif models:
            owner = next((model for model in models if key in model.model_fields), models[0])
            field = owner.model_fields.get(key)
            here = _members([field.annotation]) if field else []
            path.append(key)
    return ".".join(path), owner


def _members(annotations: Iterable[Any]) -> list[Any]:
    """What a value may be, with unions and annotations opened."""
    members: list[Any] = []
    for annotation in annotations:
        origin = typing.get_origin(annotation)
        if origin is typing.Annotated:
            members += _members(typing.get_args(annotation)[:1])
        elif origin in {typing.Union, types.UnionType}:
            members += _members(typing.get_args(annotation))
        else:
            members.append(annotation)
    return members


def _arguments(annotation: Any) -> tuple[Any, ...]:
    return typing.get_args(annotation)[:1]


def _tags(model: type[BaseModel]) -> tuple[Any, ...]:
    """Values of ``kind`` by which a union knows a model."""
    kind = model.model_fields.get("kind")
    return () if kind is None else typing.get_args(kind.annotation)
