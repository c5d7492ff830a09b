"""The analytic model: what takes its way alone, in closed form, with no event at routers."""

import numpy as np

from crossmesh.interconnect.noc.router import Router
from crossmesh.interconnect.noc.routes import Routes
from crossmesh.interconnect.noc.topology import Integers, Topology


def alone_cycles(
    topology: Topology, router: Router, routes: Routes, tree: Integers, stream: Integers
) -> Integers:
    """``(deliveries,)`` cycles from a message's creation to each of its arrivals.

    Args:
        topology: Routers and links.
        router: Parameters of the routers.
        routes: Trees of routes.
        tree: ``(messages,)`` tree that each follows.
        stream: ``(messages,)`` cycles from the head of its longest packet to the tail.
    """
    node = np.repeat(np.arange(len(routes.tree)), np.diff(routes.first))
    ends = routes.leaf >= 0
    n_leaves = np.bincount(routes.tree[node[ends]], minlength=len(routes.root))
    first = np.cumsum(n_leaves) - n_leaves
    hops = np.zeros(int(n_leaves.sum()), np.int64)
    hops[first[routes.tree[node[ends]]] + routes.leaf[ends]] = routes.depth[node[ends]]
    n = n_leaves[tree]
    message = np.repeat(np.arange(len(tree)), n)
    place = np.arange(len(message)) - np.repeat(np.cumsum(n) - n, n)
    hops = hops[first[tree[message]] + place]
    if topology.reserves_paths:  # all copies arrive when the farthest does
        farthest = np.zeros(len(routes.root), np.int64)
        np.maximum.at(farthest, routes.tree, routes.depth)
        return 2 + farthest[tree[message]] * topology.link_cycles + stream[message]
    at_routers = (hops + 1) * router.hop_cycles + hops * topology.link_cycles
    return 3 + at_routers + stream[message]


def flits_by_port(topology: Topology, routes: Routes, tree: Integers, flits: Integers) -> Integers:
    """``(routers * ports,)`` flits out of each port, a tile's own port being the last of a router.

    Args:
        topology: Routers and links.
        routes: Trees of routes.
        tree: ``(messages,)`` tree that each follows.
        flits: ``(messages,)`` flits of each.
    """
    ports = topology.n_ports + 1
    node = np.repeat(np.arange(len(routes.tree)), np.diff(routes.first))
    along = np.zeros(len(routes.root), np.int64)
    np.add.at(along, tree, flits)
    through = np.zeros(topology.n_routers * ports, np.int64)
    np.add.at(through, routes.router[node] * ports + routes.port, along[routes.tree[node]])
    return through
