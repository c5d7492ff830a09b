"""Kernels of ``annealing.py``: who lies where, and moves that change it.

A *block* is what has a place. Tiles have one each to themselves; guests are digital memories, which
lie at the place of a tile. All costs are whole numbers: flits times links.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.compiled import kernel, part
from crossmesh.common.random import of_example, philox
from crossmesh.interconnect.noc.topology import Integers

NOBODY = -1
_UNIFORM = 2.0**-32
_TO_ANYWHERE = np.uint32(1)  # bits of the random word that chooses the kind of move
_BESIDE = np.uint32(2)


class Demand(NamedTuple):
    """Messages between blocks; message j goes to ``target[first[j]:first[j + 1]]``.

    Attributes:
        source: ``(messages,)`` block.
        flits: ``(messages,)`` length.
        first: ``(messages + 1,)`` where the targets of each begin.
        target: Blocks.
        touched_first: ``(blocks + 1,)`` where the messages of each block begin in ``touched``.
        touched: Messages that a block sends or takes.
        gathers: ``(messages,)`` whether its targets send it to its source, and what meets on the
            way goes on as one.
        tiles: Number of blocks that are tiles, which come first; the others are guests.
    """

    source: Integers
    flits: Integers
    first: Integers
    target: Integers
    touched_first: Integers
    touched: Integers
    gathers: NDArray[np.bool_]
    tiles: int


class Roads(NamedTuple):
    """Routes between nodes.

    Attributes:
        onward: ``(routers, nodes)`` next router on the way to a node; the node itself at its end.
        links: ``(nodes, nodes)`` links between two nodes.
        sites: Nodes that tiles may lie at.
        allowed: ``(nodes,)`` whether a node is among them.
    """

    onward: NDArray[np.int32]
    links: NDArray[np.int32]
    sites: Integers
    allowed: NDArray[np.bool_]


class Plan(NamedTuple):
    """Who lies where, and room to work in.

    Attributes:
        node: ``(blocks,)`` node that each lies at.
        tile_at: ``(nodes,)`` tile at each node, or ``NOBODY``.
        guests: ``(nodes,)`` number of guests at each node.
        cost: ``(messages,)`` flits times links.
        changed: ``(messages,)`` the same after the move that is looked at.
        listed: ``(messages,)`` messages that it changes.
        seen: ``(messages,)`` last move that listed a message.
        passed: ``(routers,)`` last tree that came through a router.
        moved: ``(blocks,)`` blocks that move.
        clock: ``(2,)`` moves and trees so far.
    """

    node: Integers
    tile_at: Integers
    guests: Integers
    cost: Integers
    changed: Integers
    listed: Integers
    seen: Integers
    passed: Integers
    moved: Integers
    clock: Integers


@part
def _gathered(demand, roads, plan, message):
    """Links of the ways from the targets of a message to its source, each counted once."""
    plan.clock[1] += 1
    links, to = 0, plan.node[demand.source[message]]
    for i in range(demand.first[message], demand.first[message + 1]):
        here = plan.node[demand.target[i]]
        while here != to and plan.passed[here] != plan.clock[1]:
            plan.passed[here] = plan.clock[1]
            here = np.int64(roads.onward[here, to])
            links += 1
    return links


@part
def _cost(demand, roads, plan, message):
    """Flits of a message times the links of its tree."""
    first, end = demand.first[message], demand.first[message + 1]
    source = plan.node[demand.source[message]]
    if end - first == 1:
        return demand.flits[message] * roads.links[source, plan.node[demand.target[first]]]
    if demand.gathers[message]:
        return demand.flits[message] * _gathered(demand, roads, plan, message)
    plan.clock[1] += 1
    links = 0
    for i in range(first, end):
        here, to = source, plan.node[demand.target[i]]
        while here != to:
            here = np.int64(roads.onward[here, to])
            if plan.passed[here] != plan.clock[1]:
                plan.passed[here] = plan.clock[1]
                links += 1
    return demand.flits[message] * links


@kernel
def price(demand, roads, plan):
    """Write the cost of every message.

    Returns:
        Their sum: flits times links.
    """
    for message in range(demand.source.shape[0]):
        plan.cost[message] = _cost(demand, roads, plan, message)
    return plan.cost.sum()


@part
def _below(word, n):
    """A number below ``n``, of a random word."""
    return np.int64((np.uint64(word) * np.uint64(n)) >> np.uint64(32))


@part
def _goal(demand, roads, plan, block, kind, where):
    """Node that a block is to move to: any, or one beside a block that it talks to."""
    anywhere = roads.sites[_below(where, roads.sites.shape[0])]
    first = demand.touched_first[block]
    n = demand.touched_first[block + 1] - first
    if kind & _TO_ANYWHERE or n == 0:
        return anywhere
    message = demand.touched[first + _below(kind, n)]
    other = demand.source[message]
    if other == block:
        start = demand.first[message]
        n_targets = demand.first[message + 1] - start
        other = demand.target[start + (np.int64(kind) >> 3) % n_targets]
    node = plan.node[other]
    if block < demand.tiles or kind & _BESIDE:
        node = np.int64(roads.onward[node, anywhere])
    inside = node < roads.allowed.shape[0] and roads.allowed[node]
    return node if inside else anywhere


@part
def _movers(demand, plan, block, here, there):
    """List what moves with a block: a tile changes places with all that lies at its goal."""
    plan.moved[0] = block
    if block >= demand.tiles:
        return 1 if plan.tile_at[there] != NOBODY else 0
    n = 1
    if plan.tile_at[there] != NOBODY:
        plan.moved[n] = plan.tile_at[there]
        n += 1
    if plan.guests[here] + plan.guests[there]:
        for guest in range(demand.tiles, plan.node.shape[0]):
            if plan.node[guest] == here or plan.node[guest] == there:
                plan.moved[n] = guest
                n += 1
    return n


@part
def _exchange(plan, n, both):
    """Move the listed blocks from one of two nodes to the other."""
    for i in range(n):
        plan.node[plan.moved[i]] = both - plan.node[plan.moved[i]]


@part
def _change(demand, roads, plan, n):
    """Price the messages of ``n`` listed blocks anew.

    Returns:
        How many messages, and the change of their cost.
    """
    n_messages, change = 0, 0
    for i in range(n):
        block = plan.moved[i]
        for k in range(demand.touched_first[block], demand.touched_first[block + 1]):
            message = demand.touched[k]
            if plan.seen[message] != plan.clock[0]:
                plan.seen[message] = plan.clock[0]
                plan.listed[n_messages] = message
                plan.changed[message] = _cost(demand, roads, plan, message)
                change += plan.changed[message] - plan.cost[message]
                n_messages += 1
    return n_messages, change


@part
def _keep(demand, plan, block, here, there, n_messages):
    """Book a move that was made."""
    for i in range(n_messages):
        plan.cost[plan.listed[i]] = plan.changed[plan.listed[i]]
    if block < demand.tiles:
        plan.tile_at[here], plan.tile_at[there] = plan.tile_at[there], plan.tile_at[here]
        plan.guests[here], plan.guests[there] = plan.guests[there], plan.guests[here]
    else:
        plan.guests[here] -= 1
        plan.guests[there] += 1


@kernel
def move(
    demand: Demand,
    roads: Roads,
    plan: Plan,
    n_moves: int,
    heat: tuple[float, float],  # temperature of the first move, and the factor from move to move
    key: tuple[np.uint32, np.uint32],
    run: int,
) -> None:
    """Try moves, and keep those that shorten the ways or that the temperature allows."""
    temperature, cools = heat
    for _ in range(n_moves):
        plan.clock[0] += 1
        counter, k1 = of_example(plan.clock[0], key[1])
        a, b, c, d = philox(counter, np.uint32(run), np.uint32(0), np.uint32(0), key[0], k1)
        temperature *= cools
        block = _below(a, plan.node.shape[0])
        here = plan.node[block]
        there = _goal(demand, roads, plan, block, b, c)
        if there == here:
            continue
        n = _movers(demand, plan, block, here, there)
        if n == 0:
            continue
        _exchange(plan, n, here + there)
        n_messages, change = _change(demand, roads, plan, n)
        chance = (np.float64(d) + 0.5) * _UNIFORM
        if change <= 0 or change < -temperature * np.log(chance):
            _keep(demand, plan, block, here, there, n_messages)
        else:
            _exchange(plan, n, here + there)
