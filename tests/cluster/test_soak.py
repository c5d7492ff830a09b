"""Many losses in one run, drawn at random, and nothing lost.

A loss costs 4 to 12 s on two cores, until training goes on and a lost node is replaced, so 30 of
them take about five minutes: too long for every change, where runs of test_faults.py have
three each. ``CROSSMESH_SOAK=30`` asks for as many.
"""

import os
import random
import signal
import time

import pytest

from tests.fault_fixtures import ended_alike, interrupted, training
from tests.faults import freeze_actor, freeze_raylet, kill_actor, kill_raylet
from tests.hosts import Hosts, why_not

N = int(os.environ.get("CROSSMESH_SOAK", "0"))
pytestmark = [
    pytest.mark.slow, pytest.mark.ray, pytest.mark.multinode,
    pytest.mark.skipif(N == 0, reason="takes minutes: CROSSMESH_SOAK=30 has 30 losses in one run"),
]  # fmt: skip

SEED = 20180607
# Lines move after every vector, so that losses meet transfers, and digital memory beside tiles.
TRANSFERS = (
    "training.algorithm={extends: agad-reram}", "tile.cell={extends: reram-sb-gong-2018}",
)  # fmt: skip
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
    often = "engine.recoveries_per_hour=1000"
    run = training(hosts, tmp_path, "sequential", "training.batch=1", often, *TRANSFERS)
    run.wait_until_it_trains()
    for _ in range(N):
        fault = draw.choices(list(KINDS), list(KINDS.values()))[0]
        lose(run, fault, draw.choice([host for host in list(hosts)[1:] if has_actor(host)]))
        time.sleep(draw.uniform(0, 2))  # a loss may meet a run that has just begun to train again
    interrupted(run, signal.SIGINT)

    assert ended_alike(run)["emulation"]["recoveries"] >= N
