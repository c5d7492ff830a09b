"""YAML that may be anything: safe, and bounded in size, depth, aliases and numbers."""

import copy
import functools
import re
from pathlib import Path
from typing import Any, Never

import yaml

from crossmesh.common.errors import ConfigError
from crossmesh.common.whole_files import read_whole

MOST_BYTES = 2 << 20  # of a file; pure Python reads about 0.2 MB/s
MOST_DEPTH = 50  # of lists and mappings in each other
MOST_NODES = 500_000  # what aliases repeat is counted as often as it is there
_KEPT_CHARS = 64 << 10  # of a file whose values are kept, which other places ask for again
_MOST_OF_KEY = 80  # characters of a key in an error
MOST_DIGITS = 40  # of a number that is written without a point; more has no place in a config


class _Loader(yaml.SafeLoader):
    """YAML's safe loader with bounds, to which ``1e-3`` is a number, as in YAML 1.2."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = 0
        self._sizes: dict[int, int] = {}  # of nodes that are whole, by identity

    def compose_node(self, parent: Any, index: Any) -> Any:
        """A node, whose size is known from those within it."""
        if self._depth == MOST_DEPTH:
            raise self._refusal(f"more than {MOST_DEPTH} levels of nesting")
        is_alias = self.check_event(yaml.AliasEvent)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        if is_alias and id(node) not in self._sizes:
            raise self._refusal("an alias within what it stands for")
        if node is not None and not is_alias:
            self._sizes[id(node)] = self._size(node)
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """A mapping, no key of which is there twice: the first would count for nothing."""
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if (key.tag, key.value) in seen:
                raise yaml.composer.ComposerError(
                    problem=f"{key.value[:_MOST_OF_KEY]} is there twice",
                    problem_mark=key.start_mark,
                )
            seen.add((key.tag, key.value))
        return node

    def _size(self, node: yaml.Node) -> int:
        size = 1
        if isinstance(node, yaml.CollectionNode):
            for entry in node.value:
                for within in entry if isinstance(entry, tuple) else (entry,):
                    size += self._sizes[id(within)]
        if size > MOST_NODES:
            raise self._refusal(f"more than {MOST_NODES} values, those of aliases counted")
        return size

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """What a node says."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, TypeError, AttributeError, OverflowError, LookupError) as error:
            # Of a date that the calendar does not have, a number without digits, a tag on what it
            # is not for.
            reason = isinstance(error, ValueError) and str(error)
            raise yaml.constructor.ConstructorError(
                problem=reason or f"a value that {node.tag} cannot have",
                problem_mark=node.start_mark,
            ) from None

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        """A whole number of a bounded number of digits."""
        if len(node.value) > MOST_DIGITS:
            raise yaml.constructor.ConstructorError(
                problem=f"a number of more than {MOST_DIGITS} digits",
                problem_mark=node.start_mark,
            )
        return super().construct_yaml_int(node)

    def _refusal(self, problem: str) -> yaml.composer.ComposerError:
        return yaml.composer.ComposerError(problem=problem, problem_mark=self.get_mark())


class Dumper(yaml.SafeDumper):
    """The safe dumper, which puts text in quotes that ``parsed`` would take for a number."""


for _side in (_Loader, Dumper):
    _side.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
        list("-+.0123456789"),
    )


def _refuse_set(_: _Loader, node: yaml.Node) -> Never:
    """Without an order, what is made of it would differ from process to process."""
    raise yaml.constructor.ConstructorError(
        problem="a set has no order; write a list", problem_mark=node.start_mark
    )


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)
_Loader.add_constructor("tag:yaml.org,2002:set", _refuse_set)


def parsed(text: str) -> Any:
    """Parse a YAML text within bounds of size, depth and aliases; raises ``yaml.YAMLError``."""
    return _Loader(text).get_single_data()


_kept = functools.lru_cache(maxsize=16)(parsed)


def read_mapping(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping.

    Raises:
        ConfigError: If it is not there, is not YAML, is too large or holds something else than a
            mapping.
    """
    try:
        text = _text(path)
        tree = copy.deepcopy(_kept(text)) if len(text) <= _KEPT_CHARS else parsed(text)
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f" line {where.line + 1}" if where else ""
        problem = getattr(error, "problem", None) or "cannot be parsed"
        raise ConfigError(f"{path}{line} must be YAML: {problem}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} must be a readable text file: {error}") from None
    if not isinstance(tree, dict):
        raise ConfigError(f"{path} must hold a mapping, got {type(tree).__name__}")
    if other := [key for key in tree if not isinstance(key, str)]:
        raise ConfigError(f"{path} must have text for keys, got {other[0]!r}")
    return tree


def _text(path: Path) -> str:
    body = read_whole(path, MOST_BYTES)
    if body is None:
        raise ConfigError(f"{path} must be at most {MOST_BYTES >> 20} MiB of YAML, got more")
    return body.decode()
