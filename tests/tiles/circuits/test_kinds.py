"""Kinds of circuits by the names of configs."""

import re

import pytest
from pydantic import TypeAdapter, ValidationError

from crossmesh.common.frozen import Frozen
from crossmesh.common.refusals import sentence
from crossmesh.common.registry import kind_of
from crossmesh.tiles.circuits import (
    ADCS,
    DACS,
    MEMORIES,
    AnyAdc,
    AnyDac,
    AnyMemory,
    SerialDac,
    Sram,
    SurveyAdc,
)

ADC = {"kind": "measured", "energy_pj": 1.5, "time_s": 1e-9, "source": "a paper"}
REGISTRIES = [(AnyAdc, ADCS), (AnyDac, DACS), (AnyMemory, MEMORIES)]
MEASURED = {
    "crossmesh.adcs": {"energy_pj": 1.5, "time_s": 1e-9, "source": "a paper"},
    "crossmesh.dacs": {"energy_pj": {4: 1.5}, "source": "a paper"},
    "crossmesh.memories": {"read_pj": 0.1, "write_pj": 0.2, "source": "a paper"},
}


@pytest.mark.parametrize(("annotation", "registry"), REGISTRIES)
def test_kinds_are_made_from_configs_and_dumped_again(annotation, registry):
    adapter = TypeAdapter(annotation)
    for name, kind in registry.items():
        fields = MEASURED[registry.group] if name == "measured" else {}
        made = adapter.validate_python({"kind": name, **fields})
        assert type(made) is kind
        assert kind_of(kind) == name
        again = adapter.validate_python(made.model_dump(mode="json"))
        assert again == made
        assert hash(again) == hash(made)


@pytest.mark.parametrize(("annotation", "registry"), REGISTRIES)
def test_a_kind_that_is_not_there_and_a_field_of_another_are_refused(annotation, registry):
    adapter = TypeAdapter(annotation)
    with pytest.raises(ValidationError, match="'kind'"):
        adapter.validate_python({"kind": "sigma"})
    with pytest.raises(ValidationError, match="colour"):
        adapter.validate_python({"kind": next(iter(registry)), "colour": 1})


@pytest.mark.parametrize(("_", "registry"), REGISTRIES)
def test_only_kinds_of_the_base_class_can_be_registered(_, registry):
    with pytest.raises(TypeError, match=r"must be a subclass of crossmesh\.tiles\.circuits\."):
        registry.register("other", int)


def test_the_registries_have_the_kinds_that_are_documented():
    assert list(ADCS) == [
        "survey", "isaac", "neurosim_sar", "neurosim_flash", "ramp", "puma", "measured",
    ]  # fmt: skip
    assert list(DACS) == ["serial", "duration", "voltage", "measured"]
    assert list(MEMORIES) == ["sram", "sram_low_leakage", "edram", "register", "measured"]


class Parts(Frozen):
    """A config with one of each."""

    adc: AnyAdc = SurveyAdc()
    dac: AnyDac = SerialDac()
    memory: AnyMemory = Sram()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"adc": {"kind": "surveyed"}},
            "adc.kind must be one of survey, .*; did you mean survey\\?",
        ),
        ({"adc": {"kind": "ramp", "tick": 1.0}}, "adc.tick is unknown; did you mean tick_s\\?"),
        ({"adc": {"kind": "ramp", "tick_s": 0.0}}, "adc.tick_s must be above 0.*, got 0.0"),
        ({"adc": {"kind": "neurosim_sar", "flavour": "x"}}, "adc.flavour must be 'high_perf.*"),
        ({"adc": {"leakage_share": 1.0, "kind": "isaac"}}, "adc.leakage_share must be below 1.*"),
        ({"adc": {**ADC, "energy_pj": -1.0}}, "adc.energy_pj must be at least 0.*, got -1.0"),
        (
            {"adc": {**ADC, "energy_pj": {}}},
            "adc.energy_pj must have at least 1 entries, got \\{\\}",
        ),
        ({"adc": {**ADC, "energy_pj": {4: "a"}}}, "adc.energy_pj.4 must be a number, got 'a'"),
        ({"adc": {**ADC, "energy_pj": "a"}}, "adc.energy_pj must be a number, got 'a'"),
        ({"adc": {**ADC, "time_s": {4: 0.0}}}, "adc.time_s.4 must be above 0.*, got 0.0"),
        ({"adc": {**ADC, "node_nm": 180.0}}, "adc.node_nm must be at most 130.*, got 180.0"),
        ({"dac": {"kind": "voltage", "ladder": "x"}}, "dac.ladder must be 'c2c' or 'r2r', got 'x'"),
        ({"dac": {"kind": "serial", "activity": 2.0}}, "dac.activity must be at most 1.*, got 2.0"),
        ({"dac": {"kind": "measured"}}, "dac.energy_pj must be given"),
        ({"memory": {"kind": "measured", "read_pj": -1.0}}, "memory.read_pj must be at least 0.*"),
        ({"memory": {"kind": "flash"}}, "memory.kind must be one of sram, .*, got flash.*"),
    ],
)
def test_mistakes_are_one_line_with_field_rule_and_value(wrong, message):
    with pytest.raises(ValidationError) as refused:
        Parts.model_validate(wrong)
    assert re.fullmatch(message, sentence(refused.value, Parts))
