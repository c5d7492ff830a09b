"""Attributes of nodes, none of which is left unread."""

from collections.abc import Mapping
from typing import Any


class Attributes(dict[str, Any]):
    """Attributes of a node, which notes those that were asked for."""

    def __init__(self, entries: Mapping[str, Any]) -> None:
        super().__init__(entries)
        self.seen: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        """As of any mapping."""
        self.seen.add(key)
        return super().get(key, default)

    def __getitem__(self, key: str) -> Any:
        self.seen.add(key)
        return super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        self.seen.add(str(key))
        return super().__contains__(key)
