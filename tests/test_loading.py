import json

import jsonschema
import pytest
import yaml

from emulator.config import RunConfig
from emulator.errors import ConfigError
from emulator.loading import dumped, load_config, merged, shipped


@pytest.mark.parametrize("name", shipped())
def test_shipped_configs_load_and_load_again_as_they_were_written(name, tmp_path):
    config = load_config(name)
    (tmp_path / "again.yaml").write_text(dumped(config))

    assert config.name == name
    assert load_config(tmp_path / "again.yaml") == config


@pytest.mark.parametrize("name", shipped())
def test_the_schema_accepts_what_loads(name):
    schema = json.loads(json.dumps(RunConfig.model_json_schema()))

    jsonschema.validate(yaml.safe_load(dumped(load_config(name))), schema)


def test_the_schema_refuses_what_does_not_load():
    schema = RunConfig.model_json_schema()
    tree = yaml.safe_load(dumped(load_config("digits")))
    tree["tile"]["rows"] = 0

    with pytest.raises(jsonschema.ValidationError, match="0 is less than the minimum of 1"):
        jsonschema.validate(tree, schema)


def test_a_config_extends_a_shipped_one(tmp_path):
    (tmp_path / "mine.yaml").write_text("extends: digits\nname: mine\ntile: {rows: 8}\n")
    (tmp_path / "yours.yaml").write_text("extends: mine.yaml\ntile: {cell: {kind: ideal}}\n")
    config = load_config(tmp_path / "yours.yaml")

    assert (config.name, config.tile.rows, config.tile.cell.kind) == ("mine", 8, "ideal")
    assert config.network == load_config("digits").network


def test_a_config_that_extends_itself_is_refused(tmp_path):
    (tmp_path / "a.yaml").write_text("extends: b.yaml\n")
    (tmp_path / "b.yaml").write_text("extends: a.yaml\n")
    with pytest.raises(ConfigError, match=r"extends must not lead back to itself, got a\.yaml"):
        load_config(tmp_path / "a.yaml")


def test_a_new_kind_starts_its_object_afresh():
    base = {"cell": {"kind": "constant_step", "step": 0.1}, "rows": 3}

    assert merged(base, {"cell": {"kind": "ideal"}}) == {"cell": {"kind": "ideal"}, "rows": 3}
    assert merged(base, {"cell": {"step": 0.2}})["cell"] == {"kind": "constant_step", "step": 0.2}


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("trainin.epochs=3", "trainin must be a known key, got trainin; did you mean training?"),
        ("training.epoch=3", "training.epoch must be a known key, got epoch; did you mean epochs?"),
        ("training.epochs=many", "training.epochs must be a whole number, got many"),
        ("training.shuffle=7", "training.shuffle must be true or false, got 7"),
        ("training.learning_rate=-1", "training.learning_rate must be above 0, got -1.0"),
        ("training.learning_rate=.inf", "training.learning_rate must be a finite number, got inf"),
        ("training.micro_batch=3", "training.micro_batch must equal batch (8)"),
        (
            "training={batch: 8, micro_batch: 3, schedule: synchronous}",
            "training.micro_batch must divide batch (8), got 3",
        ),
        ("tile.rows=0", "tile.rows must be at least 1, got 0"),
        ("tile.read.adc.bits=40", "tile.read.adc.bits must be at most 24, got 40"),
        ("tile.read.adc={bits: 8}", "tile.read.adc.range must be given"),
        ("tile.update.length=32", "tile.update.length must be at most 31, got 32"),
        ("tile.cell.kind=constat_step", "; did you mean constant_step?"),
        ("tile.cell.stp=3", "tile.cell.stp must be a known key, got stp; did you mean step?"),
        ("tile.cell={kind: constant_step, step: -1}", "tile.cell.step must be above 0.0, got -1"),
        (
            "tile.cell={kind: pair, device: {kind: soft_bounds, stp: 1}}",
            "tile.cell.device.stp must be a known key, got stp; did you mean step?",
        ),
        ("tile.weight_scale=-2", "tile.weight_scale must be above 0.0, got -2"),
        ("network=[{kind: linear}]", "network.0.outputs must be given"),
        ("network=[]", "network must have at least 1 entries, got []"),
        ("data.source=digit", "data.source must be "),
        ("engine.kind=lokal", "engine.kind must be 'local' or 'ray', got lokal"),
        ("seed=-1", "seed must be at least 0, got -1"),
        ("name=../up", "name must match "),
        ("a", "--set must be like a.b=value, got a"),
        ("a=[", "--set a must have a YAML value, got ["),
    ],
)
def test_a_mistake_gives_field_law_and_value(override, sentence):
    with pytest.raises(ConfigError) as caught:
        load_config("digits", [override])

    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_names_and_unreadable_files_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"or a shipped name .*, got digit; did you mean digits"):
        load_config("digit")
    (tmp_path / "bad.yaml").write_text("a: [1\n")
    with pytest.raises(ConfigError, match=r"bad\.yaml line \d must be YAML: "):
        load_config(tmp_path / "bad.yaml")
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(ConfigError, match="must hold a mapping, got list"):
        load_config(tmp_path / "list.yaml")
    (tmp_path / "object.yaml").write_text("!!python/object/apply:os.system ['true']\n")
    with pytest.raises(ConfigError, match="must be YAML"):
        load_config(tmp_path / "object.yaml")
