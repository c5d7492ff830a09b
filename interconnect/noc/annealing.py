"""Simulated annealing of a floor plan: tiles and digital memories where ways are short.

Kirkpatrick, Gelatt and Vecchi, Science 220, 671 (1983). The cost is the flits times the links of
all messages; those of a multicast, and of partial sums that routers add, are counted once where
they share a link.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from crossmesh.common.random import Purpose, Stream
from crossmesh.common.supervision import interrupts
from crossmesh.interconnect.noc.swaps import NOBODY, Demand, Plan, Roads, move, price
from crossmesh.interconnect.noc.topology import Integers, Topology

MOST_ROADS = 1 << 24  # routers times nodes: 4,096 of each
_MOVES = 4_000  # of each block in a run,
_OF_FEW = 100  # or so many times the number of blocks, if those are few
_MOST_MOVES = 1 << 20  # over all runs
_RUNS = 4
_STRETCH = 1 << 16  # moves between two looks at signals, about a quarter of a second
_HOT, _COLD = 3.0, 0.01  # temperatures, in flits of a tile


class Sent(NamedTuple):
    """A message between blocks.

    Attributes:
        source: Block that sends it.
        targets: Blocks that take it.
        flits: Length.
        gathers: Whether it goes the other way: all targets send it to the source, as one from where
            their ways meet, as if every router added.
    """

    source: int
    targets: Sequence[int]
    flits: int
    gathers: bool = False


def anneal(  # noqa: PLR0913, PLR0917  as ``carry`` of ``models.py``
    topology: Topology,
    sent: Sequence[Sent],
    start: Integers,
    n_tiles: int,
    sites: Integers,
    seed: int,
    watch: Callable[[int, int], None],
) -> Integers:
    """Nodes of blocks, so that few flits pass few links.

    Args:
        topology: Routers and links.
        sent: Messages between blocks.
        start: ``(blocks,)`` node of each to begin with. The first ``n_tiles`` are tiles, each at a
            node of its own; the others lie at the node of a tile, and still do afterwards.
        n_tiles: Number of tiles.
        sites: Nodes that tiles may lie at.
        seed: The same seed gives the same plan.
        watch: Called with the moves done and the moves in all.

    Returns:
        ``(blocks,)`` node of each; at worst as good as ``start``.
    """
    if not sent or len(sites) < 2:
        return start
    demand, roads = _demand(sent, len(start), n_tiles), _roads(topology, sites)
    low, high = Stream(seed=seed, owner=0).key(Purpose.PLACEMENT)
    n_blocks = len(start)
    n_moves = min(_MOST_MOVES, min(_MOVES, _OF_FEW * n_blocks) * n_blocks)
    n_runs = min(_RUNS, _MOST_MOVES // n_moves)
    unit = float(demand.flits.sum()) / n_tiles
    cools = (_COLD / _HOT) ** (1 / n_moves)
    best = _plan(demand, topology, start)
    least = interrupts.answering(lambda: price(demand, roads, best))  # compiled
    found = start
    interrupts.answering(lambda: move(demand, roads, best, 0, (0.0, 0.0), (low, high), 0))
    for run in range(n_runs):
        plan = _plan(demand, topology, start)
        price(demand, roads, plan)
        for done in range(0, n_moves, _STRETCH):
            watch(run * n_moves + done, n_runs * n_moves)
            heat = unit * _HOT * cools**done, cools
            move(demand, roads, plan, min(_STRETCH, n_moves - done), heat, (low, high), run)
        if (cost := int(plan.cost.sum())) < least:
            least, found = cost, plan.node
    watch(n_runs * n_moves, n_runs * n_moves)
    return found


def _demand(sent: Sequence[Sent], n_blocks: int, n_tiles: int) -> Demand:
    touches: list[list[int]] = [[] for _ in range(n_blocks)]
    for number, message in enumerate(sent):
        for block in {message.source, *message.targets}:
            touches[block].append(number)
    return Demand(
        source=np.array([message.source for message in sent], np.int64),
        flits=np.array([message.flits for message in sent], np.int64),
        first=_starts([len(message.targets) for message in sent]),
        target=np.array([block for message in sent for block in message.targets], np.int64),
        touched_first=_starts([len(each) for each in touches]),
        gathers=np.array([message.gathers for message in sent], np.bool_),
        touched=np.array([number for each in touches for number in each], np.int64),
        tiles=n_tiles,
    )


def _starts(lengths: list[int]) -> Integers:
    return np.concatenate([[0], np.cumsum(np.array(lengths, np.int64))])


def _roads(topology: Topology, sites: Integers) -> Roads:
    """Next routers and distances between all nodes, found as packets find them: step by step."""
    n_routers, n_nodes = topology.n_routers, topology.n_nodes
    here, to = np.divmod(np.arange(n_routers * n_nodes), n_nodes)
    onward = to.copy()
    away = here != to
    port = topology.step(here[away], to[away])
    onward[away] = topology.neighbors[here[away], port]
    onward = onward.reshape(n_routers, n_nodes)
    at = np.repeat(np.arange(n_nodes), n_nodes)
    to = np.tile(np.arange(n_nodes), n_nodes)
    links = np.zeros(n_nodes * n_nodes, np.int32)
    under_way = np.flatnonzero(at != to)
    while len(under_way):
        links[under_way] += 1
        at[under_way] = onward[at[under_way], to[under_way]]
        under_way = under_way[at[under_way] != to[under_way]]
    allowed = np.zeros(n_nodes, np.bool_)
    allowed[sites] = True
    return Roads(onward.astype(np.int32), links.reshape(n_nodes, n_nodes), sites, allowed)


def _plan(demand: Demand, topology: Topology, start: Integers) -> Plan:
    n_messages, tiles = len(demand.source), demand.tiles
    tile_at = np.full(topology.n_nodes, NOBODY)
    tile_at[start[:tiles]] = np.arange(tiles)
    room = [np.zeros(n_messages, np.int64) for _ in range(4)]
    return Plan(
        node=start.copy(),
        tile_at=tile_at,
        guests=np.bincount(start[tiles:], minlength=topology.n_nodes),
        cost=room[0],
        changed=room[1],
        listed=room[2],
        seen=room[3],
        passed=np.zeros(topology.n_routers, np.int64),
        moved=np.zeros(len(start), np.int64),
        clock=np.zeros(2, np.int64),
    )
