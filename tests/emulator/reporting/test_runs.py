"""Lists and comparisons of runs, and their pictures, by the commands."""

import json
import shutil
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from crossmesh.common.picture_files import SUFFIXES
from crossmesh.emulator.reporting.record import RunRecord
from tests.emulator.commands.shell import done, refused


def test_runs_are_listed_newest_first_with_their_figures(runs):
    listed = done("runs", runs, "--json").answer
    summary = json.loads((runs / "good" / "summary.json").read_text())

    assert [run["path"] for run in listed] == [str(runs / "bad"), str(runs / "good")]
    good = listed[1]
    for name in ("name", "seed", "test_accuracy", "baseline_test_accuracy", "epochs"):
        assert good[name] == summary[name]
    assert good["state"] == "done"
    table = done("runs", runs).out
    assert f"{100 * summary['test_accuracy']:.2f} %" in table
    assert "3/3" in table


def test_runs_that_cannot_be_read_are_left_out_with_a_word(runs, tmp_path):
    for name in ("good", "older", "damaged", "other"):
        shutil.copytree(runs / "good", tmp_path / name)
    metrics = pq.read_table(runs / "good" / "metrics.parquet")
    older = metrics.drop_columns(["validation_loss", "validation_accuracy", "train_accuracy"])
    pq.write_table(older, tmp_path / "older" / "metrics.parquet")
    pq.write_table(metrics.select(["loss"]), tmp_path / "other" / "metrics.parquet")
    (tmp_path / "damaged" / "config.yaml").write_text("a: [\n")
    (tmp_path / "older" / "config.yaml").write_text("training: {epochs: .inf}\n")
    (tmp_path / "older" / "summary.json").write_text('{"test_loss": NaN}')
    said = done("runs", tmp_path, "--json")

    assert {Path(run["path"]).name for run in said.answer} == {"good", "older"}
    damaged, other = sorted(said.err.splitlines())
    assert damaged.startswith(f"left out: {tmp_path}/damaged/config.yaml line 2 must be YAML")
    assert other.startswith(f"left out: {tmp_path}/other/metrics.parquet must have a column epoch")
    assert "damaged" in done("runs", tmp_path).err
    done("plot", tmp_path / "older")
    assert "must have a column epoch" in refused("plot", tmp_path / "other")


def test_a_folder_without_runs_is_refused(tmp_path):
    assert refused("runs", tmp_path).endswith(f"must be a folder with runs, got none in {tmp_path}")
    assert "must be a folder with runs, got nosuch" in refused("runs", "nosuch")


def test_the_state_of_a_run_is_what_its_files_say(runs, tmp_path):
    (tmp_path / "config.yaml").write_bytes((runs / "good" / "config.yaml").read_bytes())
    assert RunRecord.existing(tmp_path).state == "interrupted"
    live = tmp_path / "live.json"
    live.write_text(json.dumps({"updated": time.time()}))
    assert RunRecord.existing(tmp_path).state == "running"
    live.write_text(json.dumps({"updated": time.time() - 3600}))
    assert RunRecord.existing(tmp_path).state == "interrupted"


def test_runs_are_compared_by_figures_and_fields(runs):
    said = done("compare", runs / "good", runs / "bad", "--json").answer

    assert said["differences"]["tile.cell.step"] == {"good": "0.001", "bad": "0.5"}
    assert set(said["differences"]) == {"seed", "tile.cell.step", "tile.cols"}
    table = done("compare", runs / "good", runs / "bad").out
    assert "tile.cell.step" in table
    assert "test accuracy" in table


def test_a_run_does_not_differ_from_itself(runs):
    assert "the configs are alike" in done("compare", runs / "good", runs / "good").out


def test_one_run_is_no_comparison(runs):
    assert "RUN must be given at least twice" in refused("compare", runs / "good")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_pictures_are_of_the_kind_that_is_asked_for(runs, tmp_path, suffix):
    begins = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}[suffix]
    done("plot", runs / "good", "--out", tmp_path / f"curve{suffix}")

    assert (tmp_path / f"curve{suffix}").read_bytes().startswith(begins)


def test_the_tests_of_all_runs_are_drawn(runs, tmp_path):
    done("compare", runs / "good", runs / "bad", "--plot", tmp_path / "both.svg")
    text = (tmp_path / "both.svg").read_text("utf-8")

    assert ">good<" in text
    assert ">bad<" in text


def test_other_kinds_of_pictures_are_refused(runs):
    rule = "must end in .png, .svg, .pdf, got a.gif"

    assert refused("plot", runs / "good", "--out", "a.gif") == f"error: --out {rule}"
    said = refused("compare", runs / "good", runs / "bad", "--plot", "a.gif")
    assert said == f"error: --plot {rule}"
