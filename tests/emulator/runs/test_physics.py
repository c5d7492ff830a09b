"""Versions of the physics: no run continues under another one, though its weights can be read."""

import hashlib
import json
import shutil
import sys

import msgpack
import numpy as np
import pytest

from crossmesh.common.version import CHANGES, PHYSICS, changes_since
from crossmesh.emulator.cli import main
from crossmesh.emulator.runs.directory import RunDirectory
from crossmesh.emulator.study.plan import Trial
from crossmesh.tiles.runtime.tile_file import Misfit, check_arrays
from tests.jobs import steps

TINY = ["--engine", "local", "--examples", "40", "--epochs", "1", "--quiet"]


@pytest.fixture
def run(monkeypatch, capsys):
    """The command within this process: exit code, standard output, standard error."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["crossmesh", *map(str, arguments)])
        return main.run(), *capsys.readouterr()

    return run


@pytest.fixture
def trained(run, tmp_path):
    """A run of one epoch."""
    path = tmp_path / "run"
    assert run("train", "digits", *TINY, "--run-dir", path)[0] == 0
    return path


def rewrite(run_dir, physics):
    """Have every manifest say that it is of other physics, None: leave the field out."""
    for folder in steps(run_dir):
        path = folder / "manifest.msgpack"
        manifest = msgpack.unpackb(msgpack.unpackb(path.read_bytes())["body"])
        assert manifest.pop("physics") == PHYSICS
        if physics is not None:
            manifest["physics"] = physics
        body = msgpack.packb(manifest)
        path.write_bytes(msgpack.packb({"sha256": hashlib.sha256(body).hexdigest(), "body": body}))


def test_every_version_says_what_changed():
    assert sorted(CHANGES) == list(range(2, PHYSICS + 1))
    for lines in CHANGES.values():
        assert lines
        assert not any(c in line for line in lines for c in ";\n")
    assert changes_since(PHYSICS) == ""
    assert all(line in changes_since(1) for lines in CHANGES.values() for line in lines)


def test_the_summary_names_the_physics(trained):
    assert json.loads((trained / "summary.json").read_text())["physics"] == PHYSICS


@pytest.mark.parametrize(
    ("physics", "said"),
    [
        (None, f"physics 1, since which: {changes_since(1)};"),
        (1, f"physics 1, since which: {changes_since(1)};"),
        (PHYSICS + 1, f"physics {PHYSICS + 1}, which this version of crossmesh does not know;"),
    ],
)
def test_a_run_of_another_physics_is_not_resumed(run, trained, physics, said):
    rewrite(trained, physics)
    before = {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()}

    code, out, error = run("resume", trained, "--epochs", "2", "--quiet")

    assert (code, out) == (2, "")
    assert error == (
        f"error: RUN must have been started under physics {PHYSICS} to be resumed, got "
        f"{steps(trained)[-1].name} of {said} train again from its config.yaml\n"
    )
    assert before == {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()}
    code, _, error = run("train", trained / "config.yaml", "--run-dir", f"{trained}-again", *TINY)
    assert (code, error) == (0, "")


def test_what_a_run_of_another_physics_has_learned_can_be_read(run, trained, tmp_path):
    arguments = ["evaluate", trained, "--json", "--engine", "local"]
    _, wanted, _ = run(*arguments)
    run("export", trained, "--npz", tmp_path / "wanted.npz", "--quiet")
    rewrite(trained, None)

    code, tested, notes = run(*arguments)
    assert (code, json.loads(tested)) == (0, json.loads(wanted))
    assert "was trained under physics 1, since which: noise no longer" in " ".join(notes.split())
    assert run("export", trained, "--npz", tmp_path / "got.npz", "--quiet")[0] == 0
    with np.load(tmp_path / "wanted.npz") as wanted, np.load(tmp_path / "got.npz") as got:
        assert wanted.files == got.files
        assert all(np.array_equal(wanted[name], got[name]) for name in got.files)


def test_under_another_physics_arrays_are_compared_in_place_of_the_config(run, trained):
    rewrite(trained, None)
    path = trained / "config.yaml"
    text = path.read_text()
    path.write_text(other := text.replace("learning_rate: 0.02", "learning_rate: 0.04"))
    assert text != other
    assert run("evaluate", trained, "--engine", "local", "--quiet")[0] == 0

    path.write_text(other := text.replace("outputs: 48", "outputs: 47"))
    assert text != other
    code, _, error = run("evaluate", trained, "--engine", "local", "--quiet")
    assert code == 2
    assert "error: RUN must hold the arrays that this version gives its tiles, got step-" in error
    assert "of physics 1: tile-000000.arrow has conductance_0 (40, 48), its tile (40, 47);" in error


def test_arrays_that_a_tile_does_not_have_are_named():
    one = np.zeros((2, 3))
    with pytest.raises(Misfit, match=r"^a\.arrow has seen nowhere, its tile \(2, 3\)$"):
        check_arrays("a.arrow", {"g": one}, {"g": one, "seen": one})
    check_arrays("a.arrow", {"g": one}, {"g": one})


def test_a_study_takes_over_no_run_of_another_physics(run, trained, tmp_path):
    trial = Trial(
        title="t", label="t", source="digits", varied={}, fields={},
        config=RunDirectory(trained).config(), directory=tmp_path / "study",
    )  # fmt: skip
    shutil.copytree(trained, trial.folder)
    assert trial.summary is not None
    path = trial.folder / "summary.json"
    summary = json.loads(path.read_text())
    path.write_text(json.dumps({**summary, "physics": PHYSICS - 1}))
    assert trial.summary is None
    del summary["physics"]
    path.write_text(json.dumps(summary))
    assert trial.summary is None
