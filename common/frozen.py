"""The base class of configs: frozen, hashable, complete, and validated when constructed."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Never, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    model_validator,
)
from pydantic_core import CoreSchema

from crossmesh.common.descriptions import described, meanings

MOST_INTEGER = 2**63  # but for a seed, which has a rule of its own
LEAST_REAL, MOST_REAL = 1e-30, 1e30

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")


class Frozen(BaseModel):
    """Parameters that validate themselves; no other names or types, nothing infinite.

    Sequences are ``Many``, mappings are ``Keyed``: equal objects have equal hashes, so they can be
    keys of caches and members of sets.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Fields that differ from their defaults, so that a config fits a screen."""
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if field.is_required() or value != field.get_default(call_default_factory=True):
                yield name, value

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """The schema with the docstring's descriptions; ``kind`` has that of the class."""
        reference = handler(core_schema)
        schema = handler.resolve_ref_schema(reference)
        schema["description"] = described(cls)
        of = {"kind": schema["description"].partition("\n")[0], **meanings(cls)}
        for name, field in schema.get("properties", {}).items():
            if name in of:
                field["description"] = of[name]
        return reference

    @model_validator(mode="before")
    @classmethod
    def _sections_begin_with_their_defaults(cls, given: Any) -> Any:
        """Fill what a section leaves out with what it has by default, if it is of that kind."""
        if not isinstance(given, Mapping):
            return given
        whole = dict(given)
        for name, field in cls.model_fields.items():
            section, default = whole.get(name), field.default
            if isinstance(default, Frozen) and isinstance(section, Mapping):
                whole[name] = default._with(section)
        return whole

    def _with(self, section: Mapping[str, Any]) -> Mapping[str, Any]:
        """The fields that were set here, and of what kind it is, below those of ``section``."""
        fields, kind = type(self).model_fields, getattr(self, "kind", None)
        if section.get("kind", kind) != kind:
            return section
        set_here = {*self.model_fields_set, *({"kind"} & fields.keys())}
        return {**{name: getattr(self, name) for name in set_here}, **section}

    @model_validator(mode="after")
    def _numbers_can_be_computed_with(self) -> Self:
        """Refuse what no 64-bit integer or float32 holds, before it overflows in the middle."""
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, bool) or not value:
                continue
            if isinstance(value, int) and abs(value) >= MOST_INTEGER and name != "seed":
                raise ValueError(f"{name} must be below 2**63, got {value:.3g}")
            if isinstance(value, float) and not LEAST_REAL <= abs(value) <= MOST_REAL:
                raise ValueError(
                    f"{name} must be 0 or of a size from {LEAST_REAL:g} to {MOST_REAL:g}, "
                    f"got {value!r}"
                )
        return self


class FrozenDict(dict[K, V]):
    """A dictionary that cannot change, and has a hash if its values have one."""

    def __hash__(self) -> int:  # type: ignore[override]  # a dict has none
        """The same for equal dictionaries, whatever the order of their keys."""
        return hash(frozenset(self.items()))

    def _refuse(self, *_: object, **__: object) -> Never:
        raise TypeError("a FrozenDict cannot be changed")

    __setitem__ = __delitem__ = __ior__ = _refuse
    update = pop = popitem = clear = setdefault = _refuse

    def __reduce__(self) -> tuple[type["FrozenDict[K, V]"], tuple[dict[K, V]]]:
        """Copies are made whole, not key by key."""
        return type(self), (dict(self),)


def frozen(value: Any) -> Any:
    """Plain values, at all depths with tuples for lists and frozen dictionaries for others."""
    if isinstance(value, Mapping):
        return FrozenDict({key: frozen(entry) for key, entry in value.items()})
    return tuple(map(frozen, value)) if isinstance(value, list | tuple) else value


# A list of YAML, which has no tuples; its entries are as strict as ever.
Many = Annotated[tuple[T, ...], Field(strict=False)]
# A mapping of YAML.
Keyed = Annotated[dict[K, V], AfterValidator(FrozenDict)]
# Whatever YAML says.
Anything = Annotated[Any, AfterValidator(frozen)]
