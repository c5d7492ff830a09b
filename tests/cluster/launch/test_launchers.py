"""Kinds of clusters that are not ours: a cluster's file names them, and they launch like ours."""

from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pytest
import yaml
from pydantic import Field

import crossmesh
from crossmesh.cluster.launch.files import SCRIPT, File, LaunchPlan
from crossmesh.cluster.launch.generated import GeneratedCluster
from crossmesh.cluster.launch.kinds import LAUNCHERS
from crossmesh.cluster.launch.launcher import ClusterAtHand, Launcher
from crossmesh.cluster.launch.loading import load_cluster
from crossmesh.cluster.launch.scripts import config_files
from crossmesh.common.errors import ConfigError
from tests.cluster.launch.launch_material import app


class Queue(GeneratedCluster):
    """A batch system whose jobs run at once."""

    kind: Literal["mine.queue"] = "mine.queue"
    nodes: int = Field(2, ge=1)
    tool: str = "bash"

    def plan(self, order, folder):
        script = f"echo {self.kind} {order.config.seed} > {folder}/ran\nexit 3\n"
        files = (File("go.sh", script, SCRIPT), *config_files(order))
        end = "queue end"
        return LaunchPlan(folder, files, "go.sh", (self.tool,), f"End it with: {end}", end)


class Lab(ClusterAtHand):
    """A cluster that is found by asking."""

    kind: Literal["mine.lab"] = "mine.lab"
    nodes: int = Field(1, ge=1)

    @property
    def described(self):
        return "lab:6379", "in the lab"

    @contextmanager
    def reached(self, *, quiet):
        yield "lab:6379", {"CROSSMESH_TEST_LAB": "yes"}


@pytest.fixture(autouse=True)
def mine(monkeypatch, tmp_path):
    """Registers the kinds for a test, in an empty working folder."""
    monkeypatch.setattr(LAUNCHERS, "_kinds", dict(LAUNCHERS._kinds))
    for kind in (Queue, Lab):
        crossmesh.launchers.register(kind.model_fields["kind"].default, kind)
    monkeypatch.chdir(tmp_path)


def cluster(**fields):
    Path("mine.yaml").write_text(yaml.safe_dump(fields))
    return "mine.yaml"


def test_our_own_kinds_are_in_the_registry():
    ours = ["local", "existing", "on-premises", "aws", "gcp", "kubernetes", "slurm"]
    assert list(LAUNCHERS)[:7] == ours
    assert all(issubclass(kind, Launcher) for kind in LAUNCHERS.values())


def test_files_of_another_kind_are_written_and_their_script_is_run(tmp_path, capfd):
    code = app([cluster(kind="mine.queue"), "digits", "--seed", "7"], standalone_mode=False)
    (folder,) = (tmp_path / "launched").glob("cluster-digits-*")

    assert code == 3
    assert (folder / "ran").read_text() == "mine.queue 7\n"
    assert yaml.safe_load((folder / "run.yaml").read_text())["engine"]["nodes"] == 2
    assert f"launch {folder.name}: files in launched/{folder.name}" in capfd.readouterr().err


def test_the_training_starts_from_here_on_a_cluster_of_another_kind_at_hand(monkeypatch, capsys):
    calls = []
    monkeypatch.setattr(
        "crossmesh.cluster.launch.launcher.app", lambda words, **_: calls.append(words)
    )
    monkeypatch.setenv("CROSSMESH_TEST_LAB", "no")
    app([cluster(kind="mine.lab", data_dir="/there"), "digits"], standalone_mode=False)

    ((verb, source, *options),) = calls
    assert (verb, source) == ("train", "digits")
    assert options[:6] == ["--engine", "ray", "--address", "lab:6379", "--data-dir", "/there"]
    app(["mine.yaml", "digits", "--dry-run"], standalone_mode=False)
    assert capsys.readouterr().out.startswith("Would train in the lab:\ncrossmesh train digits ")


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"kind": "mine.queue", "nodes": 0}, "mine.yaml: nodes must be at least 1, got 0"),
        ({"kind": "mine.queue", "nodse": 1}, "mine.yaml: nodse is unknown; did you mean nodes?"),
        ({"kind": "mine.other"}, "mine.yaml: kind must be one of local, existing, "),
    ],
)
def test_mistakes_in_their_fields_are_one_line_like_ours(fields, rule):
    with pytest.raises(ConfigError) as error:
        load_cluster(cluster(**fields))
    assert str(error.value).startswith(rule)


def test_a_program_that_another_kind_needs_is_named():
    rule = "launching on mine.queue requires the program no-such, which is not on PATH"
    with pytest.raises(ConfigError, match=rule):
        app([cluster(kind="mine.queue", tool="no-such"), "digits"], standalone_mode=False)
