"""Runs that end before their time, or lose checkpoints, and go on with the same bits."""

import shutil
import signal
import time

import pytest

from tests.fault_fixtures import VICTIM, Row, cluster, hosts, nothing_is_left, table, training
from tests.faults import DRAINED_EVERY, actor_of, undisturbed
from tests.hosts import DISK_BYTES, wait_for

__all__ = ["cluster", "hosts", "table"]  # fixtures

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.multinode]


def test_a_killed_coordinator_leaves_no_actor_and_its_run_goes_on(cluster, table, tmp_path):
    run = training(cluster, tmp_path, "synchronous")
    run.wait_until_it_trains()
    assert cluster.actors()
    run.wait_until_it_saves()

    run.process.kill()
    run.process.wait()
    gone_s = wait_for(lambda: not cluster.actors(), 20, "the actors' end")
    before = time.time()
    run.resume()
    newest = run.checkpoints()[-1]
    run.wait_until_it_trains(beyond=newest)
    resumed_s = time.time() - before

    told = "SIGKILL of the coordinator (its actors are gone after); `crossmesh resume`"
    table.append(Row(told, gone_s, resumed_s, None, f"resumed after {newest} examples"))
    assert run.end()["state_digest"] == undisturbed(run.overrides)
    assert f"resumed after {newest} examples" in run.notes
    nothing_is_left(cluster, run)


def flip(path):
    """Flip one byte in the middle of a file."""
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 0xFF
    path.write_bytes(body)


def test_a_flipped_byte_is_noticed_and_the_checkpoint_before_is_used(cluster, tmp_path):
    run = training(cluster, tmp_path, "sequential")
    run.wait_until_it_trains()
    run.wait_until_it_trains(beyond=run.checkpoints()[-1])
    run.process.kill()
    run.process.wait()
    before, newest = run.checkpoints()[-2:]
    flip(sorted(run.newest().glob("tile*"))[3])

    run.resume()

    assert run.end()["state_digest"] == undisturbed(run.overrides)
    assert f"checkpoint step-{newest:012d} is damaged and not used" in run.notes
    assert f"resumed after {before} examples" in run.notes


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
    assert run.end()["state_digest"] == undisturbed(run.overrides)
    assert f"checkpoint {newest.name} is damaged and not used" in run.notes
    assert f"recovered; {before} examples are trained" in run.notes


def test_a_full_disk_costs_checkpoints_and_nothing_else(cluster, tmp_path):
    storage = f"checkpoint.storage={cluster.disk}/run"
    run = training(cluster, tmp_path, "sequential", storage, "training.epochs=24")
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

    assert run.end()["state_digest"] == undisturbed(run.overrides)
    shutil.rmtree(run.storage)


@pytest.mark.parametrize(
    ("number", "schedule"), [(signal.SIGINT, "synchronous"), (signal.SIGTERM, "asynchronous")]
)
def test_an_interrupted_run_loses_nothing(number, schedule, cluster, table, tmp_path):
    run = training(cluster, tmp_path, schedule, "checkpoint.every_s=600")
    run.wait_until_it_trains()
    done = run.live["examples"]
    before = time.time()

    run.process.send_signal(number)

    assert run.stopped() == 130, run.notes
    ended_s = time.time() - before
    # The asynchronous pipeline cannot be drained anywhere else without a change of the result.
    at_risk = DRAINED_EVERY - 1 if schedule == "asynchronous" else 0
    newest = run.checkpoints()[-1]
    assert newest >= done - at_risk
    nothing_is_left(cluster, run)
    table.append(Row(f"{number.name} (exit 130)", ended_s, ended_s, None, run.last_note))
    run.resume("local")
    assert run.end()["state_digest"] == undisturbed(run.overrides)
    assert f"resumed after {newest} examples" in run.notes


def test_an_interrupt_during_a_recovery_is_in_order(cluster, tmp_path):
    run = training(cluster, tmp_path, "synchronous")
    run.wait_until_it_trains()
    actor_of(cluster[VICTIM]).signal(signal.SIGKILL)
    run.wait_for(lambda: "; recovering" in run.notes, 20, "a recovery")

    run.process.send_signal(signal.SIGINT)

    assert run.stopped() == 130, run.notes
    assert run.last_note.startswith("interrupted; go on with: crossmesh resume")
    nothing_is_left(cluster, run)
    run.resume("local")
    assert run.end()["state_digest"] == undisturbed(run.overrides)
