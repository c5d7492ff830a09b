"""Which actor hosts which tile, which node which actor, and what is refused beforehand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmesh.common.errors import ConfigError, RunLost
from crossmesh.emulator.config.engine import Engine
from crossmesh.emulator.executors.local import LocalExecutor
from crossmesh.emulator.executors.placement import (
    Machine,
    balanced,
    packed,
    place,
    replaced,
    spread,
)
from tests.jobs import small_job

GIB = 1 << 30


def machine(number, cpus=2, gib=8.0):
    return Machine(node=f"n{number}", ip=f"10.0.0.{number}", cpus=cpus, memory_bytes=int(gib * GIB))


@given(sizes=st.lists(st.integers(1, 50), min_size=1, max_size=30), choice=st.data())
def test_parts_are_consecutive_none_is_empty_and_the_largest_is_smallest(sizes, choice):
    n_parts = choice.draw(st.integers(1, len(sizes)))
    parts = balanced(sizes, n_parts)

    assert sorted(set(parts)) == list(range(n_parts))
    assert list(parts) == sorted(parts)
    load = [sum(s for s, p in zip(sizes, parts, strict=True) if p == n) for n in range(n_parts)]
    assert max(load) == least_largest(sizes, n_parts)


def least_largest(sizes, n_parts):
    """The same by dynamic programming over where the last part begins."""
    best = [[float("inf")] * (len(sizes) + 1) for _ in range(n_parts + 1)]
    best[0][0] = 0
    for k in range(1, n_parts + 1):
        for stop in range(k, len(sizes) + 1):
            best[k][stop] = min(
                max(best[k - 1][start], sum(sizes[start:stop])) for start in range(k - 1, stop)
            )
    return best[n_parts][len(sizes)]


@given(n_hosts=st.integers(1, 60), cpus=st.lists(st.integers(0, 6), min_size=1, max_size=6))
def test_hosts_that_follow_each_other_share_a_node_and_no_node_is_overfull(n_hosts, cpus):
    if not sum(cpus):
        cpus = [*cpus, 1]
    numbers = spread(n_hosts, cpus)

    assert len(numbers) == n_hosts
    assert list(numbers) == sorted(numbers)
    room = max(1, n_hosts / sum(cpus))
    for number, n_cpus in enumerate(cpus):
        assert numbers.count(number) <= n_cpus * room + 1
        assert n_cpus or not numbers.count(number)


@pytest.mark.parametrize(
    ("engine", "n_cpus", "n_hosts", "notice"),
    [
        ({}, 2, 16, ""),
        ({}, 1, 1, "16 tiles are packed into 1 actors, one per CPU: there may be at most 8;"
                   " override with engine.tiles_per_actor or engine.actors"),
        ({"tiles_per_actor": 3}, 1, 6, ""),
        ({"tiles_per_actor": "all"}, 4, 1, ""),
        ({"actors": 5}, 1, 5, ""),
    ],
)  # fmt: skip
def test_tiles_are_packed_as_the_engine_says(engine, n_cpus, n_hosts, notice):
    host_of, said = packed([1] * 16, Engine(**engine), n_cpus)

    assert (host_of[-1] + 1, said) == (n_hosts, notice)


def test_lost_hosts_go_where_most_cpus_are_to_spare():
    there = [machine(1), machine(2, cpus=4)]

    lost = {2: GIB, 3: GIB}

    assert replaced(lost, ["n1", "n1", "n3", "n3"], there, {}) == {2: "n2", 3: "n2"}
    assert replaced(lost, ["n1"] * 4, there, {"n2": 7 * GIB}) == {2: "n2", 3: "n1"}
    rule = (
        r"no node has 1\.0 GiB of memory left for tiles of the lost node: 10\.0\.0\.1, 10\.0\.0\.2"
    )
    with pytest.raises(RunLost, match=rule):
        replaced(lost, ["n1"] * 4, there, {"n1": 8 * GIB, "n2": 7.5 * GIB})


def test_the_whole_placement_of_ten_thousand_tiles():
    placement = place([512 * 512 * 12] * 10_000, Engine(), [machine(n, 8, 64) for n in range(8)], 0)

    assert placement.n_hosts == 64
    assert [placement.node_of.count(f"n{n}") for n in range(8)] == [8] * 8
    assert max(placement.host_of.count(host) for host in range(64)) == -(-10_000 // 64)


@pytest.mark.parametrize("actors", [1000, 8000, 10_000])
def test_ten_thousand_tiles_on_a_thousand_nodes(actors):
    sizes = [512 * 512 * 12 if n % 7 else 300 * 512 * 12 for n in range(10_000)]
    placement = place(sizes, Engine(actors=actors), [machine(n, 8, 64) for n in range(1000)], 0)

    assert placement.n_hosts == actors
    hosts = np.bincount(placement.host_of, sizes, actors)
    assert hosts.max() <= sum(sizes) / actors + max(sizes)
    assert list(placement.host_of) == sorted(placement.host_of)
    numbers = [int(node[1:]) for node in placement.node_of]
    assert numbers == sorted(numbers)
    assert np.bincount(numbers).max() == max(8, -(-actors // 1000))
    assert len(set(numbers)) == min(1000, -(-actors // 8))


def test_what_is_put_on_each_of_a_thousand_nodes_is_checked():
    small = [machine(n, 8, 64 if n != 777 else 0.5) for n in range(1000)]

    with pytest.raises(ConfigError, match=r"node 10\.0\.0\.777 must have"):
        place([GIB] * 8000, Engine(actors=8000), small, 0)


@pytest.mark.parametrize(
    ("sizes", "engine", "message"),
    [
        ([GIB] * 4, {}, r"node 10\.0\.0\.0 must have 2\.2 GiB of memory for its tiles \(2\.0\) and "
                        r"2 processes, got 1\.0; more nodes, or fewer actors, need less of each"),
        ([1] * 4, {"actors": 5}, r"engine\.actors must be at most 4, the number of tiles, got 5"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(sizes, engine, message):
    with pytest.raises(ConfigError, match=message):
        place(sizes, Engine(**engine), [machine(n, gib=1.0) for n in range(2)], GIB // 10)


def test_actors_are_counted_in_one_way_only():
    with pytest.raises(ValueError, match=r"actors must come without tiles_per_actor \(2\), got 3"):
        Engine(actors=3, tiles_per_actor=2)


def test_one_machine_without_room_is_refused_before_it_is_full():
    layers = [{"kind": "linear", "outputs": 60_000}, {"kind": "linear", "outputs": 60_000}] * 20
    job = small_job(network=[*layers, {"kind": "linear", "outputs": 10, "activation": "softmax"}],
                    tile={"rows": 8192, "cols": 8192})  # fmt: skip
    rule = r"this machine must have \d+\.\d GiB of memory free for the tiles \(\d+\.\d\) and "
    rule += r"activations \(\d+\.\d\), got \d+\.\d; engine\."
    with pytest.raises(ConfigError, match=rule):
        LocalExecutor(job)
