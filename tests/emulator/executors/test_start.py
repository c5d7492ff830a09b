"""The start of a private instance: few processes, and none that outlives it."""

import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from crossmesh.common.supervision.processes import descendants
from crossmesh.emulator.executors import stand_in
from crossmesh.emulator.executors.engines import create
from tests.jobs import small_job

LONGEST_S = 60.0


def until(condition):
    deadline = time.monotonic() + LONGEST_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def lives(pid):
    """Whether a process is there and has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_stand_in_ends_with_its_parent():
    start = (
        "import subprocess, sys, time; "
        "print(subprocess.Popen(sys.argv[1:]).pid, flush=True); time.sleep(600)"
    )
    ours = (sys.executable, "-IS", stand_in.__file__)
    with subprocess.Popen(
        (sys.executable, "-c", start, *ours), stdout=subprocess.PIPE, text=True
    ) as parent:
        pid = int(parent.stdout.readline())
        time.sleep(2 * stand_in.LOOK_S)
        assert lives(pid)
        parent.kill()
    until(lambda: not lives(pid))


@pytest.mark.slow
@pytest.mark.ray
def test_a_private_instance_has_no_process_that_actors_do_not_need():
    before = set(descendants())
    with closing(create(small_job(engine={"kind": "ray", "actors": 2}))) as executor:
        executor.write_initial_weights()
        started = set(descendants()) - before
        words = [Path(f"/proc/{pid}/cmdline").read_text("utf-8") for pid in started]
    kinds = ("gcs_server", "raylet/raylet", "stand_in.py", "ray::TileActor", "ray::IDLE")
    of_each = [next((kind for kind in kinds if kind in each), each) for each in words]
    found = {kind: of_each.count(kind) for kind in kinds}

    assert set(of_each) <= set(kinds)
    assert found["gcs_server"] == found["raylet/raylet"] == 1
    assert found["stand_in.py"] == 2
    assert found["ray::TileActor"] == 2
    until(lambda: not any(map(lives, started)))


@pytest.mark.slow
@pytest.mark.ray
def test_nothing_outlives_a_process_that_is_killed():
    code = (
        "import time; from tests.jobs import small_job; "
        "from crossmesh.common.supervision.processes import descendants; "
        "from crossmesh.emulator.executors.engines import create; "
        "create(small_job(engine={'kind': 'ray', 'actors': 2})); "
        "print(*descendants(), flush=True); time.sleep(600)"
    )
    with subprocess.Popen((sys.executable, "-c", code), stdout=subprocess.PIPE, text=True) as run:
        started = [int(pid) for pid in run.stdout.readline().split()]
        run.kill()
    assert started
    until(lambda: not any(map(lives, started)))
