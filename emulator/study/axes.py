"""Axes of a study: what is varied, together or one at a time.

An axis is named by the field that it sets, or by several with ``=`` between them, which then have
the same value: ``tile.rows=tile.cols``.
"""

import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any


def fields_of(axis: str) -> tuple[str, ...]:
    """The fields that an axis sets.

    >>> fields_of("tile.rows = tile.cols")
    ('tile.rows', 'tile.cols')
    """
    return tuple(field.strip() for field in axis.split("="))


def is_axis(axis: str) -> bool:
    """Whether a text names fields that differ.

    >>> is_axis("tile.rows=tile.cols"), is_axis("tile.rows="), is_axis("a.b = a.b")
    (True, False, False)
    """
    fields = fields_of(axis)
    return all(all(field.split(".")) for field in fields) and len(set(fields)) == len(fields)


def assigned(point: Mapping[str, Any]) -> dict[str, Any]:
    """Every field that the axes of a point set, and its value."""
    return {field: value for axis, value in point.items() for field in fields_of(axis)}


def points(vary: Mapping[str, tuple[Any, ...]], *, one_at_a_time: bool) -> Iterator[dict[str, Any]]:
    """Axes and values of each point: every combination, or the base and each value alone.

    >>> list(points({"a": (1, 2), "b": (3,)}, one_at_a_time=False))
    [{'a': 1, 'b': 3}, {'a': 2, 'b': 3}]
    >>> list(points({"a": (1, 2), "b": (3,)}, one_at_a_time=True))
    [{}, {'a': 1}, {'a': 2}, {'b': 3}]
    """
    if not one_at_a_time:
        for values in itertools.product(*vary.values()):
            yield dict(zip(vary, values, strict=True))
        return
    yield {}
    for axis, alone in vary.items():
        for value in alone:
            yield {axis: value}


def short_names(axes: Mapping[str, Any]) -> dict[str, str]:
    """The last parts of fields' names, or the whole names if those would be the same.

    >>> short_names({"tile.rows=tile.cols": 64, "chip.topology": "mesh"})
    {'tile.rows=tile.cols': 'rows=cols', 'chip.topology': 'topology'}
    """
    last = {axis: "=".join(f.rpartition(".")[2] for f in fields_of(axis)) for axis in axes}
    whole = {axis: "=".join(fields_of(axis)) for axis in axes}
    return last if len(set(last.values())) == len(last) else whole


def short_value(value: Any) -> str:
    """A varied value as titles show it; of an object, its kind."""
    if isinstance(value, dict) and "kind" in value:
        return str(value["kind"])
    return value if isinstance(value, str) else json.dumps(value, default=str)


def value_at(tree: Mapping[str, Any], field: str) -> Any:
    """What a config, as plain dictionaries, has at ``a.b``; None if there is no such place."""
    found: Any = tree
    for part in field.split("."):
        if not isinstance(found, Mapping) or part not in found:
            return None
        found = found[part]
    return found
