"""Many losses in one run, drawn at random, and nothing lost.

A loss costs 4 to 12 s on two cores, until training goes on and a lost node is replaced, so 30 of
them take about five minutes: too long for every change. ``CROSSMESH_SOAK=30`` asks for as many.
"""

import os
import random
import signal
import time

import pytest

from tests.faults import (
    ACTORS,
    OFTEN,
    Training,
    freeze_actor,
    freeze_raylet,
    kill_actor,
    kill_raylet,
    undisturbed,
)
from tests.hosts import Hosts, wait_for, why_not

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.multinode]

N = int(os.environ.get("CROSSMESH_SOAK", "8"))
SEED = 20180607
EXAMPLES = 1438  # of an epoch
KINDS = {kill_actor: 5, freeze_actor: 2, kill_raylet: 2, freeze_raylet: 1}


@pytest.fixture
def hosts():
    if reason := why_not():
        pytest.skip(reason)
    with Hosts(3) as hosts:
        yield hosts


def has_actor(host) -> bool:
    """Whether something is lost with a host."""
    return any(not actor.is_frozen for actor in host.actors())


def lose(run, fault, host):
    """Do a fault, wait for the recovery, and replace the node if need be."""
    seen = run.live["recoveries"]
    fault(run, host)
    run.wait_until_recovered(seen + 1)
    if host.is_lost:
        run.hosts.replace(host)


def test_nothing_is_lost_in_a_run_with_many_losses(hosts, tmp_path):
    draw = random.Random(SEED)
    endless = ("training.epochs=100000", "engine.recoveries_per_hour=1000")
    run = Training(hosts, tmp_path, "training.batch=1", *ACTORS, *OFTEN, *endless)
    run.wait_until_it_trains()
    for _ in range(N):
        fault = draw.choices(list(KINDS), list(KINDS.values()))[0]
        lose(run, fault, draw.choice([host for host in list(hosts)[1:] if has_actor(host)]))
        time.sleep(draw.uniform(0, 2))  # a loss may meet a run that has just begun to train again
    run.process.send_signal(signal.SIGINT)
    assert run.stopped() == 130, run.all_notes
    wait_for(lambda: not hosts.actors(), 20, "the end of all actors")

    # However fast it was, it ends with the epoch that it was interrupted in.
    epochs = run.checkpoints()[-1] // EXAMPLES + 1
    run.resume("local", epochs)
    summary = run.end()
    assert summary["state_digest"] == undisturbed((*run.overrides, f"training.epochs={epochs}"))
    assert summary["emulation"]["recoveries"] == len(run.recoveries()) >= N
