"""The run directory: one run at a time, nothing left behind by what never began."""

import os
import subprocess
import sys

import pytest
import yaml

from crossmesh import RunDirectory, train
from crossmesh.common.errors import ConfigError, RunLost
from crossmesh.emulator.config.loading import dumped
from tests.jobs import small_config, steps

COMMAND = (sys.executable, "-m", "crossmesh", "train")


def test_a_folder_that_is_left_empty_is_removed_again(tmp_path):
    directory = RunDirectory(tmp_path / "runs" / "deep" / "run")
    with directory.held(new=True):
        assert directory.path.is_dir()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_in_it_stays(tmp_path):
    directory = RunDirectory(tmp_path / "run")
    with directory.held(new=True):
        (directory.path / "config.yaml").write_text("")
    assert (directory.path / "config.yaml").exists()


def test_two_runs_never_share_a_folder(tmp_path):
    with RunDirectory(tmp_path / "run").held(new=True):
        with pytest.raises(ConfigError, match="directory must not be in use by another run, got "):
            train(small_config(), tmp_path / "run")
        with pytest.raises(ConfigError, match="must not be in use"):
            train(small_config(), tmp_path / "run", resume=True)
        with (second := RunDirectory(tmp_path / "run", numbered=True)).held(new=True):
            assert second.path == tmp_path / "run-2"


def test_a_run_never_overwrites_another(tmp_path):
    first = train(small_config(), tmp_path / "run")
    with pytest.raises(ConfigError, match="directory must be new or empty, got "):
        train(small_config(seed=2), tmp_path / "run")
    assert RunDirectory(tmp_path / "run").config().seed == first.seed


@pytest.mark.slow
def test_runs_started_together_all_survive(tmp_path):
    (tmp_path / "small.yaml").write_text(dumped(small_config()))
    runs = [
        subprocess.Popen(
            [*COMMAND, "small.yaml", "--seed", str(seed), "--quiet"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": os.getcwd()},  # noqa: PTH109  because it is a variable
            stdout=subprocess.DEVNULL,
        )
        for seed in range(4)
    ]
    assert [run.wait(120) for run in runs] == [0] * 4
    configs = [
        yaml.safe_load((folder / "config.yaml").read_text())
        for folder in (tmp_path / "runs").iterdir()
    ]
    assert sorted(config["seed"] for config in configs) == [0, 1, 2, 3]


@pytest.mark.parametrize("place", ["file", "file/run", "/proc/no/run"])
def test_a_place_that_cannot_be_written_is_refused(place, tmp_path):
    (tmp_path / "file").write_text("precious")
    with pytest.raises(ConfigError, match="directory must be a folder that can be written, got "):
        train(small_config(), tmp_path / place)
    assert (tmp_path / "file").read_text() == "precious"


def test_a_full_disk_is_told_in_one_line_with_the_way_on(tmp_path, monkeypatch):
    """The disk fills up after the first checkpoint, and stays so until the end."""
    directory = RunDirectory(tmp_path / "run")
    write = RunDirectory.write_metrics

    def fill(self, rows):
        if steps(self.path):
            with self.writing():
                raise OSError(28, "No space left on device")
        write(self, rows)

    monkeypatch.setattr(RunDirectory, "write_metrics", fill)
    with pytest.raises(RunLost) as failure:
        train(small_config(), directory)
    assert str(failure.value) == (
        f"{directory.path} cannot be written: No space left on device; "
        f"resume with: crossmesh resume {directory.path}"
    )
