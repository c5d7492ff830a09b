"""Runs that end before their time, or lose checkpoints, and go on with the same bits."""

import shutil
import signal
import time

import pytest

from tests.fault_fixtures import (
    VICTIM,
    Row,
    cluster,
    ended_alike,
    hosts,
    interrupted,
    table,
    training,
    while_the_head_lives,
)
from tests.faults import DRAINED_EVERY, actor_of
from tests.hosts import DISK_BYTES, wait_for

__all__ = ["cluster", "hosts", "table"]  # fixtures

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.multinode]


@while_the_head_lives
def test_a_killed_coordinator_leaves_no_actor_and_its_run_goes_on(cluster, table, tmp_path):
    """From the newest checkpoint; from the one before where a byte of the newest was flipped."""
    run = training(cluster, tmp_path, "synchronous")
    run.wait_until_it_trains()
    assert cluster.actors()
    run.wait_until_it_saves()
    gone_s = killed(run)
    newest = run.checkpoints()[-1]
    before = time.time()
    run.resume()
    run.wait_until_it_trains(beyond=newest)
    resumed_s = time.time() - before
    reported = "SIGKILL of the coordinator (its actors are gone after); `crossmesh resume`"
    table.append(Row(reported, gone_s, resumed_s, None, f"resumed after {newest:,} examples"))
    assert f"resumed after {newest:,} examples" in run.notes

    killed(run)
    earlier, newest = run.checkpoints()[-2:]
    flip(sorted(run.newest().glob("tile*"))[3])

    ended_alike(run)
    assert f"checkpoint step-{newest:012d} is damaged and ignored" in run.notes
    assert f"resumed after {earlier:,} examples" in run.notes


def killed(run):
    """Kill the coordinator; seconds until its actors were gone."""
    run.process.kill()
    run.process.wait()
    return wait_for(lambda: not run.hosts.actors(), 20, "the actors' end")


def flip(path):
    """Flip one byte in the middle of a file."""
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 0xFF
    path.write_bytes(body)


@while_the_head_lives
def test_a_recovery_from_a_damaged_checkpoint_goes_back_to_the_one_before(cluster, tmp_path):
    run = training(cluster, tmp_path, "sequential", "checkpoint.every_s=600")
    run.wait_until_it_trains()
    victim, before = actor_of(cluster[VICTIM]), run.checkpoints()[-1]
    run.wait_for(lambda: run.checkpoints()[-1] > before, 30, "one more checkpoint")
    newest = run.newest()
    for path in newest.glob("tile*"):
        flip(path)

    victim.signal(signal.SIGKILL)  # before there is another, after an epoch

    run.wait_until_recovered(1)
    assert f"checkpoint {newest.name} is damaged and ignored" in run.notes
    assert f"recovered; {before} examples are trained" in run.notes
    interrupted(run, signal.SIGINT)
    ended_alike(run)


@while_the_head_lives
def test_a_full_disk_costs_checkpoints_and_nothing_else(cluster, tmp_path):
    storage = f"checkpoint.storage={cluster.disk}/run"
    run = training(cluster, tmp_path, "sequential", storage)
    run.wait_until_it_trains()
    filler = cluster.disk / "filler"
    with filler.open("wb") as file, pytest.raises(OSError, match="No space left"):
        file.write(bytes(DISK_BYTES))
    whole = run.checkpoints()
    run.wait_for(lambda: "cannot be written" in run.notes, 20, "a note")
    assert set(run.checkpoints()) & set(whole)

    actor_of(cluster[VICTIM]).signal(signal.SIGKILL)  # what is left must be usable
    run.wait_until_recovered(1)
    filler.unlink()
    run.wait_for(lambda: run.checkpoints()[-1] > whole[-1], 20, "a checkpoint after room was made")

    interrupted(run, signal.SIGINT)
    ended_alike(run)
    shutil.rmtree(run.storage)


@while_the_head_lives
def test_an_interrupted_run_loses_nothing(cluster, table, tmp_path):
    run = training(cluster, tmp_path, "asynchronous", "checkpoint.every_s=600")
    run.wait_until_it_trains()
    done = run.live["examples"]

    ended_s = interrupted(run, signal.SIGTERM)

    table.append(Row("SIGTERM (exit 130)", ended_s, ended_s, None, run.last_note))
    newest = run.checkpoints()[-1]
    # The asynchronous pipeline cannot be drained anywhere else without a change of the result.
    assert newest > done - DRAINED_EVERY
    ended_alike(run)
    assert f"resumed after {newest:,} examples" in run.notes


@while_the_head_lives
def test_an_interrupt_during_a_recovery_is_in_order(cluster, tmp_path):
    run = training(cluster, tmp_path, "synchronous")
    run.wait_until_it_trains()
    actor_of(cluster[VICTIM]).signal(signal.SIGKILL)
    run.wait_for(lambda: "; recovering" in run.notes, 20, "a recovery")

    interrupted(run, signal.SIGINT)

    ended_alike(run)
