"""Axes of studies: fields that are varied together, one at a time, and lists of configs."""

from pathlib import Path

import pytest

from crossmesh import ConfigError, load_study, run_study
from crossmesh.emulator.study.config import validated
from crossmesh.emulator.study.plan import trials
from tests.emulator.study.study_material import study_of

DIGITS = {"name": "axes", "runs": [{"config": "digits"}]}


def planned(**fields):
    return trials(validated({**DIGITS, **fields}), Path("out"))


def test_fields_of_one_axis_have_the_same_value():
    vary = {"tile.rows = tile.cols": [32, 64], "chip.topology": ["mesh", "tree"]}
    plan = planned(vary=vary)

    assert [trial.title for trial in plan] == [
        f"digits, rows=cols={size}, topology={topology}"
        for size in (32, 64)
        for topology in ("mesh", "tree")
    ]
    tiles = [trial.config.tile for trial in plan]
    assert [(tile.rows, tile.cols) for tile in tiles] == [(32, 32)] * 2 + [(64, 64)] * 2
    asked = load_study("digits").changed(
        vary=["tile.rows=tile.cols=[32, 64]", "chip.topology=[mesh, tree]"]
    )
    assert [t.config for t in trials(asked, Path("out"))] == [trial.config for trial in plan]


def test_an_option_takes_the_place_of_the_same_axis():
    study = validated({**DIGITS, "vary": {"tile.rows = tile.cols": [32]}})
    assert study.changed(vary=["tile.rows=tile.cols=[64]"]).vary == {"tile.rows=tile.cols": (64,)}


def test_one_at_a_time_varies_each_axis_around_the_base_which_is_there_once():
    base = planned()[0].config
    vary = {
        "tile.rows": [base.tile.rows, 32],
        "tile.cols=chip.width": [12],
        "training.batch": [2, 4],
    }
    plan = planned(vary=vary, one_at_a_time=True)

    assert [trial.title for trial in plan] == [
        "digits", "digits, rows=32", "digits, cols=width=12", "digits, batch=2",
        "digits, batch=4",
    ]  # fmt: skip
    assert plan[0].config == base
    assert [(t.config.tile.rows, t.config.training.batch) for t in plan] == [
        (base.tile.rows, base.training.batch), (32, base.training.batch),
        (base.tile.rows, base.training.batch), (base.tile.rows, 2), (base.tile.rows, 4),
    ]  # fmt: skip
    batches = [trial.fields["training.batch"] for trial in plan]
    assert batches == [base.training.batch] * 3 + [2, 4]
    assert [trial.fields["tile.cols"] for trial in plan] == [base.tile.cols] * 2 + [12] + [48] * 2
    assert base.tile.cols == 48


def test_configs_are_an_axis_that_runs_without_one_are_made_for():
    runs = [{"title": "noisy", "set": {"tile.read.output_noise": 0.1}}, {"config": "mnist-ideal"}]
    plan = planned(configs=["digits", "mnist-lenet5"], runs=runs)
    assert [trial.title for trial in plan] == [
        "digits, noisy", "mnist-lenet5, noisy", "mnist-ideal",
    ]  # fmt: skip
    assert [t.config.tile.read.output_noise for t in plan] == [0.1, 0.1, 0.0]

    alone = validated({"name": "axes", "configs": ["digits", "mnist-lenet5"]})
    plan = trials(alone.changed(["training.epochs=2"]), Path("out"))
    assert [(t.title, t.config.training.epochs) for t in plan] == [
        ("digits", 2), ("mnist-lenet5", 2),
    ]  # fmt: skip


def test_configs_are_found_beside_the_study(tmp_path, monkeypatch):
    study = study_of(tmp_path, runs=[], configs=["small.yaml", "digits"])
    monkeypatch.chdir("/")
    assert [trial.title for trial in trials(study, Path("out"))] == ["small", "digits"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vary": {"tile.rows=": [1]}},
         "vary must name a field, or several as in tile.rows=tile.cols, got tile.rows="),
        ({"vary": {"tile.rows=tile.rows": [1]}},
         "vary must name a field, or several as in tile.rows=tile.cols, got tile.rows=tile.rows"),
        ({"vary": {"tile.rows": [1], "tile.cols=tile.rows": [1]}},
         "vary must set a field once, got tile.rows twice"),
        ({"vary": {"tile.rows=seed": [1]}},
         "seed must be given by seeds or --seeds, got it as a field to change"),
        ({"configs": "digits"}, "configs must be a list, got 'digits'"),
        ({"runs": [{"title": "x"}]}, "runs.0.config must be given"),
        ({"runs": []}, "runs must have at least 1 entries, got []"),
        ({"one_at_a_time": 1}, "one_at_a_time must be true or false, got 1"),
        ({"chip_only": "yes"}, "chip_only must be true or false, got 'yes'"),
        ({"pareto": [["area_mm2"]]}, "pareto.0.by must have at least 2 entries, got ['area_mm2']"),
        ({"pareto": [["area_mm2", "interval_s:least"]]},
         "pareto.0.by must have columns like test_accuracy or area_mm2:min, got interval_s:least"),
        ({"pareto": [["area_mm2", "area_mm2:max"]]},
         "pareto.0.by must have columns that differ, got area_mm2, area_mm2:max"),
        ({"pareto": [{"by": ["a", "b"], "eech": "config"}]},
         "pareto.0.eech is unknown; did you mean each?"),
    ],
)  # fmt: skip
def test_wrong_axes_and_fronts_are_refused_in_one_line(change, message):
    with pytest.raises(ConfigError) as error:
        validated({**DIGITS, **change})
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("vary", "message"),
    [
        ("tile.rows=tile.cols=3", "vary.tile.rows must be a list, got 'tile.cols=3'"),
        ("tile.rows=tile.cols=[3", "--vary tile.rows must have a YAML value, got [3"),
        ("=[3]", "--vary must be like a.b=value, got =[3]"),
    ],
)
def test_wrong_options_are_refused_in_one_line(vary, message):
    with pytest.raises(ConfigError) as error:
        load_study("digits").changed(vary=[vary])
    assert str(error.value) == message


@pytest.mark.slow
def test_one_at_a_time_is_a_column_each_and_a_panel_each(tmp_path):
    study = study_of(
        tmp_path,
        set={"training.epochs": 1, "training.examples": 40},
        vary={"tile.read.output_noise": [0.0, 0.5], "training.learning_rate": [0.1, 0.2]},
        one_at_a_time=True,
    )
    table = run_study(study, tmp_path / "out", plot_format="svg")

    base = trials(study, tmp_path)[0].config
    assert table["title"][0].as_py() == "small"
    assert len(table) == 5
    noise = table["tile.read.output_noise"].to_pylist()
    assert noise == [base.tile.read.output_noise, 0.0, 0.5] + [base.tile.read.output_noise] * 2
    drawn = (tmp_path / "out" / "vary.svg").read_text()
    assert "<!-- output_noise -->" in drawn
    assert "<!-- learning_rate -->" in drawn
    assert "output_noise=0.5" not in drawn, "a row apart is no line of another axis"
