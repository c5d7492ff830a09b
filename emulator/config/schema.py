"""JSON Schema of a config file, for editors."""

from typing import Any

from crossmesh.emulator.config.run import RunConfig
from crossmesh.emulator.config.shorthand import EXTENDING, OUTER

_PART = "Part"  # ends the names of definitions of which a file need not give all
_WHOLE_ONLY = {"required", "discriminator"}
_EXTENDS = {"required": ["extends"]}
_BRANCHES = {"if", "then", "else"}


def file_schema() -> dict[str, Any]:
    """The schema of a config file: what extends another need not give what it inherits."""
    whole = RunConfig.model_json_schema()
    definitions = whole.pop("$defs")
    for outer, main in OUTER.items():
        section = whole["properties"][outer]
        names = definitions[_name(section)]["properties"][main]["enum"]
        section["anyOf"] = [{"$ref": section.pop("$ref")}, {"type": "string", "enum": names}]
    for _, field in _sections(definitions):  # whose name may be that of a file
        field["oneOf"] = [*_references(field["oneOf"]), {"type": "string"}]
    for schema in definitions.values():
        if "const" in schema["properties"].get("kind", {}):  # one of a union, which goes by it
            schema["required"] = ["kind", *schema.get("required", [])]
    parts = {f"{name}{_PART}": _part(schema) for name, schema in definitions.items()}
    part = _part(whole)
    part["properties"] = {"extends": _extends("config"), **part["properties"]}
    for name, field in _sections(definitions):
        what = "algorithm" if name == "algorithm" else "device"
        choices = field.pop("oneOf")
        named = {"discriminator": field.pop("discriminator"), "oneOf": choices}
        field |= {"if": _EXTENDS, "then": {"anyOf": _part(choices)}, "else": named}
        for choice in _references(choices):
            parts[f"{_name(choice)}{_PART}"]["properties"]["extends"] = _extends(what)
    for schema in (whole, *definitions.values()):
        schema["properties"] = {name: _begun(field) for name, field in schema["properties"].items()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": whole["title"],
        "description": whole["description"],
        "if": _EXTENDS,
        "then": part,
        "else": whole,
        "$defs": {**definitions, **parts},
    }


def _begun(field: dict[str, Any]) -> dict[str, Any]:
    """The schema of a field; of a section that has a default, without what it requires."""
    if not isinstance(field.get("default"), dict):
        return field
    if "then" in field:  # it also extends files
        return {**{k: v for k, v in field.items() if k not in _BRANCHES}, **field["then"]}
    default = {"default": field["default"]}
    return {**_part({k: v for k, v in field.items() if k not in default}), **default}


def _references(choices: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of several schemas that are of an object."""
    return [choice for choice in choices if "$ref" in choice]


def _extends(what: str) -> dict[str, str]:
    meaning = f"A {what} file, or the name of a shipped {what}, that this one builds on."
    return {"type": "string", "description": meaning}


def _sections(definitions: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The fields that a file can fill, with their names."""
    fields = (field for schema in definitions.values() for field in schema["properties"].items())
    return [
        (name, part)
        for name, field in fields
        if name in EXTENDING
        for part in (field, *field.get("anyOf", ()))
        if "oneOf" in part
    ]


def _name(reference: dict[str, str]) -> str:
    return reference["$ref"].rpartition("/")[2]


def _part(schema: Any) -> Any:
    """A schema without what it requires."""
    if isinstance(schema, list):
        return [_part(entry) for entry in schema]
    if isinstance(schema, dict):
        return dict(_keyword(*entry) for entry in schema.items() if entry[0] not in _WHOLE_ONLY)
    return schema


def _keyword(key: str, value: Any) -> tuple[str, Any]:
    match key:
        case "items":  # a list is inherited as a whole, or not at all
            return key, value
        case "properties":
            return key, {name: _part(schema) for name, schema in value.items()}
        case "$ref":
            return key, f"{value}{_PART}"
        case "oneOf":  # without its kind, an object may be of several
            return "anyOf", _part(value)
    return key, _part(value)
