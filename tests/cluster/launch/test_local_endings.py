"""Launches here, and on a cluster that others started, that are ended at random moments."""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import yaml

from crossmesh.cluster.launch.local import LocalNodes
from tests.hosts import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.multinode]
ROOT = Path(__file__).parents[3]
ENDINGS = int(os.environ.get("CROSSMESH_ENDINGS", "3"))
LATEST_S = 16  # when a run has long begun to train
IDLE = ("ray::IDLE", "ray::DashboardAgent", "ray::RuntimeEnvAgent")  # a node has these at any time


@pytest.fixture
def folder():
    """A folder whose path leaves room for sockets."""
    with tempfile.TemporaryDirectory(prefix="c-") as path:
        yield Path(path)


@pytest.fixture(scope="module")
def others():
    """A cluster that others started."""
    with LocalNodes(2) as nodes:
        yield nodes


def ended(seed, folder, cluster):
    """A launch that is ended somehow at some moment; its exit code and what it said."""
    chance = random.Random(seed)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    launch = subprocess.Popen(
        [sys.executable, "-m", "crossmesh", "launch", cluster, "digits", "--epochs", "4000"],
        cwd=folder, env={**kept, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    time.sleep(chance.uniform(0, LATEST_S))
    launch.send_signal(chance.choice([signal.SIGINT, signal.SIGTERM, signal.SIGKILL]))
    _, errors = launch.communicate(timeout=120)
    return launch.returncode, errors


def processes(folder):
    """Processes whose temporary files are there."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"TMPDIR={folder}".encode() in (process / "environ").read_bytes().split(b"\0"):
                found.append(command_line(process.name))
        except OSError:  # it has ended
            continue
    return found


def actors(nodes):
    """Command lines of a cluster's processes in which an actor or task lives, by Ray's titles."""
    lines = [command_line(pid) for node in nodes.nodes for pid in node.pids]
    return [line for line in lines if line.startswith("ray::") and not line.startswith(IDLE)]


def command_line(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:  # it has ended
        return ""


def assert_nothing_is_left(folder, code, errors):
    assert code in {130, -signal.SIGINT, -signal.SIGTERM, -signal.SIGKILL}, errors
    assert "Traceback" not in errors
    wait_for(lambda: processes(folder) == [], 60, f"the end of {processes(folder)}")
    assert [path.name for path in folder.glob("crossmesh-*")] == []


@pytest.mark.parametrize("seed", range(ENDINGS))
def test_nothing_is_left_on_this_machine(seed, folder):
    assert_nothing_is_left(folder, *ended(seed, folder, "local"))


@pytest.mark.parametrize("seed", range(ENDINGS))
def test_nothing_is_left_on_a_cluster_of_others(seed, folder, others):
    tree = {"kind": "existing", "address": others.address,
            "token": others.environment["RAY_AUTH_TOKEN_PATH"]}  # fmt: skip
    (folder / "lab.yaml").write_text(yaml.safe_dump(tree))
    assert_nothing_is_left(folder, *ended(seed, folder, "lab.yaml"))
    wait_for(lambda: actors(others) == [], 60, f"the end of {actors(others)}")
