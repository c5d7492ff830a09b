"""The replay with a network against closed forms: a chain, a broadcast, a full link."""

import pytest

from crossmesh.cluster.scaling.events import Act, Deployment, HostStep, run
from crossmesh.cluster.scaling.explain import placed
from crossmesh.cluster.scaling.network import SHIPPED, NodeLinks, NodeNetwork, load_network
from crossmesh.cluster.scaling.projection import projection_of
from crossmesh.cluster.scaling.replay import DEPTH, Replay
from crossmesh.common.errors import ConfigError
from crossmesh.interconnect.schedule import Asynchronous, Phase, Sequential
from crossmesh.tiles.runtime.program import Operation
from tests.emulator.commands.shell import refused
from tests.jobs import SCHEDULES, small_job

PLAIN = NodeNetwork(
    bandwidth_bytes_per_s=1000.0, latency_s=0.25, hop_s=0.125, nodes_per_switch=2,
    oversubscription=4.0, frame_bytes=0.0, message_s=0.0, byte_s=0.0,
)  # fmt: skip


def work(seconds):
    return HostStep(Act.WORK, seconds)


def send(edge, target, payload):
    return HostStep(Act.SEND, edge=edge, target=target, payload=payload)


def wait(edge):
    return HostStep(Act.AWAIT, edge=edge)


def ended(lines, n=1, **site):
    """Seconds of ``n`` micro-batches of hosts that do all of their steps at one place."""
    slots = [("here", m) for m in range(n)]
    return run({host: {"here": steps} for host, steps in lines.items()}, slots, Deployment(**site))


# Closed forms


def test_a_chain_takes_its_work_its_bytes_and_its_latencies():
    lines = {
        0: [work(1.0), send(0, 1, 500)],
        1: [wait(0), work(2.0), send(1, 2, 1000)],
        2: [wait(1), work(3.0)],
    }
    below_one_switch = 0.5 + 0.25
    across_the_spine = 1000 / (1000 * 2 / 4) + 0.25 + 2 * 0.125  # the uplink is the slowest link

    there = ended(lines, node_of=(0, 1, 2), network=PLAIN)
    assert there.seconds == pytest.approx(1 + below_one_switch + 2 + across_the_spine + 3)
    assert ended(lines).seconds == 6.0
    assert ended(lines, node_of=(0, 0, 0), network=PLAIN).seconds == 6.0


@pytest.mark.parametrize("k", [1, 3, 8])
def test_a_broadcast_leaves_by_one_link_copy_after_copy(k):
    lines = {0: [send(i, 1 + i, 200) for i in range(k)]}
    lines |= {1 + i: [wait(i)] for i in range(k)}
    wide = PLAIN.model_copy(update={"nodes_per_switch": 64})

    there = ended(lines, node_of=range(k + 1), network=wide)
    assert there.seconds == pytest.approx(k * 0.2 + 0.25)
    assert there.link_s[("node {} -> network", 0)] == pytest.approx(k * 0.2)


def test_many_that_send_to_one_share_its_link():
    lines = {i: [send(i, 5, 200)] for i in range(5)} | {5: [wait(i) for i in range(5)]}
    wide = PLAIN.model_copy(update={"nodes_per_switch": 64})

    assert ended(lines, node_of=range(6), network=wide).seconds == pytest.approx(5 * 0.2 + 0.25)


@pytest.mark.parametrize(("payload", "interval"), [(10, 0.5), (800, 0.8)])
def test_the_slower_of_work_and_link_sets_the_interval(payload, interval):
    lines = {0: [work(0.5), send(0, 1, payload)], 1: [wait(0), work(0.1)]}
    site = {"node_of": (0, 1), "network": PLAIN}

    times = [ended(lines, n, **site).seconds for n in (20, 40)]
    assert (times[1] - times[0]) / 20 == pytest.approx(interval)


def test_uplinks_are_shared_by_the_nodes_of_a_switch():
    """Each of two nodes sends 100 bytes per micro-batch through an uplink of 500 bytes/s."""
    lines = {
        0: [send(0, 2, 100)], 1: [send(1, 3, 100)], 2: [wait(0)], 3: [wait(1)],
    }  # fmt: skip
    there = ended(lines, 10, node_of=(0, 1, 2, 3), network=PLAIN)

    assert there.link_s[("switch {} -> spine", 0)] == pytest.approx(10 * 200 / 500)
    assert there.seconds == pytest.approx(10 * 200 / 500 + 0.25 + 0.25)


@pytest.mark.parametrize("cpus", [1, 2, 3, 4])
def test_hosts_take_turns_on_the_processors_of_their_node(cpus):
    lines = {host: [work(1.0)] * 6 for host in range(4)}

    times = [ended(lines, n, cpus=cpus).seconds for n in (20, 40)]
    assert (times[1] - times[0]) / 20 == pytest.approx(max(6, 24 / cpus))


def test_links_serve_in_the_order_of_time_whatever_the_order_of_hosts():
    lines = {
        0: [work(5.0), send(0, 2, 1000)],
        1: [work(1.0), send(1, 2, 1000)],
        2: [wait(1), work(0.0), wait(0)],
    }
    wide = PLAIN.model_copy(update={"nodes_per_switch": 64})

    assert ended(lines, node_of=(0, 1, 2), network=wide).seconds == pytest.approx(5 + 1 + 0.25)


def test_a_link_without_bytes_costs_its_latency():
    links = NodeLinks(PLAIN)

    assert links.carried(1.0, 0, 1, 0.0) == 1.25
    assert links.carried(1.0, 0, 2, 0.0) == 1.5


# Programs


def replay(schedule, actors, nodes, network=PLAIN, job=None):
    job = job or small_job(schedule=schedule)
    span = job.epoch(0)
    site = Deployment(node_of=[i * nodes // actors for i in range(actors)], network=network)
    cost = {True: 1e-3, False: 1e-4}
    return Replay(
        job.program, span.schedule, placed(job, actors),
        lambda action: cost[isinstance(action, Operation)], span.micro_batch, site,
    )  # fmt: skip


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize(("actors", "nodes"), [(1, 1), (4, 2), (6, 6)])
def test_no_replay_is_faster_than_its_bounds(schedule, actors, nodes):
    fabric = PLAIN.model_copy(update={"latency_s": 1e-4, "bandwidth_bytes_per_s": 1e6})
    known = replay(schedule, actors, nodes, fabric)
    interval = known.pace().interval_s

    assert all(seconds <= interval * (1 + 1e-9) for seconds in known.bounds().values())
    assert interval <= known.path_s() * (1 + 1e-9) or schedule == "synchronous"


def test_what_saturates_first_follows_from_network_and_schedule():
    thin = PLAIN.model_copy(update={"bandwidth_bytes_per_s": 100.0})
    quick = PLAIN.model_copy(update={"latency_s": 0.0, "hop_s": 0.0, "bandwidth_bytes_per_s": 1e12})

    first = {
        name: next(iter(replay(schedule, 3, 3, network).bounds()))
        for name, schedule, network in (
            ("thin", "asynchronous", thin),
            ("quick", "asynchronous", quick),
            ("slow", "sequential", PLAIN),
        )
    }
    assert "network" in first["thin"] or "spine" in first["thin"]
    assert first["quick"].startswith("host ")
    assert first["slow"] == DEPTH


@pytest.mark.parametrize(("schedule", "deep"), [(Sequential(), 1), (Asynchronous(), 5)])
def test_the_first_stage_has_so_many_micro_batches_under_way(schedule, deep):
    job = small_job(schedule=schedule.name)
    n_stages = job.program.n_stages
    known = replay(schedule.name, 2, 2, job=job)
    assert known._in_flight() == (1 if deep == 1 else 2 * n_stages - 1)
    assert known.run(1).reached[Phase.BACKWARD, 0] < known.path_s()


# Options


@pytest.mark.parametrize("name", sorted(path.stem for path in SHIPPED.glob("*.yaml")))
def test_shipped_networks_are_read(name):
    assert load_network(name).bandwidth_bytes_per_s > 1e9


def test_nodes_belong_to_numbers_of_actors():
    network = load_network("ethernet-25g")
    found = projection_of("64,256", "8,32", network)

    assert (found.nodes_of(64, 1), found.nodes_of(256, 1), found.nodes_of(2, 1)) == (8, 32, 1)
    assert found.site(64, 8).node(63) == 7
    with pytest.raises(ConfigError, match="--nodes must be at most --project"):
        projection_of("4", "5", network)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--nodes", "2"), "--nodes needs --network, which says what joins them"),
        (
            ("--project", "4,8", "--nodes", "2", "--network", "ethernet-25g"),
            "--nodes must be a whole number for each of --project (2), got 2",
        ),
        (
            ("--network", "ethernet-25"),
            "--network must be a file or a shipped name (ethernet-100g, ethernet-10g, "
            "ethernet-25g), got ethernet-25; did you mean ethernet-25g?",
        ),
        (("--network", "slow.yaml"), "slow.yaml: latency_s must be at least 0.0, got -1"),
    ],
)
def test_mistakes_are_one_line(options, message, tmp_path):
    (tmp_path / "slow.yaml").write_text("bandwidth_bytes_per_s: 1.0e9\nlatency_s: -1\n")
    said = refused("scale", "digits", *options, "--quiet", folder=tmp_path)
    assert said == f"error: {message}"
