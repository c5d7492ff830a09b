"""Many losses in one run, drawn at random, and nothing lost.

A loss costs 4 to 15 s on two cores, so that 30 take about five minutes: too long for every change.
``CROSSMESH_SOAK=30`` asks for as many; without it there are fewer.
"""

import os
import random
import time

import pytest

from tests.faults import (
    ACTORS,
    OFTEN,
    SCHEDULES,
    Training,
    freeze_actor,
    freeze_raylet,
    kill_actor,
    kill_raylet,
    undisturbed,
)
from tests.hosts import Hosts, wait_for, why_not

pytestmark = [pytest.mark.slow, pytest.mark.multinode]

N = int(os.environ.get("CROSSMESH_SOAK", "8"))
EPOCHS_PER_LOSS = 5
SEED = 20180607
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


def test_nothing_is_lost_in_a_run_with_many_losses(hosts, tmp_path):
    draw = random.Random(SEED)
    run = Training(
        hosts, tmp_path, *SCHEDULES["synchronous"], *ACTORS, *OFTEN,
        f"training.epochs={N * EPOCHS_PER_LOSS}", "engine.recoveries_per_hour=1000",
    )  # fmt: skip
    run.wait_until_it_trains()
    for _ in range(N):
        fault = draw.choices(list(KINDS), list(KINDS.values()))[0]
        host = draw.choice([host for host in list(hosts)[1:] if has_actor(host)])
        seen = run.live["recoveries"]
        fault(run, host)
        run.wait_until_recovered(seen + 1)
        if host.is_lost:
            hosts.replace(host)
        time.sleep(draw.uniform(0, 2))  # a loss may meet a run that has just begun to train again

    summary = run.end(within_s=300)

    assert summary["state_digest"] == undisturbed(run.overrides)
    assert summary["emulation"]["recoveries"] >= N
    assert len(run.recoveries()) == summary["emulation"]["recoveries"]
    wait_for(lambda: not hosts.actors(), 20, "the end of all actors")
