"""Launches on Slurm's own programs: what becomes of a run, whatever befalls its job."""

import os
import random
import signal
import subprocess
import time

import pytest

from tests.cluster.launch.slurm_jobs import leftovers, written
from tests.cluster.machines import wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
LONG = ("training.epochs=60", "checkpoint.every_s=1")  # about half a minute


def test_a_launch_trains_to_its_end(launch, slurm):
    run = launch("training.epochs=3").start()
    assert run.code == 0, run.errors

    assert run.await_end() == "COMPLETED", run.log
    assert run.digest == run.expected_digest
    assert "4 Ray actors on 2 node(s)" in run.log
    assert "dump" not in run.log.lower()
    wait_for(lambda: not leftovers(slurm), 20, f"nothing left: {leftovers(slurm)}")
    assert f"{run.name}: done" in run.status
    written("A launch", [run])


def test_an_asked_end_saves_the_state(launch, slurm):
    run = launch(*LONG).start()
    run.await_log("epoch 2:")
    assert f"{run.name}: running" in run.status
    run.crossmesh("cancel")

    assert run.await_end() == "CANCELLED", run.log
    assert "interrupted; resume with" in run.log
    assert f"{run.name}: cancelled (exit code 130)" in run.status
    wait_for(lambda: not leftovers(slurm), 20, f"nothing left: {leftovers(slurm)}")
    written("TERM, by crossmesh cancel", [run])

    slurm.login.run("sbatch", "job.sbatch", cwd=run.folder)
    wait_for(lambda: not slurm.jobs(), 180, "the end of the resumed run")
    assert run.digest == run.expected_digest


def test_queued_launches_keep_their_own_files(launch, slurm, blocker):
    runs = [launch("training.epochs=2", f"seed={seed}").start() for seed in (3, 4)]
    assert [run.state for run in runs] == ["PENDING"] * 2
    blocker.kill()

    for run, seed in zip(runs, (3, 4), strict=True):
        run.await_state("COMPLETED")
        assert run.summary["seed"] == seed
        assert run.digest == run.expected_digest
    written("Two queued launches with different seeds", runs)


def test_jobs_share_nodes(launch, slurm):
    runs = [launch("training.epochs=40", f"seed={s}", cpus_per_node=1).start() for s in (3, 4)]
    for run in runs:
        run.await_log("epoch 2:")
    assert [run.state for run in runs] == ["RUNNING"] * 2

    for run in runs:
        run.await_state("COMPLETED")
        assert run.digest == run.expected_digest
    written("Two jobs on the same nodes at the same time", runs)


def test_a_signal_before_the_training_is_not_lost(launch, slurm):
    run = launch(*LONG).start()
    run.await_state("RUNNING")
    run.await_log("crossmesh: job")
    run.signal("TERM")

    assert run.await_end() == "CANCELLED"
    assert "epoch 1:" not in run.log
    wait_for(lambda: not leftovers(slurm), 20, f"nothing left: {leftovers(slurm)}")
    written("TERM before the training", [run])


def test_what_a_cancelled_job_has_left_does_not_stop_the_next(launch, slurm):
    first = launch(*LONG).start()
    first.await_log("epoch 2:")
    slurm.login.run("scancel", first.number)
    second = launch("training.epochs=2").start()

    second.await_state("COMPLETED")
    assert first.state == "CANCELLED"
    written("A plain scancel, and the next launch at once", [first, second])


def test_code_is_shipped_as_it_was_at_the_launch(launch, slurm, blocker):
    run = launch("training.epochs=2", code="shipped", activate=["unset PYTHONPATH"]).start()
    with (run.folder / "node/code/crossmesh/__init__.py").open("a") as package:
        package.write("print('this is the copy')\n")
    blocker.kill()

    run.await_state("COMPLETED")
    assert "this is the copy" in run.log
    assert run.digest == run.expected_digest


@pytest.mark.parametrize("changes", [{"partition": "mein"}, {"cpus_per_node": 64}])
def test_a_launch_that_slurm_would_refuse_or_never_start_is_refused(changes, launch, slurm):
    refused = launch(**changes).start()

    assert refused.code == 2
    assert refused.errors.count("error: ") == 1
    assert slurm.jobs() == []
    ((field, value),) = changes.items()
    written(f"Refused: {field}: {value}", [refused])


@pytest.mark.parametrize("seed", range(int(os.environ.get("CROSSMESH_ENDINGS", "4"))))
def test_a_launch_that_is_ended_at_any_moment_leaves_nothing(seed, launch, slurm):
    """While it is checked, submitted, queued, started or trained."""
    at_s = random.Random(seed).uniform(0, (2, 6, 20, 40)[seed % 4])
    run = launch(*LONG)
    process = run.begin()
    try:
        run.finish(process, at_s)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        run.finish(process)
    if run.code == 0:
        time.sleep(max(0.0, at_s - run.took_s))
        run.crossmesh("cancel")
    assert run.code in {0, 130}, run.errors
    wait_for(lambda: not leftovers(slurm), 60, f"nothing left: {leftovers(slurm)}")
