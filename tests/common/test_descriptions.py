"""Every field of every config has a description, and the JSON Schema carries it."""

import importlib
import pkgutil

import pytest

from crossmesh.common.descriptions import meanings
from crossmesh.common.frozen import Frozen
from crossmesh.emulator.config.run import Training
from crossmesh.emulator.config.schema import file_schema

TAGS = {"kind", "part"}  # say which class of a union it is; described as the class


def configs():
    """Every class of a config that users write, by its name."""
    for room in ("common", "interconnect", "tiles", "emulator", "cluster"):
        package = importlib.import_module(f"crossmesh.{room}")
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    unseen, found = [Frozen], {}
    while unseen:
        unseen += (derived := unseen.pop().__subclasses__())
        found |= {cls.__name__: cls for cls in derived if cls.__module__.startswith("crossmesh.")}
    return {name: cls for name, cls in found.items() if not name.startswith("_")}


def test_every_field_is_described_in_the_docstring_of_its_class():
    fields = {
        f"{name}.{field}": meanings(cls).get(field, "")
        for name, cls in configs().items()
        for field in cls.model_fields.keys() - TAGS
    }
    assert len(fields) > 600
    assert not [name for name, meaning in fields.items() if not meaning.endswith((".", ")"))]


def properties(schema):
    """Every property of a schema, at any depth, with its name."""
    if isinstance(schema, dict):
        yield from schema.get("properties", {}).items()
        schema = list(schema.values())
    for part in schema if isinstance(schema, list) else ():
        yield from properties(part)


def test_the_schema_describes_every_property():
    every = list(properties(file_schema()))
    assert len(every) > 1000
    assert not [name for name, field in every if not field.get("description")]


@pytest.mark.parametrize("field", ["epochs", "learning_rate"])
def test_the_schema_says_what_the_docstring_says(field):
    training = file_schema()["$defs"]["Training"]
    assert training["properties"][field]["description"] == meanings(Training)[field]
    assert training["description"] == "Training settings."
