"""Searches: ranges, the sampler, early stopping, and a table that no order of runs changes."""

import importlib.util
import math

import pyarrow.parquet as pq
import pytest
import yaml

from crossmesh import ConfigError, load_config, train
from crossmesh.emulator.study.domains import Domain, spelled_out
from crossmesh.emulator.study.ranking import ranked
from crossmesh.emulator.study.search import Search, Searching, Told, search
from crossmesh.emulator.study.searched import StudySearch
from crossmesh.emulator.study.table import TrialOutcome, results
from crossmesh.emulator.training.median_stop import MedianStop
from tests.emulator.commands.shell import done, refused
from tests.emulator.study.study_material import study_of
from tests.jobs import small_config

STEPS = {"tile.cell.step": {"low": 1e-4, "high": 0.1, "log": True}}
FEW = {"training.epochs": 3, "data.validation": 0.2}
ELSEWHERE = {"examples_per_s", "wall_s", "run", "config"}  # differ between places and times


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1..4:4", [1, 2, 3, 4]),
        ("0..1:5", [0, 0.25, 0.5, 0.75, 1]),
        ("32..256:log:4", [32, 64, 128, 256]),
        ("1e-3..1e-1:log:3", [0.001, 0.01, 0.1]),
        ("-0.5..0.5:3", [-0.5, 0, 0.5]),
    ],
)
def test_a_range_on_a_grid_is_its_values(text, values):
    assert spelled_out(text) == values


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--vary", "tile.rows=1..4"),
         "vary.tile.rows must say how many values, as 1..4:5, or be searched with --trials, got"),
        (("--vary", "tile.rows=4..1:3"), "vary.tile.rows must have its low below its high, got"),
        (("--vary", "tile.rows=0..8:log:3"), "vary.tile.rows must begin above 0 with log, got"),
        (("--vary", "tile.rows=1..4:1"), "vary.tile.rows must have 2 to 1000 values, got 1"),
        (("--vary", "tile.rows=1..x:3"), "vary.tile.rows must be a list, or a range like 1..4:4"),
        (("--trials", "3"), "search.fields must have at least 1 entries"),
        (("--trials", "3", "--vary", "seed=0..3"), "seed must be given by seeds or --seeds"),
        (("--trials", "3", "--vary", "tile.rows=0..9"), "digits 0, rows=0: tile.rows must be at"),
        (("--trials", "3", "--vary", "tile.rows=8..9", "--chip-only"),
         "chip_only must be false in a search"),
    ],
)  # fmt: skip
def test_wrong_ranges_and_searches_are_refused_in_one_line(tmp_path, options, message):
    assert refused("study", "digits", *options, folder=tmp_path).startswith(f"error: {message}")


def test_a_search_by_examples_that_are_not_set_aside_is_refused(tmp_path):
    study = study_of(tmp_path, search={"fields": STEPS, "by": "validation_loss"})
    with pytest.raises(
        ConfigError, match=r"^search\.by must be of the test where data\.validation"
    ):
        StudySearch(study, tmp_path, print)


def test_a_candidate_that_is_no_config_is_left_out(tmp_path):
    """Its ends are: only some values between them are refused."""
    fields = {"training.batch": [4, 6, 4], "training.micro_batch": [4, 6, 4]}
    study = study_of(
        tmp_path,
        set={"training.schedule": "synchronous", "training.epochs": 1, "training.examples": 24},
        search={"fields": fields, "trials": 8},
    )
    notes = []
    table, text, _ = searched(study, tmp_path / "out", list, notes.append)

    left_out = [note for note in notes if note.startswith("left out: small ")]
    assert len(left_out) > 0
    assert table["training.batch"].equals(table["training.micro_batch"])
    assert "failed" not in text


def test_without_optuna_a_line_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    study = study_of(tmp_path, search={"fields": STEPS})
    with pytest.raises(ConfigError, match=r"got none: pip install 'crossmesh\[search\]'$"):
        StudySearch(study, tmp_path, print)


def best_of(trials):
    """The largest figure of a search on a hill over two fields, whose top is 0."""
    found = []

    def told(_, point):
        height = -((math.log10(point["a"]) + 2) ** 2) - (point["b"] - 6) ** 2 - (point["c"] == "x")
        found.append(height)
        return [Told({"test_accuracy": height}, {"test_accuracy": [height]}, stopped=False)]

    domains = {
        "a": Domain(low=1e-4, high=1.0, log=True),
        "b": Domain(low=1, high=12),
        "c": Domain(values=("x", "y")),
    }
    wanted = Search(fields=domains, trials=trials, batch=4)
    search(Searching(wanted, 3), lambda new, _: [told(*candidate) for candidate in new])
    return found


def test_the_sampler_learns_and_longer_searches_go_on_from_shorter_ones():
    short, long = best_of(16), best_of(48)

    assert long[: len(short)] == short
    assert max(long) > -0.5
    assert sum(long[-16:]) / 16 > sum(long[:8]) / 8 + 5


def rule_of(medians):
    return MedianStop(by="test_loss", medians=medians)


def test_a_run_stops_after_the_epoch_that_is_worse_than_the_median():
    config = small_config(training={"epochs": 3})
    whole = train(config, False, quiet=True)
    losses = whole.history["test_loss"].drop_null().to_pylist()
    stopped = {
        after: train(config, False, callbacks=[rule_of(medians)], quiet=True)
        for after, medians in {
            1: [losses[0] - 1e-6, None], 2: [losses[0], losses[1] - 1e-6],
            3: [losses[0], None, losses[2] - 1],
        }.items()
    }  # fmt: skip

    assert {after: result.epochs for after, result in stopped.items()} == {1: 1, 2: 2, 3: 3}
    assert "after epoch 2 is worse than the median" in stopped[2].stopped
    assert stopped[3].stopped is None
    assert stopped[3].state_digest == whole.state_digest


def searched(study, folder, order, note=lambda _: None):
    """A search whose batches are trained in this process; its table and what it left."""
    study_search = StudySearch(study, folder, note)
    rules = []

    def do(batch, before, rule):
        rules.append(rule)
        outcomes = {}
        for trial in order(batch):
            during = [MedianStop(**rule)] if rule else []
            result = train(trial.config, trial.folder, callbacks=during, quiet=True)
            outcomes[trial.name] = TrialOutcome(summary=result.summary, run=trial.folder)
        return [outcomes[trial.name] for trial in batch]

    pairs = study_search.run(do)
    table = results(*zip(*pairs, strict=True))
    table, text = study_search.leave(table, pairs, "svg")
    return table, text, rules


def test_neither_the_order_of_runs_nor_the_folder_changes_a_search(tmp_path):
    study = study_of(
        tmp_path, set=FEW, search={"fields": {**STEPS, "tile.rows": [19, 23]}, "trials": 9}
    )
    forward, text, rules = searched(study, tmp_path / "one", list)
    backward, again, _ = searched(study, tmp_path / "two", lambda batch: batch[::-1])

    same = [name for name in forward.column_names if name not in ELSEWHERE]
    assert forward.select(same).equals(backward.select(same))
    assert text == again
    assert rules[0] is None
    assert [rule["by"] for rule in rules[1:]] == ["validation_accuracy"] * 2
    stopped = forward["stopped"].to_pylist()
    assert 4 <= stopped.count(None) < len(stopped)
    figures = [one.figure for one in ranked(forward, "validation_accuracy") if one.is_whole]
    assert figures == sorted(figures, reverse=True)
    best = load_config(tmp_path / "one" / "best.yaml")
    assert best.tile.cell.step == forward["tile.cell.step"][0].as_py()
    assert (tmp_path / "one" / "search.svg").stat().st_size > 1000


@pytest.mark.slow
def test_the_command_searches_and_goes_on_from_what_its_folder_has(tmp_path):
    study_of(tmp_path)
    asked = ("study", "small.yaml", "--vary", "tile.cell.step=0.001..0.1:log", "--quiet",
             "training.epochs=1", "training.examples=20", "--output", "out")  # fmt: skip
    done(*asked, "--trials", 2, folder=tmp_path)
    two = pq.read_table(tmp_path / "out" / "results.parquet")
    summaries = {path: path.stat().st_mtime_ns for path in tmp_path.glob("out/runs/*/summary.json")}
    said = done(*asked, "--trials", 3, "--json", folder=tmp_path)
    three = pq.read_table(tmp_path / "out" / "results.parquet")

    assert len(summaries) == 2
    assert all(path.stat().st_mtime_ns == since for path, since in summaries.items())
    assert set(two["title"].to_pylist()) < set(three["title"].to_pylist())
    assert said.answer["best"]["by"] == "test_accuracy"
    assert said.answer["best"]["figure"] == max(three["test_accuracy"].to_pylist())
    assert yaml.safe_load((tmp_path / "out" / "study.yaml").read_text())["search"]["trials"] == 3
    done("train", "out/best.yaml", "--run-dir", "best", "--quiet", folder=tmp_path)
