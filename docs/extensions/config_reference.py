"""The directive `config-reference`: every field of a config, from the schema that editors read."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from crossmesh.emulator.config.schema import file_schema

_BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


@dataclass(frozen=True, kw_only=True)
class Section:
    """One kind of object in a config.

    Attributes:
        name: Name of its definition in the schema.
        path: Where it stands, such as ``tile.cell``.
        schema: Its schema.
    """

    name: str
    path: str
    schema: dict[str, Any]

    @property
    def kinds(self) -> list[str]:
        """Its kind if it is one of several, or its kinds."""
        return _values(self.schema["properties"].get("kind", {}))

    @property
    def title(self) -> str:
        """Its path, and its kinds."""
        kinds = ", ".join(f"`{kind}`" for kind in self.kinds)
        return f"`{self.path}`: {kinds}" if kinds else f"`{self.path}`"


def sections() -> list[Section]:
    """All objects of a config by the section that they are in, each where it is met first.

    Objects that lie less deep come first; settings of single layers repeat those of all layers, so
    they come last.
    """
    schema = file_schema()
    whole = schema["else"]
    found = {"RunConfig": Section(name="RunConfig", path="config", schema=whole)}
    below = sorted(whole["properties"].items(), key=lambda field: field[0] == "network")
    while below:
        path, part = below.pop(0)
        for name in _references(part):
            if name not in found:
                found[name] = Section(name=name, path=path, schema=schema["$defs"][name])
                inner = found[name].schema["properties"].items()
                below += [(f"{path}.{field}", content) for field, content in inner]
    order = ["config", *whole["properties"]]
    return sorted(found.values(), key=lambda section: order.index(section.path.partition(".")[0]))


def page() -> str:
    """The reference in Markdown: a heading and a table for every object."""
    known = {section.name: section for section in sections()}
    return "\n".join(line for each in known.values() for line in _of_section(each, known))


def _of_section(section: Section, known: dict[str, Section]) -> Iterator[str]:
    level = "##" if section.path.count(".") == 0 else "###"
    yield f"(config-{section.name.lower()})="
    yield f"{level} {section.title}\n"
    yield section.schema.get("description", "").partition("\n\n")[0] + "\n"
    fields = {k: v for k, v in section.schema["properties"].items() if "const" not in v}
    if not fields:
        yield "No fields.\n"
        return
    yield "| field | type | default | meaning |\n| --- | --- | --- | --- |"
    required = section.schema.get("required", ())
    for name, field in fields.items():
        default = "required" if name in required else _default(field)
        meaning = " ".join(field.get("description", "").split())
        cells = (f"`{name}`", _type(field, known), default, meaning)
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
    yield ""


def _references(schema: Any) -> Iterator[str]:
    """Names of the definitions that a schema refers to, in order."""
    if isinstance(schema, dict):
        if "$ref" in schema:
            yield _name(schema)
        for key, value in schema.items():
            if key not in {"discriminator", "default", "if", "then"}:
                yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)


def _name(schema: dict[str, Any]) -> str:
    name = str(schema["$ref"]).rpartition("/")[2]
    return name.removesuffix("Part")  # the same without what it requires


def _type(schema: dict[str, Any], known: dict[str, Section]) -> str:
    """What a value must be, in words, with links to the objects that it may be."""
    schema = schema.get("else", schema)  # what extends a file needs no kind
    if "$ref" in schema:
        section = known[_name(schema)]
        text = ", ".join(f"`{kind}`" for kind in section.kinds) or "mapping"
        return f"[{text}](#config-{section.name.lower()})"
    choices = schema.get("anyOf") or schema.get("oneOf")
    if choices:
        kinds = {kind for part in choices for kind in _kinds(part, known)}
        kept = [part for part in choices if not set(part.get("enum", "?")) <= kinds]
        return " or ".join(dict.fromkeys(_type(part, known) for part in kept))
    return ", ".join(f"`{value}`" for value in _values(schema)) or _plain_type(schema, known)


def _values(schema: dict[str, Any]) -> list[str]:
    """Values that a schema lists."""
    if "const" in schema:
        return [schema["const"]]
    parts = schema.get("anyOf", ())
    return [*schema.get("enum", ()), *(value for part in parts for value in _values(part))]


def _kinds(schema: dict[str, Any], known: dict[str, Section]) -> list[str]:
    """Kinds of the objects that a schema allows: their names alone need no mention."""
    schema = schema.get("else", schema)
    if "$ref" in schema:
        return known[_name(schema)].kinds
    parts = schema.get("anyOf", ()) or schema.get("oneOf", ())
    return [kind for part in parts for kind in _kinds(part, known)]


def _plain_type(schema: dict[str, Any], known: dict[str, Section]) -> str:
    """A type of JSON, with its bounds and what it holds."""
    match schema:
        case {"type": "array", "items": items}:
            return f"list of {_type(items, known)}"
        case {"type": "object", "additionalProperties": dict(values)}:
            return f"mapping to {_type(values, known)}"
        case {"type": "null"}:
            return "`null`"
    name = {"array": "list", "object": "mapping"}.get(schema.get("type", ""))
    bounds = [f"{sign} {schema[key]:g}" for key, sign in _BOUNDS.items() if key in schema]
    return ", ".join([name or schema.get("type", "anything"), *bounds])


def _default(schema: dict[str, Any]) -> str:
    match schema:
        case {"default": {"kind": kind}}:
            return f"`{{kind: {kind}}}`"
        case {"default": dict()}:
            return "its own defaults"
        case {"default": str(text)}:
            return f"`{text}`"
        case {"default": value}:
            return f"`{json.dumps(value, ensure_ascii=False)}`"
    return ""


class ConfigReference(SphinxDirective):
    """``{config-reference}``: the reference, in place."""

    def run(self) -> list[nodes.Node]:
        """Parse the Markdown as if it stood in the page."""
        return self.parse_text_to_nodes(page(), allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, bool]:
    """Sphinx calls this."""
    app.add_directive("config-reference", ConfigReference)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
