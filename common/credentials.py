"""Credentials in addresses: refused where they would be kept, masked where they would be shown."""

from collections.abc import Iterator, Mapping
from typing import Any

from crossmesh.common.errors import ConfigError, masked

_HINTS = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment of all nodes, or "
    "AWS_PROFILE",
    "gs": "set GOOGLE_APPLICATION_CREDENTIALS in the environment of all nodes",
}
_HINT = "give them in the environment, or in the file where its programs look for them"


def check_without(tree: Mapping[str, Any], kept_in: str) -> None:
    """Refuse addresses with a key, a password or a token in them.

    Args:
        tree: A config as it stands in a file.
        kept_in: Where the address would be kept, in the error.

    Raises:
        ConfigError: With the first such field, its value masked, and another way to give them.
    """
    for field, text in _texts(tree):
        if ":/" in text and masked(text) != text:
            hint = _HINTS.get(text.partition(":")[0], _HINT)
            raise ConfigError(
                f"{field} must be an address without credentials, which would be kept in "
                f"{kept_in}, got {masked(text)}; {hint}"
            )


def _texts(value: object, place: str = "") -> Iterator[tuple[str, str]]:
    """Every text below a value, with its field."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, Mapping):
        for key, below in value.items():
            yield from _texts(below, f"{place}.{key}" if place else str(key))
    elif isinstance(value, list):
        for i, below in enumerate(value):
            yield from _texts(below, f"{place}.{i}")
