"""A run and its report, made once."""

import pytest

from tests.emulator.commands.shell import done

SMALL = ["--engine", "local", "--quiet", "--examples", "400", "--epochs", "3"]


def train(folder, name, *fields):
    """What training says that leaves a small run of digits in a folder."""
    options = [word for field in fields for word in ("--set", field)]
    return done("train", "digits", *SMALL, "--run-dir", folder / name, *options)


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """Folder of a run that has learnt, and of one whose devices cannot."""
    folder = tmp_path_factory.mktemp("runs")
    train(folder, "good", "tile.rows=40", "tile.cols=8", "chip.model=analytic")
    said = train(folder, "bad", "tile.cell.step=0.5", "seed=2", "chip.model=analytic")
    assert "the analog training has failed" in said.out
    assert "likely cause: coarse steps" in said.out
    return folder


@pytest.fixture(scope="session")
def reported(runs):
    """The report of both runs."""
    done("report", runs / "good", runs / "bad", "--out", runs / "both.html", "--quiet")
    return runs / "both.html"
