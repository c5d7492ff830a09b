"""Tests."""

import os

import pytest

from crossmesh.common.errors import ConfigError
from crossmesh.common.whole_files import is_file
from crossmesh.emulator.compiler.job import prepare
from crossmesh.emulator.config.loading import (
    load_config,
    merged,
    validated,
)
from tests.emulator.config.loading_material import fields

VALUES = [None, True, -1, 0, 2.5, float("nan"), "words", [], [1], {}, {"x": 1}, {1: 2}]


def test_whatever_a_field_is_set_to_its_refusal_names_field_law_and_value():
    whole = load_config("mnist-constant-step").model_dump(mode="json")
    for path in fields(whole):
        for value in VALUES:
            change = value
            for key in reversed(path):
                change = {key: change}
            try:
                validated(merged(whole, change))
            except ConfigError as error:
                line = str(error)
                assert line.startswith(".".join(path)), (path, value)
                rest = line.removeprefix(".".join(path))
                assert " must " in rest or " is unknown" in rest, line
                assert "\n" not in line


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("trainin.epochs=3", "trainin is unknown; did you mean training?"),
        ("training.epoch=3", "training.epoch is unknown; did you mean epochs?"),
        ("training.epochs=many", "training.epochs must be a whole number, got 'many'"),
        ("training.shuffle=7", "training.shuffle must be true or false, got 7"),
        (
            "training.learning_rate=-1",
            "training.learning_rate must be above 0.0, got -1",
        ),
        ("training.learning_rate=.inf", "must be a finite number, got inf"),
        ("training.micro_batch=3", "training.micro_batch must equal batch (8)"),
        (
            "training={batch: 8, micro_batch: 3, schedule: synchronous}",
            "training.micro_batch must divide batch (8), got 3",
        ),
        ("tile.rows=0", "tile.rows must be at least 1, got 0"),
        ("tile.read.adc.bits=40", "tile.read.adc.bits must be at most 24, got 40"),
        ("tile.read.adc=8", "tile.read.adc must be a mapping, got 8; its fields are bits, range"),
        ("tile.update.length=32", "tile.update.length must be at most 31, got 32"),
        ("tile.cell.kind=constat_step", "; did you mean constant_step?"),
        ("tile.cell.stp=3", "tile.cell.stp is unknown; did you mean step?"),
        ("tile.cell={kind: constant_step, step: -1}", "tile.cell.step must be at least 1e-07, got"),
        (
            "tile.cell={kind: pair, device: {kind: soft_bounds, stp: 1}}",
            "tile.cell.device.stp is unknown; did you mean step?",
        ),
        (
            "tile.cell={extends: idealised}",
            "got idealised; did you mean idealized?",
        ),
        ("tile.cell={extends: 5}", "tile.cell.extends must be a file or a shipped name, got 5"),
        ("tile.weight_scale=-2", "tile.weight_scale must be above 0.0 or be 'auto', got -2"),
        ("network=[{kind: linear}]", "network.0.outputs must be given"),
        ("network=[]", "network must have at least 1 entries, got []"),
        ("data.source=digit", "data.source must be "),
        ("engine.kind=lokal", "engine.kind must be 'local' or 'ray', got 'lokal'"),
        ("seed=-1", "seed must be at least 0, got -1"),
        ("name=../up", "name must match "),
        ("name=3", "name must be text, got 3"),
        ("seed.x=1", "seed must be a whole number, got {'x': 1}"),
        ("engine=5", "engine must be a mapping, got 5"),
        ("tile=null", "tile must be a mapping, got None"),
        ("network.7.outputs=5", "network must be a list, got {'7': {'outputs': 5}}"),
        ("network=[3]", "network.0 must be a mapping, got 3"),
        ("network=[{outputs: 3}]", "network.0.kind must be given"),
        ("network=[{kind: linear, outputs: 10, name: a.tanh}]", "network.0.name must match ^[A-Za"),
        ("engine.tiles_per_actor=0", "must be at least 1 or be 'auto' or 'all', got 0"),
        ("engine.tiles_per_actor=some", "must be a whole number or be 'auto' or 'all', got 'some'"),
        (
            "training.learning_rate=[{epoch: 0, value: .nan}]",
            "training.learning_rate.0.value must be a finite number, got nan",
        ),
        (
            "training.learning_rate=[{epoch: 0, value: 1, rate: 2}]",
            "training.learning_rate.0.rate is unknown",
        ),
        ("training.learning_rate=[]", "must have at least 1 entries, got []"),
        ("training.learning_rate=x", "must be a number, got 'x'"),
        ("training.learning_rate=true", "must be a number, got True"),
        ("training.epochs=true", "training.epochs must be a whole number, got True"),
        ("training.epochs=2.0", "training.epochs must be a whole number, got 2.0"),
        ("training.batch='8'", "training.batch must be a whole number, got '8'"),
        ("training.shuffle='off'", "training.shuffle must be true or false, got 'off'"),
        ("seed=true", "seed must be a whole number, got True"),
        ("data.directory=3", "data.directory must be a path, got 3"),
        ("data={source: mnist, crop: {1: 2}}", "data.crop.rows must be given"),
        (
            "data={source: mnist, crop: {rows: [0, 1], columns: [0, 1], 1: 2}}",
            "data.crop.1 is unknown",
        ),
        ("data.crop={rows: [0, 1, 2], columns: [0, 1]}", "data.crop.rows must have at most 2 ent"),
        ("data.crop={rows: [0], columns: [0, 1]}", "data.crop.rows.1 must be given"),
        ("data.crop={rows: [0, true], columns: [0, 1]}", "data.crop.rows.1 must be a whole number"),
        ("data.crop={rows: 0..3, columns: [0, 1]}", "data.crop.rows must be a list, got '0..3'"),
        ("a", "overrides must be like a.b=value, got a"),
        ("a=[", "overrides a must have a YAML value, got ["),
        ("a=2026-13-01", "overrides a must have a YAML value, got 2026-13-01"),
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
    (tmp_path / "twice.yaml").write_text("name: a\ntraining:\n  epochs: 1\n  epochs: 2\n")
    with pytest.raises(ConfigError, match=r"twice\.yaml line 4 must be YAML: epochs is there twic"):
        load_config(tmp_path / "twice.yaml")
    (tmp_path / "base.yaml").write_text("extends: 5\n")
    with pytest.raises(ConfigError, match=r"extends must be a file or a shipped name, got 5"):
        load_config(tmp_path / "base.yaml")
    with pytest.raises(ConfigError, match="config must be a file or a shipped name"):
        load_config("x" * 5000)
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(ConfigError, match="must hold a mapping, got list"):
        load_config(tmp_path / "list.yaml")
    (tmp_path / "object.yaml").write_text("!!python/object/apply:os.system ['true']\n")
    with pytest.raises(ConfigError, match="must be YAML"):
        load_config(tmp_path / "object.yaml")


def test_a_layer_that_extends_a_device_inherits_nothing_of_the_section(tmp_path):
    (tmp_path / "device.yaml").write_text("kind: constant_step\nstep: 0.002\n")
    (tmp_path / "config.yaml").write_text(
        "extends: digits\nname: a\n"
        "tile: {rows: 30, cell: {kind: constant_step, cycle_noise: 0.9}}\n"
        "network:\n"
        "  - {kind: linear, outputs: 8, tile: {cols: 20, cell: {extends: device.yaml}}}\n"
        "  - {kind: linear, outputs: 10, activation: softmax, tile: {rows: 7}}\n"
    )
    config = load_config(tmp_path / "config.yaml")

    first, second = (layer.tile for layer in config.network)
    assert (first.rows, first.cols, first.cell.step, first.cell.cycle_noise) == (30, 20, 0.002, 0.3)
    assert (second.rows, second.cell.cycle_noise) == (7, 0.9)
    assert validated(config.model_dump(mode="json")) == config


def bombs():
    """YAML that says little and stands for much, with what its error says."""
    aliases = "a0: &a0 [1, 2]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
    )
    merges = "a0: &a0 {k: 1}\n" + "".join(
        f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 12)
    )
    return [
        (aliases, "more than 500000 values, those of aliases counted"),
        (merges, "more than 500000 values, those of aliases counted"),
        ("a: &a {b: *a}\n", "an alias within what it stands for"),
        ("a: &a [1, *a]\n", "an alias within what it stands for"),
        ("a: " + "[" * 900 + "]" * 900, "more than 50 levels of nesting"),
        ("".join(f"{' ' * n}a:\n" for n in range(900)), "more than 50 levels of nesting"),
        (f"seed: {'1' * 100_000}\n", "a number of more than 40 digits"),
        (f"seed: 0x{'1' * 100_000}\n", "a number of more than 40 digits"),
        ("seed: !!int abc\n", "invalid literal for int"),
        ("seed: !!int\n", "a value that tag:yaml.org,2002:int cannot have"),
        ("seed: !!bool x\n", "a value that tag:yaml.org,2002:bool cannot have"),
        ("seed: !!timestamp abc\n", ""),
        ("seed: !!python/object:os.system x\n", "could not determine a constructor"),
    ]


@pytest.mark.parametrize(("content", "problem"), bombs())
def test_yaml_that_stands_for_too_much_is_refused_in_one_line(tmp_path, content, problem):
    path = tmp_path / "c.yaml"
    path.write_text(content)

    with pytest.raises(ConfigError) as error:
        load_config(path)
    message = str(error.value)
    assert message.startswith(f"{path} line ")
    assert problem in message
    assert len(message) < 300


@pytest.mark.parametrize("kind", ["folder", "pipe", "device", "link to itself"])
def test_what_is_no_file_is_refused(tmp_path, kind):
    path = tmp_path / "c.yaml"
    match kind:
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case _:
            path.symlink_to(path)
    with pytest.raises(ConfigError, match=r"^config must be a file or a shipped name "):
        load_config(path)


def test_a_path_that_may_not_be_looked_up_leads_to_no_file(tmp_path):
    """As another user, who may not enter the folder; in a process of its own."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to become another user")
    (tmp_path / "closed").mkdir(mode=0o700)
    (tmp_path / "closed" / "c.yaml").write_text("extends: digits\n")
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setuid(65534)
        os._exit(is_file(tmp_path / "closed" / "c.yaml"))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert is_file(tmp_path / "closed" / "c.yaml")


def test_a_network_of_too_many_tiles_is_refused_before_they_are_cut():
    config = load_config(
        "digits",
        ["network=[{kind: linear, outputs: 4294967296}, {kind: linear, outputs: 10}]",
         "tile.rows=19", "tile.cols=7", "loss=mean_squared_error"],
    )  # fmt: skip
    with pytest.raises(ConfigError, match=r"^network must take at most 200,000 tiles, got "):
        prepare(config)


def test_a_config_that_is_too_large_is_refused(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_bytes(b"#" * (3 << 20))

    with pytest.raises(ConfigError, match=r"c\.yaml must be at most 2 MiB of YAML, got more"):
        load_config(path)


def test_a_chain_of_files_has_an_end(tmp_path):
    for n in range(1500):
        (tmp_path / f"{n}.yaml").write_text(f"extends: {n + 1}.yaml\n")
    (tmp_path / "1500.yaml").write_text("extends: digits\n")

    with pytest.raises(ConfigError, match=r"extends must chain at most 16 files, got more"):
        load_config(tmp_path / "0.yaml")
    assert load_config(tmp_path / "1490.yaml") == load_config("digits")


def test_device_files_that_double_from_file_to_file_have_an_end(tmp_path):
    for n in range(20):
        entries = f"{{cell: {{extends: {n + 1}.yaml}}}}, {{cell: {{extends: {n + 1}.yaml}}}}"
        (tmp_path / f"{n}.yaml").write_text(f"many: [{entries}]\n")
    (tmp_path / "20.yaml").write_text("kind: ideal\n")

    with pytest.raises(ConfigError, match=r"at most 16 files in a row and 500 in all, got more"):
        load_config("digits", [f"tile.cell.extends={tmp_path}/0.yaml"])


@pytest.mark.parametrize("kind", ["pipe", "folder", "loop", "device", "bytes", "null"])
def test_what_is_no_text_file_is_refused_at_once(tmp_path, kind):
    path = tmp_path / "c.yaml"
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "loop":
            path.symlink_to(path)
        case "device":
            path.symlink_to("/dev/zero")
        case "bytes":
            path.write_bytes(b"\xff\xfe\0")
        case "null":
            path = f"{path}\0"

    with pytest.raises(ConfigError) as error:
        load_config(path)
    assert "must be a" in str(error.value)
