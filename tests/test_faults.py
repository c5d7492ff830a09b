"""Whatever is lost while a run trains, it ends with the chip that it would have had anyway."""

import json
import time
from itertools import cycle

import pytest

from tests.fault_fixtures import (
    TABLE,
    VICTIM,
    Row,
    cluster,
    hosts,
    nothing_is_left,
    table,
    training,
)
from tests.faults import FAULTS, SCHEDULES, undisturbed

__all__ = ["cluster", "hosts", "table"]  # fixtures

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.multinode]

# Promised on a quiet machine, so they are asserted only where the table is written.
NODE_NOTICED_S, NODE_RESUMED_S = 5.0, 20.0
NOTICED_S, RESUMED_S = 12.0, 30.0  # of all other losses


@pytest.mark.parametrize(("name", "schedule"), list(zip(FAULTS, cycle(SCHEDULES), strict=False)))
def test_a_loss_changes_nothing(name, schedule, cluster, table, tmp_path):
    run = training(cluster, tmp_path, schedule)
    run.wait_until_it_trains()
    victim, fault = cluster[VICTIM], FAULTS[name]
    before = time.time()

    fault(run, victim)

    if name.endswith("_that_saves"):
        before = time.time()
    run.wait_until_recovered(1)
    is_node = victim.is_lost
    if is_node:
        cluster.replace(victim)
    summary, rows = run.end(), run.recoveries()
    noticed_s, resumed_s = rows[0]["time_s"] - before, rows[0]["resumed_s"] - before
    told = (fault.__doc__ or name).rstrip(".")
    table.append(Row(told, noticed_s, resumed_s, rows[0]["examples_lost"], rows[0]["what"]))
    assert summary["state_digest"] == undisturbed(run.overrides)
    assert summary["emulation"]["recoveries"] == len(rows) >= 1
    assert -0.1 <= noticed_s <= resumed_s
    if TABLE:
        assert noticed_s <= (NODE_NOTICED_S if is_node else NOTICED_S)
        assert resumed_s <= (NODE_RESUMED_S if is_node else RESUMED_S)
    nothing_is_left(cluster, run)


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


def test_a_loss_changes_nothing_in_a_network_of_other_layers(cluster, tmp_path):
    network = f"network={json.dumps(LAYERS)}"
    run = training(cluster, tmp_path, "asynchronous", network, "training.epochs=4")
    run.wait_until_it_trains()

    FAULTS["kill_actor"](run, cluster[VICTIM])

    run.wait_until_recovered(1)
    assert run.end()["state_digest"] == undisturbed(run.overrides)
    nothing_is_left(cluster, run)
