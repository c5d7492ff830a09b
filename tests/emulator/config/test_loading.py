"""Tests."""

from pathlib import Path

import pytest

from crossmesh.common.bounded_yaml import read_mapping
from crossmesh.common.errors import ConfigError
from crossmesh.emulator.config.loading import (
    VARIANTS,
    dumped,
    load_cell,
    load_config,
    merged,
    presets,
    shipped,
)
from crossmesh.emulator.config.run import RunConfig
from crossmesh.tiles.analog.cells import Pair
from crossmesh.tiles.analog.devices import ConstantStep, ExpStep, LinearStep, SoftBounds


@pytest.mark.parametrize("name", shipped())
def test_shipped_configs_load_and_load_again_as_they_were_written(name, tmp_path):
    config = load_config(name)
    (tmp_path / "again.yaml").write_text(dumped(config))

    assert config.name == name
    assert load_config(tmp_path / "again.yaml") == config


def test_a_config_extends_a_shipped_one(tmp_path):
    (tmp_path / "mine.yaml").write_text("extends: digits\nname: mine\ntile: {rows: 8}\n")
    (tmp_path / "yours.yaml").write_text("extends: mine.yaml\ntile: {cell: {kind: ideal}}\n")
    config = load_config(tmp_path / "yours.yaml")

    assert (config.name, config.tile.rows, config.tile.cell.kind) == ("mine", 8, "ideal")
    assert config.network == load_config("digits").network


def test_a_config_that_extends_itself_is_refused(tmp_path):
    (tmp_path / "a.yaml").write_text("extends: b.yaml\n")
    (tmp_path / "b.yaml").write_text("extends: a.yaml\n")
    with pytest.raises(ConfigError, match=r"extends must not form a cycle, got a\.yaml"):
        load_config(tmp_path / "a.yaml")


def test_a_new_kind_starts_its_object_afresh():
    base = {"cell": {"kind": "constant_step", "step": 0.1}, "rows": 3}
    engine = {"engine": {"kind": "local", "address": "10.0.0.1:6379"}}

    assert merged(base, {"cell": {"kind": "ideal"}}) == {"cell": {"kind": "ideal"}, "rows": 3}
    assert merged(base, {"cell": {"step": 0.2}})["cell"] == {"kind": "constant_step", "step": 0.2}
    assert merged(engine, {"engine": {"kind": "ray"}})["engine"]["address"] == "10.0.0.1:6379"


RERAM_2022 = {
    "upper": 1, "lower": -1, "device_noise_law": "log_normal", "multiplicative_noise": False,
    "symmetry_referenced": True, "reference_noise": 0.05,
}  # fmt: skip


SHIPPED_DEVICES = {
    "capacitor-li-2018": LinearStep(
        step=0.005, device_noise=0.1, asymmetry_device_noise=0.06, upper=1, lower=-1,
        upper_device_noise=0.07, lower_device_noise=0.07, gamma_up=0.05, gamma_down=0.05,
        gamma_device_noise=0.01, multiplicative_noise=False,
        retention={"time_s": 0.24, "device_noise": 0.3},
    ),
    "ecram-li-tang-2018": LinearStep(
        step=0.002, device_noise=0.1, upper=1.1724, lower=-0.8276, upper_device_noise=0.05,
        lower_device_noise=0.05, gamma_up=0.1153, gamma_down=0.5085,
    ),
    "ecram-mo-kim-2019": LinearStep(
        step=0.00028214, device_noise=0.1, cycle_noise=2, upper=1.1714, lower=-0.8286,
        upper_device_noise=0.05, lower_device_noise=0.05, gamma_up=0.4152, gamma_down=0.7342,
    ),
    "gokmen-vlasov-2016": ConstantStep(step=0.0016, upper=1, lower=-1),
    "idealized": ConstantStep(step=0.0002, asymmetry_device_noise=0, upper=1, lower=-1),
    "reram-es-gong-2018": ExpStep(
        step=0.00135, device_noise=0.2, cycle_noise=5, asymmetry=0.259359,
        asymmetry_device_noise=0.05, upper=1, lower=-1, a_up=-1.18445, a_down=-0.081404,
        gamma_up=5, gamma_down=5, a=-0.5, b=-0.5, write_noise=75,
    ),
    "reram-sb-gong-2018": SoftBounds(
        step=0.002, cycle_noise=3.75, upper=1.25, upper_device_noise=0.24, lower=-0.75,
        lower_device_noise=0.4, multiplicative_noise=False, write_noise=56,
    ),
    "reram-om-2022": SoftBounds(
        step=0.0949, device_noise=0.7829, cycle_noise=0.4158, upper_device_noise=0.3499,
        lower_device_noise=0.5695, write_noise=1.4113, **RERAM_2022,
    ),
    "reram-hfo2-2022": SoftBounds(
        step=0.4622, device_noise=0.7125, cycle_noise=0.2174, upper_device_noise=0.4295,
        lower_device_noise=0.5990, write_noise=0.5841, **RERAM_2022,
    ),
}  # fmt: skip


def test_all_shipped_devices_are_tested():
    cells = {"pcm-nandakumar-2018", "pcm-nandakumar-2020", "pcm-3t1c-ambrogio-2018"}
    assert set(SHIPPED_DEVICES) | cells == set(presets())


@pytest.mark.parametrize(("name", "device"), SHIPPED_DEVICES.items(), ids=SHIPPED_DEVICES)
def test_a_shipped_device_is_the_published_one_whole(name, device):
    """What its file says, and nothing that its kind does not have; terminals are its own."""
    given, cell = read_mapping(presets()[name]), load_cell(name)

    assert cell.model_copy(update={"electrical": device.electrical}) == device
    assert set(given) <= set(type(device).model_fields)


def test_a_section_extends_a_device_by_name_or_file(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "mine.yaml").write_text("# mine\nextends: idealized\nupper: 0.5\n")
    (tmp_path / "sub" / "yours.yaml").write_text("extends: ../mine.yaml\nlower: -0.5\n")
    (tmp_path / "run.yaml").write_text(
        "extends: digits\ntile: {cell: {extends: sub/yours.yaml, step: 0.1}}\n"
    )
    cell = load_config(tmp_path / "run.yaml").tile.cell

    expected = {"step": 0.1, "upper": 0.5, "lower": -0.5}
    assert cell == SHIPPED_DEVICES["idealized"].model_copy(update=expected)


def test_the_devices_of_a_pair_extend_a_device(tmp_path):
    (tmp_path / "pair.yaml").write_text("kind: pair\ndevice: {extends: idealized, step: 0.01}\n")
    idealized = SHIPPED_DEVICES["idealized"].model_copy(update={"step": 0.01})

    for override in (
        "tile.cell={kind: pair, device: {extends: idealized, step: 0.01}}",
        f"tile.cell={{extends: '{tmp_path / 'pair.yaml'}'}}",
    ):
        assert load_config("digits", [override]).tile.cell == Pair(device=idealized)


@pytest.mark.parametrize(
    "overrides",
    [
        ("tile.cell={extends: idealized, step: 0.1}",),
        ("tile.cell.extends=idealized", "tile.cell.step=0.1"),
        ("tile.cell.step=0.1", "tile.cell.extends=idealized"),
    ],
)
def test_a_section_that_extends_a_device_starts_afresh(overrides, tmp_path):
    """The base has a step and a spread of its own, which the device replaces."""
    (tmp_path / "base.yaml").write_text(
        "extends: digits\ntile: {cell: {kind: constant_step, step: 0.5, device_noise: 0.0}}\n"
    )
    cell = load_config(tmp_path / "base.yaml", overrides).tile.cell

    assert cell == SHIPPED_DEVICES["idealized"].model_copy(update={"step": 0.1})


def test_a_config_changes_a_device_that_its_base_extends(tmp_path):
    (tmp_path / "base.yaml").write_text("extends: digits\ntile: {cell: {extends: idealized}}\n")
    (tmp_path / "mine.yaml").write_text("extends: base.yaml\ntile: {cell: {step: 0.1}}\n")
    (tmp_path / "ours.yaml").write_text("extends: base.yaml\ntile: {cell: {kind: soft_bounds}}\n")

    mine, ours = (load_config(tmp_path / f"{name}.yaml").tile.cell for name in ("mine", "ours"))
    assert mine == SHIPPED_DEVICES["idealized"].model_copy(update={"step": 0.1})
    assert ours == SoftBounds()


def test_overrides_extend_files_of_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "mine.yaml").write_text("extends: idealized\nstep: 0.2\n")
    monkeypatch.chdir(tmp_path)

    config = load_config("digits", ["tile.cell={extends: mine.yaml}"])
    assert config.tile.cell.step == 0.2
    assert "extends" not in dumped(config)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("extends: idealised", "extends must be a file or a shipped name "
         r"\(see crossmesh devices\), got idealised; did you mean idealized?"),
        ("extends: 5", "extends must be a file or a shipped name, got 5"),
        ("extends: idealized\nstp: 1", "stp is unknown; did you mean step?"),
        ("extends: device.yaml", r"extends must not form a cycle, got .*device\.yaml"),
        ("kind: pair\ndevice: {extends: device.yaml}", "must not form a cycle"),
        ("kind: [1", r"device\.yaml line 2 must be YAML"),
        ("5", "must hold a mapping, got int"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_device_file_is_one_line(text, rule, tmp_path):
    (tmp_path / "device.yaml").write_text(text + "\n")
    (tmp_path / "run.yaml").write_text("extends: digits\ntile: {cell: {extends: device.yaml}}\n")

    for load in (
        lambda: load_config(tmp_path / "run.yaml"),
        lambda: load_cell(tmp_path / "device.yaml"),
    ):
        with pytest.raises(ConfigError, match=rule) as caught:
            load()
        assert "\n" not in str(caught.value)


def test_a_device_file_says_its_kind(tmp_path):
    (tmp_path / "device.yaml").write_text("step: 1\n")
    with pytest.raises(ConfigError, match=r"device\.yaml: kind must be given"):
        load_cell(tmp_path / "device.yaml")


@pytest.mark.parametrize(
    ("short", "long"),
    [
        (["tile.cell=soft_bounds"], ["tile.cell.kind=soft_bounds"]),
        (["tile.cell=soft_bounds", "tile.cell.step=0.01"],
         ["tile.cell={kind: soft_bounds, step: 0.01}"]),
        (["tile.cell=reram-es-gong-2018"], ["tile.cell={extends: reram-es-gong-2018}"]),
        (["tile.cell={kind: pair, device: idealized}"],
         ["tile.cell={kind: pair, device: {extends: idealized}}"]),
        (["training.algorithm=tiki-taka-2-ecram"],
         ["training.algorithm={extends: tiki-taka-2-ecram}"]),
        (["training.optimizer=adam"], ["training.optimizer={kind: adam}"]),
        (["chip.adc=isaac", "chip.memory=sram"], ["chip.adc.kind=isaac", "chip.memory.kind=sram"]),
        (["chip.adc=survey"], ["seed=0"]),
        (["chip.adc.kind=survey", "chip.adc.leakage_share=0.2"], ["chip.adc.leakage_share=0.2"]),
        (["data=mnist"], ["data.source=mnist"]),
        (["engine=local"], ["engine.kind=local"]),
        (["tile.read.adc.bits=8"], ["tile.read.adc={bits: 8, range: 12}"]),
        (["tile.read.dac={range: 2}"], ["tile.read.dac={bits: 7, range: 2}"]),
        (["chip.adc.leakage_share=0.2"],
         ["chip.adc={kind: survey, clock_hz: 2e9, leakage_share: 0.2}"]),
        (["network.1.outputs=10", "network.0.outputs=7"],
         ["network=[{kind: linear, outputs: 7, activation: tanh}, "
          "{kind: linear, outputs: 10, activation: softmax}]"]),
        (["network=[flatten, {kind: linear, outputs: 10}]"],
         ["network=[{kind: flatten}, {kind: linear, outputs: 10}]"]),
    ],
)  # fmt: skip
def test_a_short_form_is_what_it_stands_for(short, long, tmp_path):
    assert load_config("digits", short) == load_config("digits", long)
    lines = "".join(f"{line.replace('=', ': ', 1)}\n" for line in short if "." not in line)
    (tmp_path / "file.yaml").write_text("extends: digits\n" + lines)
    if lines:
        assert load_config(tmp_path / "file.yaml") == load_config("digits", long)


def test_every_object_with_a_choice_of_kinds_is_known_as_a_variant():
    schema = RunConfig.model_json_schema()
    models = [schema, *schema["$defs"].values()]
    fields = [field for model in models for field in model["properties"].items()]

    named = {
        name
        for name, field in fields
        if any("discriminator" in part for part in (field, *field.get("anyOf", ())))
    }
    assert named | {"learning_rate"} == VARIANTS.keys()


@pytest.mark.parametrize(
    "overrides",
    [
        ("tile.cell.kind=soft_bounds", "tile.cell.step=0.25"),
        ("tile.cell.step=0.25", "tile.cell.kind=soft_bounds"),
    ],
)
def test_the_order_of_a_new_kind_and_its_fields_does_not_matter(overrides):
    cell = load_config("digits", overrides).tile.cell

    assert (cell.kind, cell.step) == ("soft_bounds", 0.25)


def test_of_two_overrides_of_a_field_the_later_counts():
    assert load_config("digits", ["seed=1", "seed=2"]).seed == 2


@pytest.mark.parametrize(
    ("text", "number"),
    [("1e-3", 1e-3), ("1.5e3", 1500), ("2E+0", 2), ("+.5e1", 5), ("1.e0", 1), ("1", 1)],
)
def test_numbers_need_no_dot_before_their_exponent(text, number, tmp_path):
    (tmp_path / "mine.yaml").write_text(f"extends: digits\ntraining: {{learning_rate: {text}}}\n")

    assert (
        load_config("digits", [f"training.learning_rate={text}"]).training.learning_rate == number
    )
    assert load_config(tmp_path / "mine.yaml").training.learning_rate == number


def test_a_name_like_a_number_stays_a_name(tmp_path):
    (tmp_path / "mine.yaml").write_text("extends: digits\nname: '1e5'\n")
    config = load_config(tmp_path / "mine.yaml")
    (tmp_path / "again.yaml").write_text(dumped(config))

    assert config.name == "1e5"
    assert load_config(tmp_path / "again.yaml") == config


def test_lists_become_tuples_text_becomes_paths_and_whole_numbers_become_floats():
    config = load_config(
        "mnist-ideal", ["data.directory=~/d", "training.learning_rate=1", "data.crop.rows=[0, 9]"]
    )

    assert config.data.directory == Path.home() / "d"
    assert config.data.crop.rows == (0, 9)
    assert type(config.training.learning_rate) is float


def test_the_home_of_nobody_is_no_crash():
    assert load_config("digits", ["data.directory=~no-such-user/d"]).data.directory.name == "d"
