"""Tiles that move while a run trains: onto nodes that join, and in even shares; bits stay."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from crossmesh.cluster.launch.local import LocalNodes

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.multinode]

ROOT = Path(__file__).parents[3]
COMMAND = (sys.executable, "-m", "crossmesh")
GREW = "grew from 1 to 2 tile hosts, on 2 nodes; "
SPREAD = "spread 2 tile hosts over more CPUs, on 2 nodes; "


def environment(**changes):
    kept = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    return {**kept, "PYTHONPATH": str(ROOT), "COLUMNS": "200", **changes}


def crossmesh(*arguments, cwd):
    command = [*COMMAND, *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, env=environment(), capture_output=True, text=True,
                          check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


class Running:
    """A run that is waited for by what it says."""

    def __init__(self, cwd, *options, **variables):
        self.said = cwd / "said"
        with self.said.open("wb") as said:
            self._run = subprocess.Popen(
                [*COMMAND, "train", *options, "--epochs", "100000"],
                cwd=cwd, env=environment(**variables), stdout=said, stderr=said,
            )  # fmt: skip

    def wait_for(self, words, within_s=400):
        deadline = time.monotonic() + within_s
        while words not in self.said.read_text():
            assert self._run.poll() is None, self.said.read_text()
            assert time.monotonic() < deadline, f"not said: {words}\n{self.said.read_text()}"
            time.sleep(0.1)

    def end(self):
        self._run.send_signal(signal.SIGINT)
        assert self._run.wait(120) == 130, self.said.read_text()

    def kill(self):
        self._run.kill()
        self._run.wait()


def on(cluster):
    return ("digits", "--engine", "ray", "--address", cluster.address)


def assert_same_bits(folder, config, n_train):
    """The end of an epoch is the same, whether its run has moved tiles or not."""
    checkpoints = (folder / "runs" / config.removesuffix(".yaml") / "checkpoints").glob("step-*")
    done = int(max(checkpoints).name.removeprefix("step-"))
    more = ("--engine", "local", "--epochs", done // n_train + 1, "--json", "--quiet")
    resumed = crossmesh("resume", f"runs/{config.removesuffix('.yaml')}", *more, cwd=folder)
    plain = ("--set", "training.baseline=false", "--run-dir", "whole")
    whole = crossmesh("train", config, *more, *plain, cwd=folder)
    assert resumed["state_digest"] == whole["state_digest"]


def test_a_run_grows_onto_nodes_that_join_and_keeps_its_bits(tmp_path):
    with LocalNodes(1) as cluster:
        options = ("--set=engine.grow=true", "--set=checkpoint.every_s=1")
        run = Running(tmp_path, *on(cluster), *options, **cluster.environment)
        try:
            run.wait_for("epoch 2")
            second = cluster.add()
            run.wait_for(GREW)
            os.kill(second.raylet_pid, signal.SIGKILL)
            run.wait_for("recovered; ")
            cluster.add()
            run.wait_for(SPREAD)
            run.end()
        finally:
            run.kill()

    assert_same_bits(tmp_path, "digits", 1438)


def test_a_run_that_may_not_grow_stays_where_it_is(tmp_path):
    with LocalNodes(1) as cluster:
        run = Running(tmp_path, *on(cluster), **cluster.environment)
        try:
            run.wait_for("epoch 2")
            core = min(os.sched_getaffinity(0))
            assert os.sched_getaffinity(cluster.add(cores=[core]).raylet_pid) == {core}
            so_far = run.said.read_text().count("epoch ")
            deadline = time.monotonic() + 5  # twice as long as a growing run would take
            while time.monotonic() < deadline or run.said.read_text().count("epoch ") < so_far + 9:
                time.sleep(0.1)
            run.end()
        finally:
            run.kill()

    assert "tile hosts" not in run.said.read_text()


UNEVEN = """
name: uneven
data: {source: digits}
network:  # most work is in the first six layers, most bytes in the seventh
  - {kind: conv, outputs: 8, kernel: 3, padding: 1, activation: tanh}
  - {kind: conv, outputs: 8, kernel: 3, padding: 1, activation: tanh}
  - {kind: conv, outputs: 8, kernel: 3, padding: 1, activation: tanh}
  - {kind: conv, outputs: 8, kernel: 3, padding: 1, activation: tanh}
  - {kind: conv, outputs: 8, kernel: 3, padding: 1, activation: tanh}
  - {kind: conv, outputs: 8, kernel: 3, padding: 1, activation: tanh}
  - {kind: linear, outputs: 256, activation: tanh}
  - {kind: linear, outputs: 10, activation: softmax}
training: {batch: 64, micro_batch: 8, schedule: synchronous, examples: 512, test_examples: 64,
           learning_rate: 0.001}
tile: {rows: 160, cols: 128, cell: {kind: constant_step}}
engine: {actors: 2}
"""


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs a CPU for each of two actors")
def test_tiles_of_unevenly_busy_actors_move_and_keep_their_bits(tmp_path):
    (tmp_path / "uneven.yaml").write_text(UNEVEN)
    run = Running(tmp_path, "uneven.yaml", "--engine", "ray")
    try:
        run.wait_for("rebalanced 2 tile hosts: the busiest had ")
        run.end()
    finally:
        run.kill()

    assert_same_bits(tmp_path, "uneven.yaml", 512)
