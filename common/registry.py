"""Kinds by the names that configs use: our own, those of installed packages, those of Python."""

from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticKnownError, core_schema

T = TypeVar("T")


class BadPlugin(ValueError):  # noqa: N818  because it names what it is
    """A kind that an installed package offers cannot be used; the message says why."""


class Registry(Mapping[str, T]):
    """Kinds by name, in the order in which they came.

    Entry points of other packages are read when a name is not one of our own, or all are listed.

    Args:
        group: Group of the entry points.
        own: Our own kinds, by name.
        check: What a kind of another package must be; raises TypeError if it is not.

    >>> Registry("crossmesh.none", {"a": int})["a"]
    <class 'int'>
    """

    def __init__(
        self, group: str, own: Mapping[str, T], check: Callable[[T], None] = lambda kind: None
    ) -> None:
        self.group = group
        self._kinds = dict(own)
        self._check = check
        self._found: dict[str, EntryPoint] | None = None

    def register(self, name: str, kind: T) -> None:
        """Add a kind.

        Raises:
            ValueError: If there is another of that name.
        """
        if self._kinds.setdefault(name, kind) is not kind or name in self._offered():
            raise ValueError(f"{self.group} must have one kind of each name, got {name} again")

    def __getitem__(self, name: str) -> T:
        """The kind of a name.

        Raises:
            KeyError: If there is none.
            BadPlugin: If its package cannot give it.
        """
        if name not in self._kinds:
            self._kinds[name] = self._loaded(self._offered()[name])
        return self._kinds[name]

    def __iter__(self) -> Iterator[str]:
        yield from dict.fromkeys([*self._kinds, *self._offered()])

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return name in self._kinds or name in self._offered()

    def _offered(self) -> dict[str, EntryPoint]:
        if self._found is None:
            self._found = {point.name: point for point in entry_points(group=self.group)}
        return self._found

    def _loaded(self, point: EntryPoint) -> T:
        package = f"the package {point.dist.name}" if point.dist else "an installed package"
        try:
            kind: T = point.load()
            self._check(kind)
        except Exception as error:  # whatever another package does
            reason = f"{type(error).__name__}: {error}"
            raise BadPlugin(f"{point.name} of {package} cannot be used ({reason})") from error
        return kind


class KindName:
    """Marks a text field that names a kind: ``Annotated[str, Named(TOPOLOGIES)]``."""

    def __init__(self, registry: Registry[Any]) -> None:
        self._registry = registry

    @property
    def names(self) -> list[str]:
        """The names that there are."""
        return list(self._registry)

    def __get_pydantic_core_schema__(self, *_: Any) -> CoreSchema:
        """Names are looked up when a config is made, so that later ones count as well."""
        return core_schema.no_info_plain_validator_function(
            self._checked, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )

    def __get_pydantic_json_schema__(self, *_: Any) -> dict[str, Any]:
        """As of a literal."""
        return {"type": "string", "enum": self.names}

    def _checked(self, name: object) -> object:
        if isinstance(name, str) and name in self._registry:
            return name
        *others, last = map(repr, self._registry)
        expected = f"{', '.join(others)} or {last}" if others else last
        raise PydanticKnownError("literal_error", {"expected": expected})


class Kinds:
    """Marks a field that holds an object of some kind: ``Annotated[Device, Kinds(DEVICES)]``.

    A config names the kind by ``kind``. An object in Python may be of any class that
    ``is_kind`` takes, also of one that no registry knows.

    Args:
        is_kind: Class of all such objects.
        registries: What kinds there are.
    """

    def __init__(self, is_kind: Any, *registries: Registry[Any]) -> None:
        self._is_kind = is_kind
        self._registries = registries

    @property
    def classes(self) -> list[type[BaseModel]]:
        """Every kind of every registry."""
        every = (registry[name] for registry in self._registries for name in registry)
        return list(dict.fromkeys(every))

    def __get_pydantic_core_schema__(self, _: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """A union by ``kind`` of all that are known now; later ones are looked up."""
        known = {
            name: handler.generate_schema(registry[name])
            for registry in self._registries
            for name in registry
        }

        def checked(value: Any, inner: core_schema.ValidatorFunctionWrapHandler) -> Any:
            if isinstance(value, self._is_kind):
                return value
            kind = value.get("kind") if isinstance(value, Mapping) else None
            for registry in self._registries:
                if isinstance(kind, str) and kind not in known and kind in registry:
                    return registry[kind].model_validate(value)
            return inner(value)

        return core_schema.no_info_wrap_validator_function(
            checked,
            core_schema.tagged_union_schema(known, "kind"),
            serialization=core_schema.simple_ser_schema("any"),
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
