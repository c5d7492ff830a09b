"""Annealed places against a slow sum over routes, and against what they begin with."""

import numpy as np
import pytest

from crossmesh.interconnect.noc import Mesh, PointToPoint, Torus, Tree, annealing
from crossmesh.interconnect.noc.annealing import Sent, anneal

TOPOLOGIES = [
    Mesh(width=5, height=4),
    Torus(width=5, height=4),
    Tree(leaves=20),
    PointToPoint(nodes=20),
]


def flit_hops(topology, sent, nodes):
    """Flits times the links of each message's tree."""
    return sum(
        message.flits
        * len({
            link
            for target in message.targets
            for link in topology.route(*_ends(nodes, message, target))
        })
        for message in sent
    )  # fmt: skip


def _ends(nodes, message, target):
    """Where a way begins and where it ends: of sums, at the source."""
    ends = int(nodes[message.source]), int(nodes[target])
    return ends[::-1] if message.gathers else ends


def chances(n_tiles=16, n_guests=3, seed=1):
    """Messages of some tiles and guests to one or several others."""
    rng = np.random.default_rng(seed)
    blocks = n_tiles + n_guests
    sent = []
    for source in range(blocks):
        others = np.delete(np.arange(blocks), source)
        targets = rng.choice(others, int(rng.integers(1, 4)), replace=False)
        sent.append(Sent(source, targets.tolist(), int(rng.integers(1, 50))))
    start = np.concatenate([rng.permutation(20)[:n_tiles], np.zeros(n_guests, np.int64)])
    start[n_tiles:] = start[:n_guests]
    return sent, start


@pytest.mark.parametrize("topology", TOPOLOGIES, ids=lambda each: each.name)
def test_places_are_better_than_those_it_begins_with_on_every_topology(topology):
    n_tiles = 16
    sent, start = chances(n_tiles)
    told = []

    nodes = anneal(topology, sent, start, n_tiles, np.arange(20), 0, lambda *now: told.append(now))

    assert len(set(nodes[:n_tiles].tolist())) == n_tiles
    assert set(nodes[n_tiles:].tolist()) <= set(nodes[:n_tiles].tolist())
    assert flit_hops(topology, sent, nodes) < 0.9 * flit_hops(topology, sent, start)
    assert told[-1][0] == told[-1][1]


def test_a_seed_decides_and_sites_are_kept():
    topology, n_tiles = TOPOLOGIES[0], 16
    sent, start = chances(n_tiles)
    sites = np.sort(start[:n_tiles])

    found = [
        anneal(topology, sent, start, n_tiles, sites, seed, lambda *_: None) for seed in (3, 3, 4)
    ]

    assert found[0].tolist() == found[1].tolist() != found[2].tolist()
    assert all(set(each.tolist()) == set(sites.tolist()) for each in found)


def test_a_ring_of_messages_lies_on_neighbors():
    """The optimum of a cycle of 20 tiles on a mesh of 5 x 4 is one link for each message."""
    sent = [Sent(i, [(i + 1) % 20], 7) for i in range(20)]
    start = np.random.default_rng(0).permutation(20)

    nodes = anneal(TOPOLOGIES[0], sent, start, 20, np.arange(20), 0, lambda *_: None)

    assert flit_hops(TOPOLOGIES[0], sent, nodes) == 7 * 20


def test_the_tree_of_a_multicast_counts_a_shared_link_once():
    """A message to a row of four is best sent from its end or within: four links, not ten."""
    sent = [Sent(0, [1, 2, 3, 4], 1)]
    nodes = anneal(
        Mesh(width=5, height=1), sent, np.array([2, 0, 1, 3, 4]), 5, np.arange(5), 0,
        lambda *_: None,
    )  # fmt: skip

    assert flit_hops(Mesh(width=5, height=1), sent, nodes) == 4


@pytest.mark.parametrize("topology", TOPOLOGIES[:2], ids=lambda each: each.name)
def test_sums_count_the_links_of_the_ways_to_their_source(topology):
    """What annealing takes for the cost of sums is that of the slow sum over routes."""
    sent, start = chances()
    sums = [each._replace(gathers=i % 2 == 0) for i, each in enumerate(sent)]
    demand, roads = (
        annealing._demand(sums, len(start), 16),
        annealing._roads(topology, np.arange(20)),
    )

    cost = annealing.price(demand, roads, annealing._plan(demand, topology, start))

    assert cost == flit_hops(topology, sums, start) != flit_hops(topology, sent, start)
    nodes = anneal(topology, sums, start, 16, np.arange(20), 0, lambda *_: None)
    assert flit_hops(topology, sums, nodes) < 0.9 * cost
