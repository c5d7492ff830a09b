"""Studies on the nodes of a Ray cluster: the same table as here, though a node is killed."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from crossmesh import ConfigError, run_study, train
from crossmesh.cluster.launch.local import LocalNodes
from crossmesh.emulator.executors.remote import do_remotely
from crossmesh.emulator.study.plan import trials
from crossmesh.emulator.study.pool import ProcessTask
from crossmesh.emulator.study.portable import portable, put_in_place
from tests.emulator.study.study_material import study_of

ROOT = Path(__file__).parents[3]
ELSEWHERE = {"examples_per_s", "wall_s", "run", "config"}  # differ between places and times
CHILD = b"crossmesh.emulator.study.child"


def test_runs_that_use_ray_themselves_are_refused(tmp_path):
    study = study_of(tmp_path, set={"engine": {"kind": "ray"}}).changed(["engine.kind=ray"])

    with pytest.raises(ConfigError, match=r"--address must be left out .* got 10\.0\.0\.1:6379"):
        run_study(study, tmp_path / "out", address="10.0.0.1:6379")


@pytest.mark.slow
def test_a_task_takes_the_files_of_its_config_along_and_leaves_those_of_its_run(tmp_path):
    sizes = {"linear0": (16, 64), "linear1": (9, 16), "linear2": (10, 9)}
    shapes = {f"{name}.{part}": size[: 2 if part == "weight" else 1]
              for name, size in sizes.items() for part in ("weight", "bias")}  # fmt: skip
    draws = np.random.default_rng(0)
    weights = {name: 0.1 * draws.normal(size=shape) for name, shape in shapes.items()}
    np.savez(tmp_path / "given.npz", **weights)
    study = study_of(tmp_path, set={"weights": str(tmp_path / "given.npz")})
    (trial,) = trials(study, tmp_path / "out")
    task = ProcessTask(key="", name="", config=trial.config, folder=trial.folder,
                       log=trial.folder.with_suffix(".log"))  # fmt: skip
    arguments = portable(task)
    here = train(trial.config, tmp_path / "here")
    (tmp_path / "given.npz").unlink()
    _, *messages, left = do_remotely(*arguments)
    put_in_place(task, left)

    kind, summary = left.end
    assert kind == "result"
    assert {"note", "examples"} == {kind for kind, _ in messages}
    assert summary["state_digest"] == here.state_digest
    assert json.loads((trial.folder / "summary.json").read_text()) == summary
    assert names(trial.folder) == names(tmp_path / "here")


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.multinode
def test_a_cluster_without_tokens_is_refused_if_one_is_demanded_here(tmp_path):
    study_of(tmp_path)
    (tmp_path / "token").write_text("0123456789abcdef" * 4)
    cluster = subprocess.Popen(
        [sys.executable, "-m", "tests.ray_cluster", "1"],
        env=environment(RAY_AUTH_MODE="disabled"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    address = next(line for line in cluster.stdout if ":" in line).strip()
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(tmp_path / "token")}
    process = begun(tmp_path, address, **token)
    said, _ = process.communicate(timeout=100)
    cluster.communicate(timeout=60)

    assert process.returncode == 2, said
    assert said.startswith(
        f"error: RAY_AUTH_MODE must be the same here and on the nodes of {address}"
    )
    assert not (tmp_path / "there").exists()


@pytest.mark.cluster
@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.multinode
def test_a_killed_node_loses_no_run_and_the_table_is_that_of_one_core(tmp_path):
    study = study_of(tmp_path, seeds=[0, 1, 2], set={"training.epochs": 2})
    with LocalNodes(3, cpus_per_node=1) as cluster:
        process = begun(tmp_path, cluster.address, **cluster.environment)
        node = cluster.nodes[2]
        while process.poll() is None and not is_busy(node):
            time.sleep(0.2)
        for pid in node.pids:
            with contextlib.suppress(ProcessLookupError):  # some end with others
                os.kill(pid, signal.SIGKILL)
        said, _ = process.communicate(timeout=100)

    assert process.returncode == 0, said
    assert "; starting it again" in said
    run_study(study, tmp_path / "here", jobs=1)
    here, there = (
        pq.read_table(tmp_path / name / "results.parquet").to_pylist() for name in ("here", "there")
    )
    assert len(here) == 3
    assert without(here) == without(there)
    assert names(tmp_path / "here" / "runs") == names(tmp_path / "there" / "runs")


def environment(**changes):
    """This process's, without what another test may have set for Ray."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    return {**kept, "PYTHONPATH": str(ROOT), **changes}


def begun(folder, address, **variables):
    """The study, begun on a cluster."""
    command = ("-m", "crossmesh", "study", "tiny.yaml", "--output", "there")
    return subprocess.Popen(
        [sys.executable, *command, "--address", address],
        cwd=folder,
        env=environment(**variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def is_busy(node):
    """Whether a run is at work there: one whose input is a pipe from a process of the node."""
    workers = set(node.pids)
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            if parent in workers and CHILD in stat.with_name("cmdline").read_bytes():
                return True
        except OSError:
            continue  # ended meanwhile
    return False


def without(rows):
    return [{k: v for k, v in row.items() if k not in ELSEWHERE} for row in rows]


def names(folder):
    """Names of all files in a folder."""
    found = folder.rglob("*")
    return sorted(path.relative_to(folder).as_posix() for path in found if path.is_file())
