"""Kinds by the names that configs use: our own, those of installed packages, those of Python."""

import dataclasses
import functools
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import is_dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar, get_args, get_type_hints

from pydantic import (
    BaseModel,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PydanticSchemaGenerationError,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import CoreSchema, PydanticCustomError, PydanticKnownError, core_schema

from crossmesh.common.errors import ConfigError
from crossmesh.common.frozen import frozen
from crossmesh.common.summaries import summary_of

T = TypeVar("T")


class PluginError(ConfigError):
    """A kind that an installed package offers cannot be used; the message says which and why."""


class Registry(Mapping[str, T]):
    """Kinds by name, in the order in which they came.

    Entry points of other packages are read when a name is not one of our own, or all are listed;
    their packages are imported when a kind is used, so that a broken one breaks nothing else.

    Args:
        group: Group of the entry points.
        own: Our own kinds, by name.
        check: Check of a kind of another package; raises TypeError.

    >>> Registry("crossmesh.none", {"a": int})["a"]
    <class 'int'>
    """

    def __init__(
        self, group: str, own: Mapping[str, T], check: Callable[[T], None] = lambda kind: None
    ) -> None:
        self.group = group
        self.own = frozenset(own)
        self._kinds = dict(own)
        self._check = check

    @property
    def known(self) -> Mapping[str, T]:
        """The kinds that take no import: our own, and those that have been used or registered."""
        return dict(self._kinds)

    def usable(self) -> dict[str, T]:
        """All kinds but those that cannot be used, each of which gives a warning."""
        kinds = {}
        for name in self:
            try:
                kinds[name] = self[name]
            except PluginError as error:
                warnings.warn(str(error), stacklevel=2)
        for name in self.own & self._offered().keys():
            reason = f"has the name of one of crossmesh's own {self.group.partition('.')[2]}"
            warnings.warn(f"{_source(self._offered()[name])} {reason}", stacklevel=2)
        return kinds

    def fill(self, own: Mapping[str, T]) -> None:
        """Add kinds of our own, whose modules need the registry."""
        self.own |= own.keys()
        self._kinds |= own

    def register(self, name: str, kind: T) -> None:
        """Add a kind.

        Raises:
            ValueError: If there is another of that name.
            TypeError: If it is not what such a kind must be, or of another name.
        """
        self._check(kind)
        _check_name(name, kind)
        if name in self._offered() or self._kinds.get(name, kind) is not kind:
            raise ValueError(
                f"{self.group} must have one kind per name: {name} is registered already"
            )
        self._kinds[name] = kind

    def __getitem__(self, name: str) -> T:
        """The kind of a name.

        Raises:
            KeyError: If there is none.
            PluginError: If its package cannot give it.
        """
        if name not in self._kinds:
            self._kinds[name] = self._loaded(self._offered()[name])
        return self._kinds[name]

    def __iter__(self) -> Iterator[str]:
        yield from dict.fromkeys([*self._kinds, *self._offered()])

    def __repr__(self) -> str:
        """The group and all names; nothing of other packages is imported for them."""
        return summary_of("Registry", [(None, self.group), ("names", list(self))])

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return name in self._kinds or name in self._offered()

    def _offered(self) -> dict[str, EntryPoint]:
        return _offered(self.group)

    def _loaded(self, point: EntryPoint) -> T:
        try:
            kind: T = point.load()
            self._check(kind)
            _check_name(point.name, kind)
        except Exception as error:  # of any type: it is another package's code
            reason = f"{type(error).__name__}: {error}"
            raise PluginError(f"{_source(point)} cannot be used ({reason})") from error
        return kind


@functools.cache
def _offered(group: str) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=group)}


def _source(point: EntryPoint) -> str:
    return f"{point.name} of {f'the package {point.dist.name}' if point.dist else point.value}"


def _check_name(name: str, kind: object) -> None:
    """Refuse a kind that says another name of itself, by which no config would find it."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        if name not in kinds_of(kind):
            raise TypeError(f"its field kind must be Literal[{name!r}], its name")
    elif getattr(kind, "name", name) != name:
        raise TypeError(f"its attribute name must be {name!r}, got {kind.name!r}")  # type: ignore[attr-defined]  # it has one


class KindName:
    """Marks a field that names a kind: ``Annotated[Any, KindName(TOPOLOGIES, Topology)]``.

    Where ``is_kind`` is given, a config may also say ``{kind: mine.ring, lanes: 2}``, which sets
    fields of a kind that is a dataclass; and Python may give a kind that no registry knows.

    Args:
        registry: What kinds there are.
        is_kind: Class of the kinds, or of their objects.
        of_classes: Whether the kinds are classes; otherwise they are objects.
    """

    def __init__(
        self, registry: Registry[Any], is_kind: type | None = None, *, of_classes: bool = False
    ) -> None:
        self._registry, self._is_kind, self._of_classes = registry, is_kind, of_classes

    @property
    def names(self) -> list[str]:
        """The names that there are."""
        return list(self._registry)

    def chosen(self, value: Any) -> tuple[Any, dict[str, Any]]:
        """The kind that a value of the field stands for, and the fields of it that it sets."""
        if isinstance(value, str):
            return self._registry[value], {}
        if isinstance(value, Mapping):
            fields = dict(value)
            return self._registry[fields.pop("kind")], fields
        return value, {}

    def __get_pydantic_core_schema__(self, *_: Any) -> CoreSchema:
        """Names are looked up when a config is made, so that later ones count as well."""
        return core_schema.no_info_plain_validator_function(
            self._checked, serialization=core_schema.plain_serializer_function_ser_schema(_named)
        )

    def __get_pydantic_json_schema__(self, *_: Any) -> dict[str, Any]:
        """As of a literal, and of a mapping with one."""
        name = {"type": "string", "enum": self.names}
        if self._is_kind is None:
            return name
        kind = {**name, "description": "Its name; its fields stand beside it."}
        mapping = {"type": "object", "properties": {"kind": kind}, "required": ["kind"]}
        return {"anyOf": [name, mapping]}

    def _checked(self, value: Any) -> Any:
        if isinstance(value, str) and value in self._registry:
            return value
        if self._is_kind is not None:
            of_kind = isinstance(value, type) and issubclass(value, self._is_kind)
            is_class = self._of_classes and of_kind
            if is_class or isinstance(value, self._is_kind):
                name: str = value.name
                return name if self._registry.get(name) == value else value
            kind = value.get("kind") if isinstance(value, Mapping) else None
            if isinstance(kind, str) and kind in self._registry:
                return self._with_fields(value)
        *others, last = map(repr, self._registry)
        expected = f"{', '.join(others)} or {last}" if others else last
        raise PydanticKnownError("literal_error", {"expected": expected})

    def _with_fields(self, value: Mapping[str, Any]) -> Any:
        kind, fields = self.chosen(value)
        hints = get_type_hints(kind if isinstance(kind, type) else type(kind))
        for name, given in fields.items():
            if name not in _fields(kind):
                raise ValueError(f"{name} is unknown")
            _check_type(name, given, hints[name])
        return frozen(value) if fields else value["kind"]


def _check_type(name: str, value: Any, hint: Any) -> None:
    try:
        TypeAdapter(hint).validate_python(value, strict=True)
    except PydanticSchemaGenerationError:  # of a type that pydantic does not know
        return
    except ValidationError:
        wanted = hint.__name__ if isinstance(hint, type) else hint
        raise ValueError(f"{name} must be of type {wanted}, got {value!r}") from None


def _fields(kind: Any) -> list[str]:
    """Fields of a dataclass, or of an object of one."""
    return [field.name for field in dataclasses.fields(kind)] if is_dataclass(kind) else []


def _named(value: Any) -> Any:
    """How a config names a kind, with the fields of an object that no registry knows."""
    if isinstance(value, str | Mapping):
        return value
    fields = [] if isinstance(value, type) else _fields(value)
    if not fields:
        return value.name
    return {"kind": value.name, **{name: getattr(value, name) for name in fields}}


class Kinds:
    """Marks a field that holds an object of some kind: ``Annotated[Device, Kinds(DEVICES)]``.

    A config names the kind by ``kind``, or gives its name alone. An object in Python may be of any
    class that ``is_kind`` takes, also of one that no registry knows.

    Args:
        is_kind: Class of all such objects.
        registries: What kinds there are.
    """

    def __init__(self, is_kind: Any, *registries: Registry[Any]) -> None:
        self._is_kind = is_kind
        self._registries = registries

    @property
    def classes(self) -> list[type[BaseModel]]:
        """Every kind that is known without an import."""
        every = (kind for registry in self._registries for kind in registry.known.values())
        return list(dict.fromkeys(every))

    def __get_pydantic_core_schema__(self, _: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """A union by ``kind`` of those that are known now; others are looked up by name."""
        known = {
            name: handler.generate_schema(kind)
            for registry in self._registries
            for name, kind in registry.known.items()
        }

        def checked(value: Any, inner: core_schema.ValidatorFunctionWrapHandler) -> Any:
            if isinstance(value, self._is_kind):
                return value
            if isinstance(value, str):
                value = {"kind": value}
            kind = value.get("kind") if isinstance(value, Mapping) else None
            if isinstance(kind, str) and kind not in known:
                return self._class(kind).model_validate(value)
            return inner(value)

        return core_schema.no_info_wrap_validator_function(
            checked,
            core_schema.tagged_union_schema(known, "kind"),
            serialization=core_schema.simple_ser_schema("any"),
        )

    def __get_pydantic_json_schema__(
        self, _: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """A union by ``kind`` of all that can be used, or the name of one."""
        usable = {
            name: kind.__pydantic_core_schema__
            for registry in self._registries
            for name, kind in registry.usable().items()
        }
        union = handler(core_schema.tagged_union_schema(usable, "kind"))
        union["oneOf"].append({"type": "string", "enum": list(usable)})
        return union

    def _class(self, name: str) -> type[BaseModel]:
        for registry in self._registries:
            if name in registry:
                try:
                    kind: type[BaseModel] = registry[name]
                except PluginError as error:
                    raise PydanticCustomError("plugin", "{why}", {"why": str(error)}) from None
                return kind
        names = ", ".join(repr(name) for registry in self._registries for name in registry)
        raise PydanticKnownError(
            "union_tag_invalid",
            {"discriminator": "'kind'", "tag": name, "expected_tags": names},
        )


def kinds_of(cls: type[BaseModel]) -> tuple[str, ...]:
    """The names by which configs know a class: the literals of its field ``kind``."""
    return tuple(_literals(cls.model_fields["kind"].annotation))


def _literals(annotation: Any) -> Iterator[str]:
    """The literals of a ``Literal``, or of a union of several."""
    for part in get_args(annotation):
        if isinstance(part, str):
            yield part
        else:
            yield from _literals(part)


def kind_of(cls: type[BaseModel]) -> str:
    """The name by which configs know a class: the default of its field ``kind``."""
    return str(cls.model_fields["kind"].default)
