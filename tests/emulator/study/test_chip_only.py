"""Studies of chips alone, and runs that differ in their chips alone: one of them is trained."""

import json

import pyarrow.parquet as pq
import pytest

from crossmesh import ConfigError, chip, run_study, train
from crossmesh.common.errors import DataError
from crossmesh.emulator.runs.callbacks import NoCallbacks
from crossmesh.emulator.study.plan import trials
from crossmesh.emulator.study.table import cells, markdown
from tests.emulator.study.study_material import study_of

TOPOLOGIES = {"chip.topology": ["mesh", "tree"]}


def chip_of_row(row):
    """The figures of a row that are no sections, under the names of the summary."""
    return {
        name.removeprefix("chip_"): value
        for name, value in row.items()
        if name.startswith("chip_") and "." not in name
    }


@pytest.mark.slow
def test_chips_alone_are_those_of_the_command_chip_and_are_not_timed_again(tmp_path):
    study = study_of(tmp_path, seeds=[3, 4], vary=TOPOLOGIES, baseline=True, chip_only=True)
    table = run_study(study, tmp_path / "out")

    assert table["seed"].to_pylist() == [3, 3]
    for row, trial in zip(table.to_pylist(), trials(study, tmp_path / "out"), strict=True):
        wanted = json.loads(json.dumps(chip(trial.config).summary))
        plain = {name: value for name, value in wanted.items() if not isinstance(value, dict)}
        assert chip_of_row(row) == plain
        for part, band in wanted["energy_by_component_j"].items():
            for end, joules in band.items():
                assert row[f"chip_energy_by_component_j.{part}.{end}"] == joules
        assert row["test_accuracy"] is row["run"] is row["failure"] is None
    assert not (tmp_path / "out" / "runs").exists()
    page = (tmp_path / "out" / "table.md").read_text()
    assert page == markdown("tiny", table)
    assert "The chip alone" in page
    assert cells(table, wide=False)[0][:2] == ("run", "interval, us")

    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "chips").iterdir()}
    assert run_study(study, tmp_path / "out").equals(table)
    assert {path: path.stat().st_mtime_ns for path in times} == times
    wider = study.changed(["chip.flit_bits=64"])
    others = run_study(wider, tmp_path / "out")
    assert others["chip_interval_s"][0].as_py() != table["chip_interval_s"][0].as_py()


@pytest.mark.slow
def test_of_runs_that_differ_in_their_chips_one_is_trained_and_all_are_as_trained_alone(tmp_path):
    sets = {"training.epochs": 1, "training.examples": 60}
    study = study_of(tmp_path, vary=TOPOLOGIES, set=sets, baseline=True)
    table = run_study(study, tmp_path / "out", jobs=1)

    assert [path.name for path in (tmp_path / "out" / "runs").iterdir()] == [
        "small-topology=mesh-seed0"
    ]
    for row, trial in zip(table.to_pylist(), trials(study, tmp_path / "out"), strict=True):
        alone = train(trial.config, False).summary
        assert row["state_digest"] == alone["state_digest"]
        assert row["test_accuracy"] == alone["test_accuracy"]
        plain = {n: v for n, v in alone["chip"].items() if not isinstance(v, dict)}
        assert chip_of_row(row) == plain
        assert row["baseline_test_accuracy"] is not None
    assert run_study(study, tmp_path / "out", jobs=1).equals(table)


@pytest.mark.slow
def test_a_finished_run_on_another_chip_keeps_its_values_and_gets_the_chip_asked_for(tmp_path):
    study = study_of(tmp_path, set={"training.epochs": 1, "training.examples": 60})
    before = run_study(study, tmp_path / "out", jobs=1).to_pylist()[0]
    after = run_study(study.changed(["chip.flit_bits=32"]), tmp_path / "out", jobs=1).to_pylist()[0]

    assert after["wall_s"] == before["wall_s"], "it is not trained again"
    assert after["chip_interval_s"] > before["chip_interval_s"]


@pytest.mark.slow
def test_runs_of_chips_alone_and_trained_ones_are_rows_of_one_table_with_fronts(tmp_path):
    runs = [
        {"config": "small.yaml", "title": "trained"},
        {"config": "small.yaml", "title": "chip", "chip_only": True},
    ]
    sets = {"training.epochs": 1, "training.examples": 60}
    by = [["energy_j_per_example", "test_accuracy"], ["area_mm2", "interval_s"]]
    table = run_study(study_of(tmp_path, runs=runs, set=sets, pareto=by), tmp_path / "out", jobs=1)

    assert table["test_accuracy"].null_count == 1
    assert table["chip_area_mm2"].null_count == 0
    front = pq.read_table(tmp_path / "out" / "pareto.parquet").to_pylist()
    assert [row["title"] for row in front] == ["trained", "trained", "chip"]
    assert (tmp_path / "out" / "pareto-area_mm2-interval_s.png").is_file()
    assert "## Pareto front: area_mm2, interval_s" in (tmp_path / "out" / "table.md").read_text()


@pytest.mark.slow
def test_a_chip_that_cannot_be_is_a_failure_of_its_row(tmp_path):
    vary = {"chip.interval_s": [1e-9, 1.0]}
    table = run_study(study_of(tmp_path, vary=vary, chip_only=True), tmp_path / "out", jobs=1)
    first, second = table.to_pylist()
    assert first["failure"].startswith("chip.interval_s must be at least ")
    assert cells(table, wide=False)[1][1] == "-"
    assert second["failure"] is None


@pytest.mark.slow
def test_a_front_by_what_is_no_column_ends_the_study_with_its_first_run(tmp_path):
    study = study_of(tmp_path, vary=TOPOLOGIES, chip_only=True, pareto=[["area", "interval_s"]])
    with pytest.raises(ConfigError, match="got area; did you mean area_mm2"):
        run_study(study, tmp_path / "out", jobs=1)
    assert len(list((tmp_path / "out" / "chips").glob("*.json"))) == 1


def test_data_of_chips_alone_are_looked_for_before_anything_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    study = study_of(tmp_path, chip_only=True, set={"data": {"source": "npz", "file": "no.npz"}})
    with pytest.raises(DataError, match=r"^data\.file must be a file, got no\.npz$"):
        run_study(study, tmp_path / "out")


class _Stops(NoCallbacks):
    """Ctrl-C when the first chip is timed."""

    def note(self, text):
        raise KeyboardInterrupt(text)


@pytest.mark.slow
def test_a_study_of_chips_that_is_stopped_goes_on_where_it_was(tmp_path):
    study = study_of(tmp_path, vary=TOPOLOGIES, chip_only=True)
    with pytest.raises(KeyboardInterrupt, match=r"topology=mesh: .* examples/s"):
        run_study(study, tmp_path / "out", jobs=1, callbacks=_Stops())
    (first,) = (tmp_path / "out" / "chips").glob("*.json")
    made = first.stat().st_mtime_ns

    table = run_study(study, tmp_path / "out")
    assert first.stat().st_mtime_ns == made
    assert table["chip_interval_s"].null_count == 0
