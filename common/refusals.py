"""Validation errors as one line: the field, the rule, and the value."""

import difflib
import types
import typing
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ValidationError

from crossmesh.common.registry import Kinds

# Tags of a union of a number, a list and a model, which its errors carry in their location.
AS_NUMBER, AS_LIST, AS_MAPPING = "[number]", "[list]", "[mapping]"

_MOST_LETTERS = 3000  # of a message
_RULES = {
    "greater_than": "be above {gt}",
    "greater_than_equal": "be at least {ge}",
    "less_than": "be below {lt}",
    "less_than_equal": "be at most {le}",
    "literal_error": "be {expected}",
    "finite_number": "be a finite number",
    "int_type": "be a whole number",
    "float_type": "be a number",
    "bool_type": "be true or false",
    "string_type": "be text",
    "path_type": "be a path",
    "list_type": "be a list",
    "tuple_type": "be a list",
    "model_type": "be a mapping",
    "model_attributes_type": "be a mapping",
    "dict_type": "be a mapping",
    "too_short": "have at least {min_length} entries",
    "too_long": "have at most {max_length} entries",
    "spread": "be at most 1, a spread of 100 % (did you mean {likely}?)",
    "string_pattern_mismatch": "match {pattern}",
}


def sentence(error: ValidationError, root: type[BaseModel]) -> str:
    """The first mistake in a config of the class ``root``.

    A value that may be one of several things is judged by the one that it comes closest to, whose
    mistake lies deepest; if several are as close, the line names the rule of each.
    """
    details = error.errors()
    places = [_place(detail["loc"], root) for detail in details]
    first = places[0][0]
    inside = [path for path, _ in places if path[: len(first)] == first]
    deepest = max(inside, key=len)
    alike = [i for i, (path, _) in enumerate(places) if path == deepest]
    path, owner = places[alike[0]]
    return _said(".".join(path), owner, [details[i] for i in alike])


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint at the known name that is most like ``name``, or nothing."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else ""


def _said(path: str, owner: type[BaseModel], mistakes: list[Any]) -> str:
    mistake = mistakes[0]
    context = mistake.get("ctx", {})
    match mistake["type"]:
        case "extra_forbidden" | "invalid_key":
            key = path.rpartition(".")[2]
            return f"{path} is unknown{nearest(key, owner.model_fields)}"
        case "missing":
            return f"{path} must be given"
        case "union_tag_not_found":
            return f"{path}.kind must be given"
        case "union_tag_invalid":
            tags = context["expected_tags"].replace("'", "")
            hint = nearest(context["tag"], tags.split(", "))
            return f"{path}.kind must be one of {tags}, got {context['tag']}{hint}"
        case "value_error":  # of a model, whose message begins with the field
            return f"{path}.{context['error']}" if path else str(context["error"])
    return _judged(path, mistakes)


def _judged(path: str, mistakes: list[Any]) -> str:
    mistake = mistakes[0]
    if not all(mistake["type"] in _RULES for mistake in mistakes):
        return f"{path}: {mistake['msg']}"
    rules = [_RULES[mistake["type"]].format(**mistake.get("ctx", {})) for mistake in mistakes]
    return f"{path} must {' or '.join(dict.fromkeys(rules))}, got {_short(mistake['input'])}"


def one_line(text: str) -> str:
    r"""A message on one line of bounded length, without characters that steer a terminal.

    >>> one_line("a\x1b[2J b\n c")
    'a\\x1b[2J b c'
    """
    words = " ".join(text.split())
    if len(words) > _MOST_LETTERS:
        words = f"{words[: _MOST_LETTERS - 500]} ... {words[-500:]}"
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in words
    )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _place(
    location: tuple[int | str, ...], root: type[BaseModel]
) -> tuple[list[str], type[BaseModel]]:
    """A path without the tags that unions add, and the model that its last key is in."""
    path: list[str] = []
    owner = root
    here: list[Any] = [root]  # what the value at the path may be
    for key in location:
        if key in {AS_NUMBER, AS_LIST, AS_MAPPING}:
            here = [kind for kind in here if (typing.get_origin(kind) is tuple) == (key == AS_LIST)]
            continue
        models = [kind for kind in here if isinstance(kind, type) and issubclass(kind, BaseModel)]
        tagged = [model for model in models if key in _tags(model)]
        if tagged:
            owner, here = tagged[0], tagged
        elif models:
            owner = next((model for model in models if key in model.model_fields), models[0])
            field = owner.model_fields.get(str(key))
            here = _members([field.annotation], field.metadata) if field else []
            path.append(str(key))
        elif any(typing.get_origin(kind) is dict for kind in here):
            path.append(str(key))
            here = [kind for entry in here for kind in _members(typing.get_args(entry)[1:])]
        elif isinstance(key, int):
            path.append(str(key))
            here = [kind for entry in here for kind in _members(typing.get_args(entry)[:1])]
    return path, owner


def _members(annotations: Iterable[Any], marks: Iterable[Any] = ()) -> list[Any]:
    """What a value may be, with unions and annotations opened."""
    if kinds := next((mark for mark in marks if isinstance(mark, Kinds)), None):
        return list(kinds.classes)
    members: list[Any] = []
    for annotation in annotations:
        origin = typing.get_origin(annotation)
        if origin is typing.Annotated:
            first, *more = typing.get_args(annotation)
            members += _members([first], more)
        elif origin in {typing.Union, types.UnionType}:
            members += _members(typing.get_args(annotation))
        else:
            members.append(annotation)
    return members


def _tags(model: type[BaseModel]) -> tuple[Any, ...]:
    """Values of ``kind`` by which a union knows a model."""
    kind = model.model_fields.get("kind")
    return () if kind is None else typing.get_args(kind.annotation)
