"""Frozen objects have hashes: nothing in them can change, whatever a config says."""

import copy
import importlib
import pkgutil
import typing
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType

import pytest
from pydantic import AfterValidator, BaseModel, ValidationError
from yaml import YAMLError

import crossmesh
from crossmesh.common.bounded_yaml import parsed
from crossmesh.common.frozen import Anything, Frozen, FrozenDict, Keyed, Many, frozen
from crossmesh.emulator.config.loading import dumped, load_config, shipped, validated
from crossmesh.emulator.config.rates import first_rate
from crossmesh.emulator.study.config import Study, load_study, shipped_studies
from crossmesh.emulator.study.plan import trials
from crossmesh.interconnect.noc import Topology
from crossmesh.tiles.digital import Loss

PLAIN = {bool, int, float, str, Path, NoneType}


def modules() -> Iterator[str]:
    """Every module of the package that is no program."""
    for entry in pkgutil.walk_packages(crossmesh.__path__, "crossmesh."):
        if not entry.name.endswith("__main__"):
            yield entry.name


def below(cls: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for child in cls.__subclasses__():
        yield child
        yield from below(child)


def is_frozen(annotation: typing.Any) -> bool:
    """Whether every value of an annotation has a hash and cannot change."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        made = [part.func for part in arguments[1:] if isinstance(part, AfterValidator)]
        if FrozenDict in made:
            return all(map(is_frozen, typing.get_args(arguments[0])))
        return frozen in made or is_frozen(arguments[0])
    if origin in {typing.Literal, type}:
        return True
    if annotation in {Topology, Loss}:  # frozen dataclasses, as their suites check
        return True
    if origin in {tuple, typing.Union, UnionType}:
        return all(is_frozen(argument) for argument in arguments if argument is not Ellipsis)
    return annotation in PLAIN or (isinstance(annotation, type) and issubclass(annotation, Frozen))


def test_no_field_of_a_frozen_class_admits_what_has_no_hash():
    for name in modules():
        importlib.import_module(name)
    ours = [cls for cls in below(Frozen) if cls.__module__.split(".")[0] != "tests"]

    assert len(ours) >= 79
    assert [
        f"{cls.__module__}.{cls.__name__}.{name}"
        for cls in ours
        for name, field in cls.model_fields.items()
        if not is_frozen(field.rebuild_annotation())
    ] == []


@pytest.mark.parametrize(
    ("annotation", "holds"),
    [
        (list[int], False),
        (dict[str, int], False),
        (set[int], False),
        (typing.Any, False),
        (int | list[int], False),
        (tuple[list[int], ...], False),
        (Many[list[int]], False),
        (Keyed[str, list[int]], False),
        (Many[int] | None, True),
        (Keyed[str, Many[int]], True),
        (Anything, True),
    ],
)
def test_annotations_that_admit_what_has_no_hash_are_seen(annotation, holds):
    assert is_frozen(annotation) is holds


class Holder(Frozen):
    many: Many[int] = ()
    keyed: Keyed[str, Many[int]] = FrozenDict()
    anything: Anything = None


def test_lists_and_mappings_of_yaml_become_values_with_a_hash():
    text = "{many: [1, 2], keyed: {b: [3], a: [4]}, anything: [{c: [5, {d: 6}]}]}"
    one, other = (Holder.model_validate(parsed(text)) for _ in range(2))

    assert one == other
    assert hash(one) == hash(other)
    assert one.many == (1, 2)
    assert Holder.model_validate(parsed(dumped(one))) == one
    assert dumped(one) == dumped(copy.deepcopy(one))
    assert parsed(dumped(one)) == parsed(text)


def test_nothing_in_a_frozen_object_can_be_changed():
    held = Holder.model_validate({"keyed": {"a": [1]}, "anything": {"b": [2]}})

    with pytest.raises(TypeError, match="a FrozenDict cannot be changed"):
        held.keyed["c"] = (3,)
    for change in ("pop", "popitem", "clear", "setdefault", "update"):
        with pytest.raises(TypeError, match="a FrozenDict cannot be changed"):
            getattr(held.anything, change)()


@pytest.mark.parametrize("value", ["text", 3, {"a": 1}, None])
def test_only_lists_are_taken_for_lists(value):
    with pytest.raises(ValidationError, match="valid tuple"):
        Holder.model_validate({"many": value})


def test_sets_of_yaml_which_have_no_order_are_refused():
    with pytest.raises(YAMLError, match="a set has no order; write a list"):
        parsed("{many: !!set {a, b}}")


@pytest.mark.parametrize("name", shipped())
def test_shipped_configs_have_a_hash(name):
    config = load_config(name)

    assert hash(validated(parsed(dumped(config)))) == hash(config)


@pytest.mark.parametrize("name", shipped_studies())
def test_shipped_studies_have_a_hash(name):
    study = load_study(name)

    assert hash(Study.model_validate(study.model_dump(mode="json"))) == hash(study)


def test_a_study_varies_lists_and_sections(tmp_path):
    study = load_study("digits").changed(
        sets=['tile.cell={"kind": "pairs", "significances": [1.0, 2.0]}'],
        vary=["training.learning_rate=[[{epoch: 0, value: 0.1}], 0.2]"],
    )

    assert hash(study) == hash(study.changed())
    rates = [first_rate(trial.config.training.learning_rate) for trial in trials(study, tmp_path)]
    assert rates == [0.1, 0.2]
