"""What a user may have meant: names spelled alike, other words, fields that lie elsewhere."""

import difflib
import functools
import re
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from crossmesh.common.annotations import is_model, members
from crossmesh.common.descriptions import meanings

MOST = 3  # names of a hint
_ALIKE, _NEARLY_THE_SAME = 0.6, 0.8  # difflib's ratio
_LEAST_PART = 3  # letters of a name that stand for the whole
_PEERS = re.compile(r"\[([a-z]\w*(?:, [a-z]\w*)*)\]\.?$")  # names in other programs


@dataclass(frozen=True)
class OtherWords:
    """Other words for what configs say, ``squeezed``.

    Attributes:
        fields: Paths of fields.
        values: Values of fields.
    """

    fields: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)


def squeezed(name: str) -> str:
    """A name in lower case, with nothing but letters and digits.

    >>> squeezed("Soft-Bounds"), squeezed("soft_bounds")
    ('softbounds', 'softbounds')
    """
    return re.sub(r"[\W_]", "", name.lower())


def likeliest(
    name: str, known: Iterable[str], words: Mapping[str, str] | None = None, alike: float = _ALIKE
) -> list[str]:
    """The known names that ``name`` may stand for, the likeliest first.

    >>> likeliest("SoftBound", ["soft_bounds", "pair"]), likeliest("tile", ["pair"])
    (['soft_bounds'], [])
    """
    names = {squeezed(each): each for each in known}
    wanted = squeezed(name)
    other = (words or {}).get(wanted)
    if other in names.values():
        return [str(other)]
    if wanted in names:
        return [names[wanted]]
    close = difflib.get_close_matches(wanted, names, n=MOST, cutoff=alike)
    if close and difflib.SequenceMatcher(None, close[0], wanted).ratio() >= _NEARLY_THE_SAME:
        return [names[close[0]]]
    longer = [each for each in names if len(wanted) >= _LEAST_PART and wanted in each]
    begun = [each for each in longer if each.startswith(wanted)]
    return [names[each] for each in dict.fromkeys([*(begun or longer), *close])][:MOST]


def asked(names: list[str]) -> str:
    """A question behind a message, if there is anything to ask.

    >>> asked(["pair", "pcm"]), asked([])
    ('; did you mean pair or pcm?', '')
    """
    *others, last = names or [""]
    listed = f"{', '.join(others)} or {last}" if others else last
    return f"; did you mean {listed}?" if names else ""


def fields_meant(
    path: list[str], owner: type[BaseModel], root: type[BaseModel], words: OtherWords
) -> list[str]:
    """The fields of a config that an unknown one may stand for.

    Args:
        path: Where it stands.
        owner: What it stands in.
        root: The whole config.
        words: Other words for fields.
    """
    *here, key = path
    other = words.fields.get(squeezed(".".join(path)), words.fields.get(squeezed(key), ""))
    last = other.rpartition(".")[2]
    if close := likeliest(key, owner.model_fields, alike=_NEARLY_THE_SAME):
        return close[:1]
    if last in owner.model_fields and " " not in other:
        return [".".join([*here, last])]
    is_around = ".".join(here).startswith(other)
    elsewhere = _elsewhere(key, here, root) if is_around else [other]
    return elsewhere or likeliest(key, owner.model_fields)


def _elsewhere(key: str, here: list[str], root: type[BaseModel]) -> list[str]:
    """Where a config has a field of that name: best below ``here``, and of no single layer."""
    places = _places(root)
    (found,) = likeliest(key, places, alike=_NEARLY_THE_SAME)[:1] or [""]
    below = ".".join([*here, ""])
    paths = places.get(found, [])
    inside = [path for path in paths if here and path.startswith(below)]
    return (inside or [path for path in paths if ".N." not in path])[:1]


@functools.cache
def _places(root: type[BaseModel]) -> Mapping[str, list[str]]:
    """Paths by the names of fields, and by those that other programs have for them."""
    places: dict[str, list[str]] = {}
    for path, names in _fields(root):
        for name in names:
            places.setdefault(squeezed(name), []).append(path)
    return places


def _fields(root: type[BaseModel]) -> Iterator[tuple[str, list[str]]]:
    """Every field, those of outer sections first, and those of a class where it comes first."""
    waiting, seen = [("", root)], {root}
    for prefix, model in waiting:
        described = meanings(model)
        for name, info in model.model_fields.items():
            peers = _PEERS.search(described.get(name, ""))
            yield prefix + name, [name, *(peers[1].split(", ") if peers else ())]
            inner = list(_models(prefix + name, members([info.annotation], info.metadata)))
            waiting += [(path, kind) for path, kind in inner if kind not in seen]
            seen |= {kind for _, kind in inner}


def _models(path: str, kinds: Iterable[Any]) -> Iterator[tuple[str, type[BaseModel]]]:
    """The models among what a value may be, also as entries of it."""
    for kind in kinds:
        if is_model(kind):
            yield f"{path}.", kind
        elif typing.get_origin(kind) is tuple:
            yield from _models(f"{path}.N", members(typing.get_args(kind)[:1]))
        elif typing.get_origin(kind) is dict:
            yield from _models(f"{path}.NAME", members(typing.get_args(kind)[1:]))
