import jsonschema
import pytest
import yaml

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.config.loading import dumped, load_config, presets, shipped
from crossmesh.emulator.config.schema import file_schema

SCHEMA = file_schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
WHOLE = {
    "name": "mine",
    "data": {"source": "digits"},
    "network": [{"kind": "linear", "outputs": 10, "activation": "softmax"}],
}


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_file_fits_the_schema_and_so_does_what_it_resolves_to(name):
    VALIDATOR.validate(yaml.safe_load(shipped()[name].read_text("utf-8")))
    VALIDATOR.validate(yaml.safe_load(dumped(load_config(name))))


@pytest.mark.parametrize("name", presets())
def test_every_shipped_device_fits_the_schema(name):
    device = yaml.safe_load(presets()[name].read_text("utf-8"))
    VALIDATOR.validate({**WHOLE, "tile": {"cell": device}})


@pytest.mark.parametrize(
    "change",
    [
        {"tile": {"cell": {"step": 0.1}}},
        {"tile": {"cell": {"kind": "pair", "device": {"step": 0.1}}}},
        {"tile": {"read": {"adc": {"bits": 8}}}},
        {"data": {"crop": {"rows": [0, 3]}}},
        {"training": {"learning_rate": [{"epoch": 0, "value": 1}]}},
    ],
)
def test_a_file_gives_what_it_does_not_inherit(change):
    VALIDATOR.validate({"extends": "mnist-constant-step", **change})


@pytest.mark.parametrize("base", [WHOLE, {"extends": "digits"}])
@pytest.mark.parametrize(
    "cell",
    [{"extends": "idealized"}, {"extends": "a.yaml", "step": 0.1},
     {"kind": "pair", "device": {"extends": "idealized"}}],
)  # fmt: skip
def test_a_section_that_extends_a_device_gives_what_it_does_not_inherit(base, cell):
    VALIDATOR.validate({**base, "tile": {"cell": cell}})


@pytest.mark.parametrize("field", WHOLE)
def test_a_file_that_inherits_nothing_gives_all(field):
    VALIDATOR.validate(WHOLE)

    with pytest.raises(jsonschema.ValidationError, match=f"'{field}' is a required property"):
        VALIDATOR.validate({key: WHOLE[key] for key in WHOLE if key != field})


@pytest.mark.parametrize("base", [WHOLE, {"extends": "digits"}])
@pytest.mark.parametrize(
    "change",
    [
        {"tile": {"cell": "soft_bounds"}},
        {"tile": {"cell": "reram-es-gong-2018"}},
        {"tile": {"cell": {"kind": "pair", "device": "pcm"}}},
        {"tile": {"cell": {"step": 0.1}}},
        {"tile": {"read": {"adc": {"bits": 8}}}},
        {"chip": {"adc": "isaac", "memory": "sram"}},
        {"chip": {"adc": {"clock_hz": 1.0e9}}},
        {"training": {"optimizer": "adam", "algorithm": "tiki_taka"}},
        {"data": "digits", "engine": "local"},
        {"network": ["flatten", {"kind": "linear", "outputs": 10}]},
    ],
)
def test_short_forms_fit(base, change, tmp_path):
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({**base, **change}))
    load_config(tmp_path / "mine.yaml")
    VALIDATOR.validate({**base, **change})


@pytest.mark.parametrize("base", [WHOLE, {"extends": "digits"}])
@pytest.mark.parametrize(
    "change",
    [
        {"tile": {"rows": 0}},
        {"tile": {"cell": {"stp": 3}}},
        {"tile": {"cell": {"extends": 5}}},
        {"tile": {"cell": {"extends": "idealized", "stp": 3}}},
        {"tile": {"cell": {"kind": "constant_step", "step": 0}}},
        {"tile": {"weight_scale": 0}},
        {"seed": -1},
        {"seed": 2**64},
        {"training": {"learning_rate": -1}},
        {"training": {"learning_rate": []}},
        {"training": {"epochs": True}},
        {"training": {"batch": "8"}},
        {"trainin": {}},
        {"network": [{"kind": "linear"}]},
        {"network": [{"outputs": 3}]},
        {"network": [{"kind": "linear", "outputs": 3, "name": "a.tanh"}]},
        {"extends": 5},
    ],
)
def test_what_does_not_load_does_not_fit(base, change, tmp_path):
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({**base, **change}))

    with pytest.raises(ConfigError):
        load_config(tmp_path / "mine.yaml")
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate({**base, **change})
