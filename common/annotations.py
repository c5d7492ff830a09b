"""What a value may be, by the annotation of its field."""

import types
import typing
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

from crossmesh.common.registry import Kinds


def members(annotations: Iterable[Any], marks: Iterable[Any] = ()) -> list[Any]:
    """What a value may be, with unions and annotations opened."""
    if kinds := next((mark for mark in marks if isinstance(mark, Kinds)), None):
        return list(kinds.classes)
    found: list[Any] = []
    for annotation in annotations:
        origin = typing.get_origin(annotation)
        if origin is typing.Annotated:
            first, *more = typing.get_args(annotation)
            found += members([first], more)
        elif origin in {typing.Union, types.UnionType}:
            found += members(typing.get_args(annotation))
        else:
            found.append(annotation)
    return found


def is_model(kind: Any) -> bool:
    """Whether it is a class of models."""
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def tags(model: type[BaseModel]) -> tuple[Any, ...]:
    """Values of ``kind`` by which a union knows a model."""
    kind = model.model_fields.get("kind")
    return () if kind is None else typing.get_args(kind.annotation)
