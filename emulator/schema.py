"""JSON Schema of a config file, for editors."""

from typing import Any

from emulator.config import RunConfig

_PART = "Part"  # ends the names of definitions of which a file need not give all
_WHOLE_ONLY = {"required", "discriminator"}


def file_schema() -> dict[str, Any]:
    """The schema of a config file: one that extends another need not give what it inherits."""
    whole = RunConfig.model_json_schema()
    definitions = whole.pop("$defs")
    for schema in definitions.values():
        if "const" in schema["properties"].get("kind", {}):  # one of a union, which goes by it
            schema["required"] = ["kind", *schema.get("required", [])]
    extends = {
        "type": "string",
        "description": "A config file, or the name of a shipped config, that this one builds on.",
    }
    part = _part(whole)
    part["properties"] = {"extends": extends, **part["properties"]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": whole["title"],
        "description": whole["description"],
        "if": {"required": ["extends"]},
        "then": part,
        "else": whole,
        "$defs": {
            **definitions,
            **{f"{name}{_PART}": _part(schema) for name, schema in definitions.items()},
        },
    }


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
