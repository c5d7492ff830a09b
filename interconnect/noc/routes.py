"""Routes as trees in flat arrays, which kernels follow node by node.

The root of a tree is a packet's source. Every node is a router with a branch for each port by
which copies of the packet leave it; a tree with one destination is a chain.
"""

from typing import NamedTuple

import numpy as np

from crossmesh.interconnect.noc.topology import Integers, Topology

ANY = 2


class Routes(NamedTuple):
    """Trees of routes.

    Attributes:
        root: ``(trees,)`` node of each tree's source.
        tree: ``(nodes,)`` tree of each node; the nodes of a tree lie side by side.
        depth: ``(nodes,)`` links between the root and each node.
        router: ``(nodes,)`` router of each node.
        first: ``(nodes + 1,)`` where each node's branches begin.
        port: ``(branches,)`` port of the router that a branch leaves by.
        next: ``(branches,)`` node behind it, -1 behind a tile's own port.
        leaf: ``(branches,)`` which of the tree's destinations it reaches, -1 if none.
        crosses: ``(branches,)`` 1 for the upper half of a link's virtual channels, 0 for the lower
            half, ``ANY`` for all of them.
    """

    root: Integers
    tree: Integers
    depth: Integers
    router: Integers
    first: Integers
    port: Integers
    next: Integers
    leaf: Integers
    crosses: Integers

    @property
    def most_branches(self) -> int:
        """Most branches of a node."""
        return int(np.diff(self.first).max(initial=1))


def build_routes(
    topology: Topology, sources: Integers, first: Integers, destinations: Integers
) -> Routes:
    """Multicast trees: the union of the routes from each source to its destinations.

    Routing is deterministic, so the routes from a source share their beginnings.

    Args:
        topology: Routers and links.
        sources: ``(trees,)`` nodes.
        first: ``(trees + 1,)``: tree i leads to ``destinations[first[i]:first[i + 1]]``.
        destinations: Nodes.

    Returns:
        The trees, as flat arrays.
    """
    sources = np.asarray(sources)
    tree = np.repeat(np.arange(len(sources)), np.diff(first))
    leaf = np.arange(len(destinations)) - first[tree]
    here, depth = sources[tree], 0
    rows = [np.zeros((7, 0), np.int64)]
    alive = np.arange(len(destinations))
    own = topology.n_ports
    while len(alive):
        at, to = here[alive], destinations[alive]
        arrived = at == to
        port = np.where(arrived, own, topology.step(at, to))
        onward = np.full(len(alive), -1)
        onward[~arrived] = topology.neighbors[at[~arrived], port[~arrived]]
        crosses = np.full(len(alive), ANY)
        if topology.has_rings:
            ring = topology.crosses(sources[tree[alive]], to, port)
            crosses[~arrived] = ring[~arrived]
        ends = np.where(arrived, leaf[alive], -1)
        depths = np.full(len(alive), depth)
        rows.append(np.stack([tree[alive], depths, at, port, onward, ends, crosses]))
        depth += 1
        here[alive] = onward
        alive = alive[~arrived]
    return _merged(np.concatenate(rows, axis=1), topology, sources)


def _merged(rows: Integers, topology: Topology, sources: Integers) -> Routes:
    """Ways that share their beginnings as trees, of rows of what ``build_routes`` follows."""
    tree, depth, at, port, onward, ends, crosses = rows
    keys = (tree * topology.n_routers + at) * (topology.n_ports + 1) + port
    branches, found, branch_of = np.unique(keys, return_index=True, return_inverse=True)
    upper = np.zeros(len(branches), np.int64)
    np.maximum.at(upper, branch_of, crosses)
    place = branches // (topology.n_ports + 1)  # tree and router
    nodes, starts = np.unique(place, return_index=True)
    behind = tree[found] * topology.n_routers + onward[found]
    goes_on = onward[found] >= 0
    following = np.full(len(branches), -1)
    following[goes_on] = np.searchsorted(nodes, behind[goes_on])
    return Routes(
        root=np.searchsorted(nodes, np.arange(len(sources)) * topology.n_routers + sources),
        tree=tree[found][starts],
        depth=depth[found][starts],
        router=nodes % topology.n_routers,
        first=np.append(starts, len(branches)),
        port=port[found],
        next=following,
        leaf=ends[found],
        crosses=upper,
    )
