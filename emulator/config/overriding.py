"""Overrides of a config: fields by dotted paths, and their values."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import yaml

from crossmesh.common.bounded_yaml import parsed
from crossmesh.common.errors import ConfigError

Overrides = Iterable[str] | Mapping[str, Any]

MOST_PARTS = 50  # of a field's path


def assignments(changes: Overrides) -> Iterator[tuple[str, Any]]:
    """Fields and values of overrides in any form."""
    if isinstance(changes, Mapping):
        for path, value in changes.items():
            yield (
                _checked(path, f'overrides must be like {{"training.epochs": 3}}, got {path!r}'),
                value,
            )
        return
    for change in [changes] if isinstance(changes, str) else changes:
        if not isinstance(change, str):
            raise ConfigError(f'overrides must be like "training.epochs=3", got {change!r}')
        yield assignment(change, "overrides")


def assignment(text: str, option: str = "--set") -> tuple[str, Any]:
    """Field and value of ``a.b=value``; ``option`` is what the user wrote it behind."""
    path, separator, value = text.partition("=")
    refusal = f"{option} must be like a.b=value, got {text}"
    if not separator:
        raise ConfigError(refusal)
    _checked(path, refusal)
    try:
        return path, parsed(value)
    except yaml.YAMLError:
        raise ConfigError(f"{option} {path} must have a YAML value, got {value}") from None


def _checked(path: object, refusal: str) -> str:
    """The dotted path of a field, or a ConfigError with a refusal."""
    if isinstance(path, str) and all(path.split(".")) and path.count(".") < MOST_PARTS:
        return path
    raise ConfigError(refusal)


def nested(path: str, value: Any) -> dict[str, Any]:
    """A value at the place of a config that a dotted path names."""
    first, *rest = path.split(".")
    for key in reversed(rest):
        value = {key: value}
    return {first: value}
