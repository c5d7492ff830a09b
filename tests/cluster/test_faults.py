"""Whatever is lost while a run trains, it ends with the chip that it would have had anyway."""

import json
import signal
import time

import pytest

from tests.fault_fixtures import (
    TABLE,
    VICTIM,
    Row,
    cluster,
    ended_alike,
    hosts,
    interrupted,
    nothing_is_left,
    table,
    training,
    while_the_head_lives,
)
from tests.faults import FAULTS, undisturbed

__all__ = ["cluster", "hosts", "table"]  # fixtures

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.multinode]

# Promised on a quiet machine, so they are asserted only where the table is written.
NODE_NOTICED_S, NODE_RESUMED_S = 5.0, 20.0
NOTICED_S, RESUMED_S = 12.0, 30.0  # of all other losses
# What befalls one run after the other. A lost node leaves its host without an actor, so it is last.
LOSSES = [
    ("sequential", ("kill_actor", "freeze_actor_that_saves", "cut_cable")),
    ("synchronous", ("freeze_actor", "kill_actors_in_turn", "kill_raylet")),
    ("asynchronous", ("kill_actor_that_saves", "reset_channel", "freeze_raylet")),
    ("sequential", ("silence_channels",)),
]


def test_every_fault_befalls_a_run():
    assert sorted(FAULTS) == sorted(name for _, names in LOSSES for name in names)


@pytest.mark.parametrize(("schedule", "names"), LOSSES)
@while_the_head_lives
def test_losses_change_nothing(schedule, names, cluster, table, tmp_path):
    run = training(cluster, tmp_path, schedule)
    run.wait_until_it_trains()
    for name in names:
        table.append(lost(run, name, cluster[VICTIM]))
    done = run.live["examples"]
    ended_s = interrupted(run, signal.SIGINT)
    if schedule != "asynchronous":  # which can be drained only now and then
        assert run.checkpoints()[-1] >= done
    table.append(Row("SIGINT (exit 130)", ended_s, ended_s, None, run.last_note))

    assert ended_alike(run)["emulation"]["recoveries"] >= len(names)


def lost(run, name, victim):
    """Do a fault, wait until the run trains again, and give a lost node back; the table's row."""
    fault, earlier = FAULTS[name], run.live["recoveries"]
    before = time.time()

    fault(run, victim)

    if name.endswith("_that_saves"):
        before = time.time()
    run.wait_until_recovered(earlier + 1)
    is_node = victim.is_lost
    if is_node:
        run.hosts.replace(victim)
    run.wait_until_it_trains(beyond=run.checkpoints()[-1])
    row = run.recoveries()[earlier]
    noticed_s, resumed_s = row["time_s"] - before, row["resumed_s"] - before
    assert -0.1 <= noticed_s <= resumed_s
    if TABLE:
        assert noticed_s <= (NODE_NOTICED_S if is_node else NOTICED_S), name
        assert resumed_s <= (NODE_RESUMED_S if is_node else RESUMED_S), name
    reported = (fault.__doc__ or name).rstrip(".")
    return Row(reported, noticed_s, resumed_s, row["examples_lost"], row["what"])


LAYERS = [
    {"kind": "conv", "outputs": 6, "kernel": 3, "padding": 1, "name": "a"},
    {"kind": "batch_norm"},
    {"kind": "conv", "outputs": 6, "kernel": 3, "padding": 1, "activation": "relu", "name": "b"},
    {"kind": "add", "inputs": ["a", "b"]},
    {"kind": "max_pool", "kernel": 2},
    {"kind": "dropout", "rate": 0.1},
    {"kind": "linear", "outputs": 20, "activation": "tanh"},
    {"kind": "linear", "outputs": 10, "activation": "softmax"},
]


@while_the_head_lives
def test_a_loss_changes_nothing_in_a_network_of_other_layers(cluster, tmp_path):
    network = f"network={json.dumps(LAYERS)}"
    run = training(cluster, tmp_path, "asynchronous", network, "training.epochs=4")
    run.wait_until_it_trains()

    FAULTS["kill_actor"](run, cluster[VICTIM])

    run.wait_until_recovered(1)
    assert run.end()["state_digest"] == undisturbed(run.overrides)
    nothing_is_left(run)
