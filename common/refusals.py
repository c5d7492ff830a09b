"""Validation errors as one line: the field, the rule, and the value."""

import itertools
import re
import typing
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from crossmesh.common import quantities
from crossmesh.common.annotations import is_model, members, tags
from crossmesh.common.suggestions import OtherWords, asked, fields_meant, likeliest

# Tags of a union of a number, a list and a model, which its errors carry in their location.
AS_NUMBER, AS_LIST, AS_MAPPING = "[number]", "[list]", "[mapping]"

_MOST_LETTERS = 3000  # of a message
_MOST_FIELDS = 8  # that a message lists
_NO_MAPPING = {"model_type", "model_attributes_type"}
_UNKNOWN = {"extra_forbidden", "invalid_key"}
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


def sentence(error: ValidationError, root: type[BaseModel], words: OtherWords | None = None) -> str:
    """The first mistake in a config of the class ``root``, and what may have been meant.

    A value that may be one of several things is judged by the one that it comes closest to, whose
    mistake lies deepest; if several are as close, the line names the rule of each. Where a field
    is missing beside one that is unknown, it is probably that one under another name.

    Args:
        error: What pydantic found.
        root: Class of the whole config.
        words: Other words for fields and values.
    """
    details = error.errors()
    places = [_place(detail["loc"], root) for detail in details]
    first = places[0][0]
    inside = [path for path, _ in places if path[: len(first)] == first]
    deepest = max(inside, key=len)
    alike = [i for i, (path, _) in enumerate(places) if path == deepest]
    said = words or OtherWords()
    if details[alike[0]]["type"] == "missing":
        beside = [i for i, (path, _) in enumerate(places) if path[:-1] == deepest[:-1]]
        unknown = [i for i in beside if details[i]["type"] in _UNKNOWN]
        alike = [i for i in unknown if fields_meant(*places[i], root, said)][:1] or alike
    path, owner = places[alike[0]]
    return _Mistake(path, owner, root, said).said([details[i] for i in alike])


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint at the known names that are most like ``name``, or nothing."""
    return asked(likeliest(name, known))


@dataclass(frozen=True)
class _Mistake:
    """Where something is wrong.

    Attributes:
        path: Keys that lead to it.
        owner: The model that its last key is in.
        root: Class of the whole config.
        words: Other words for fields and values.
    """

    path: list[str]
    owner: type[BaseModel]
    root: type[BaseModel]
    words: OtherWords

    def said(self, mistakes: list[Any]) -> str:
        """One line on mistakes in the same place."""
        mistake, path = mistakes[0], ".".join(self.path)
        context = mistake.get("ctx", {})
        match mistake["type"]:
            case "extra_forbidden" | "invalid_key":
                names = [self._anywhere(name) for name in
                         fields_meant(self.path, self.owner, self.root, self.words)]  # fmt: skip
                return f"{path} is unknown{asked(names) or _fields_of([self.owner])}"
            case "missing":
                return f"{path} must be given"
            case "union_tag_not_found":
                return f"{path}.kind must be given"
            case "union_tag_invalid":
                names = context["expected_tags"].replace("'", "")
                hint = self._named(context["tag"], names.split(", "))
                return f"{path}.kind must be one of {names}, got {context['tag']}{hint}"
            case "value_error":  # of a model, whose message begins with the field; or of a field
                rule = str(context["error"])
                return f"{path}{' ' if rule.startswith('must ') else '.'}{rule}" if path else rule
        return self._judged(path, mistakes)

    def _anywhere(self, field: str) -> str:
        """A field, and where it stands, if that is not seen from its name."""
        is_outside = len(self.path) > 1 and field not in self.owner.model_fields
        return f"{field}, at the top level" if is_outside and "." not in field else field

    def _judged(self, path: str, mistakes: list[Any]) -> str:
        mistake = mistakes[0]
        if not all(mistake["type"] in _RULES for mistake in mistakes):
            return f"{path}: {mistake['msg']}"
        rules = [_RULES[mistake["type"]].format(**mistake.get("ctx", {})) for mistake in mistakes]
        given = mistake["input"]
        hint = self._meant(given, " ".join(rules)) if isinstance(given, str) else ""
        if not isinstance(given, dict) and mistake["type"] in _NO_MAPPING:
            hint = self._fields()
        return f"{path} must {' or '.join(dict.fromkeys(rules))}, got {_short(given)}{hint}"

    def _meant(self, given: str, rules: str) -> str:
        """A hint at the value that a text stands for: one of those in quotes, or a number."""
        number = quantities.meant(self.path[-1], given) if self.path else ""
        names = re.findall(r"'([^']*)'", rules)
        return asked([number]) if number and "number" in rules else self._named(given, names)

    def _fields(self) -> str:
        """What a mapping here may have in it."""
        field = self.owner.model_fields.get(self.path[-1]) if self.path else None
        kinds = members([field.annotation], field.metadata) if field else []
        models = list(filter(is_model, kinds))
        if names := [tag for model in models for tag in tags(model)]:
            return f"; its kinds are {_first(names)}"
        return _fields_of(models)

    def _named(self, given: str, names: Iterable[str]) -> str:
        return asked(likeliest(given, names, self.words.values))


def _fields_of(models: Iterable[type[BaseModel]]) -> str:
    names = dict.fromkeys(name for model in models for name in model.model_fields)
    return f"; its fields are {_first(names)}" if names else ""


def _first(names: Iterable[str]) -> str:
    *first, more = itertools.islice((*names, ""), _MOST_FIELDS + 1)
    return ", ".join([*first, "..."] if more else first)


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
        models = [kind for kind in here if is_model(kind)]
        tagged = [model for model in models if key in tags(model)]
        if tagged:
            owner, here = tagged[0], tagged
        elif models:
            owner = next((model for model in models if key in model.model_fields), models[0])
            field = owner.model_fields.get(str(key))
            here = members([field.annotation], field.metadata) if field else []
            path.append(str(key))
        elif any(typing.get_origin(kind) is dict for kind in here):
            path.append(str(key))
            here = [kind for entry in here for kind in members(typing.get_args(entry)[1:])]
        elif isinstance(key, int):
            path.append(str(key))
            here = [kind for entry in here for kind in members(typing.get_args(entry)[:1])]
    return path, owner
