"""The two quicker models, by events.

``analytic``: zero load (no contention), an event for each arrival. ``packet``: a link serves one
packet after the other, for as long as its flits take, an event for each router; buffers are
endless. It is optimistic, the more the busier the network: by 2 % at 0.2 of uniform traffic and by
7 % at 0.3 on a mesh of 8 x 8. A circuit-switched mesh reserves the whole way of a packet for as
long as it takes.
"""

from typing import NamedTuple

from crossmesh.common.compiled import kernel, part
from crossmesh.interconnect.noc.resources import (
    NEVER,
    UNDONE,
    delivered,
    end_next,
    next_end,
    start_what_can,
)
from crossmesh.interconnect.noc.topology import Integers

_QUEUED = -1  # node of a packet that has not left its source


class Times(NamedTuple):
    """Service times of links and routers; constant."""

    ports: int  # of a router, its tile's own among them
    hop: int
    link: int
    turn: int  # cycles that a link rests after a packet
    waits: bool  # whether links serve one packet at a time
    reserves: bool  # whether packets reserve their whole way
    stream: Integers  # (messages,) cycles from head to tail
    alone: Integers  # (deliveries,) cycles from creation to arrival, where nothing waits


class Ways(NamedTuple):
    """Packets and their routes; does not change."""

    flits: Integers
    source: Integers
    root: Integers
    arrival: Integers  # (messages + 1,)
    created: Integers
    order: Integers
    tree: Integers
    depth: Integers
    router: Integers
    first: Integers
    port: Integers
    next: Integers
    leaf: Integers


class Links(NamedTuple):
    """State of links and of packets on their way."""

    free: Integers  # (output ports and sources) cycle from which each can be used
    flits: Integers  # (output ports)
    arrivals: Integers
    cycle: Integers  # heap of events: when,
    packet: Integers  # of which packet,
    node: Integers  # at which node of its route
    size: Integers  # (1,)
    reached: Integers  # (2,) cycle, and packets created, from which a run goes on


@part
def _before(links, i, j):
    if links.cycle[i] != links.cycle[j]:
        return links.cycle[i] < links.cycle[j]
    if links.packet[i] != links.packet[j]:
        return links.packet[i] < links.packet[j]
    return links.node[i] < links.node[j]


@part
def _swap(links, i, j):
    for array in (links.cycle, links.packet, links.node):
        array[i], array[j] = array[j], array[i]


@part
def _post(links, cycle, packet, node):
    i = links.size[0]
    links.size[0] += 1
    links.cycle[i], links.packet[i], links.node[i] = cycle, packet, node
    while i > 0 and _before(links, i, (i - 1) // 2):
        _swap(links, i, (i - 1) // 2)
        i = (i - 1) // 2


@part
def _drop_first(links):
    links.size[0] -= 1
    n = links.size[0]
    _swap(links, 0, n)
    i = 0
    while 2 * i + 1 < n:
        child = 2 * i + 1
        if child + 1 < n and _before(links, child + 1, child):
            child += 1
        if not _before(links, child, i):
            break
        _swap(links, i, child)
        i = child


@part
def _leave_source(times, ways, links, packet, now):
    """A packet goes into its router when the source has sent those before it."""
    message = packet % ways.flits.shape[0]
    source = links.flits.shape[0] + ways.source[message]
    start = max(now, links.free[source])
    links.free[source] = start + ways.flits[message]
    _post(links, start + 2, packet, ways.root[message])


@part
def _pass_router(times, ways, links, packet, node, now):
    """Copies leave by all branches; what leaves by a tile's own port has arrived with its tail."""
    message = packet % ways.flits.shape[0]
    for branch in range(ways.first[node], ways.first[node + 1]):
        out = ways.router[node] * times.ports + ways.port[branch]
        start = max(now + times.hop, links.free[out])
        links.free[out] = start + ways.flits[message] + times.turn
        links.flits[out] += ways.flits[message]
        if ways.next[branch] < 0:
            tail = start + 1 + times.stream[message]
            _post(links, tail, packet, -2 - ways.leaf[branch])
        else:
            _post(links, start + times.link, packet, ways.next[branch])


@part
def _reserve(times, ways, links, packet, now):
    """Take a packet's whole way as soon as all of it is free, for as long as the packet takes."""
    message = packet % ways.flits.shape[0]
    root = ways.root[message]
    source = links.flits.shape[0] + ways.source[message]
    first = root
    while first > 0 and ways.tree[first - 1] == ways.tree[root]:
        first -= 1
    start, deepest, node = max(now, links.free[source]), 0, first
    while node < ways.tree.shape[0] and ways.tree[node] == ways.tree[root]:
        deepest = max(deepest, ways.depth[node])
        for branch in range(ways.first[node], ways.first[node + 1]):
            start = max(start, links.free[ways.router[node] * times.ports + ways.port[branch]])
        node += 1
    if start > now:
        _post(links, start, packet, _QUEUED)
        return
    end = now + 2 + deepest * times.link + ways.flits[message] - 1
    links.free[source] = end
    for place in range(first, node):
        for branch in range(ways.first[place], ways.first[place + 1]):
            out = ways.router[place] * times.ports + ways.port[branch]
            links.free[out] = end
            links.flits[out] += ways.flits[message]
            if ways.next[branch] < 0:
                _post(links, end, packet, -2 - ways.leaf[branch])


@part
def _arrive_alone(times, ways, links, packet, now):
    """Every copy of a packet will arrive when it would with nothing in its way."""
    message = packet % ways.flits.shape[0]
    first = ways.arrival[message]
    for delivery in range(first, ways.arrival[message + 1]):
        _post(links, now + times.alone[delivery], packet, -2 - (delivery - first))


@part
def _happen(times, ways, links, plan, work, now):
    """The first event."""
    packet, node = links.packet[0], links.node[0]
    _drop_first(links)
    if node == _QUEUED:
        if not times.waits:
            _arrive_alone(times, ways, links, packet, now)
        elif times.reserves:
            _reserve(times, ways, links, packet, now)
        else:
            _leave_source(times, ways, links, packet, now)
    elif node >= 0:
        _pass_router(times, ways, links, packet, node, now)
    else:
        micro_batch, message = packet // ways.flits.shape[0], packet % ways.flits.shape[0]
        delivery = ways.arrival[message] - 2 - node
        links.arrivals[micro_batch * plan.n_deliveries + delivery] = now
        delivered(plan, work, micro_batch, delivery)


@kernel
def run_events(times, ways, links, plan, work, most):
    """Run until every packet has arrived and every task is done, or for ``most`` events.

    Returns:
        The last cycle, or ``UNDONE``.
    """
    now = links.reached[0]
    n_created = links.reached[1]
    for _ in range(most):
        start_what_can(plan, work, now)
        ahead = next_end(plan, work)
        created = NEVER
        if n_created < ways.order.shape[0]:
            created = ways.created[ways.order[n_created]]
        event = links.cycle[0] if links.size[0] else NEVER
        nearest = min(ahead, created, event)
        if nearest == NEVER:
            return now
        now = nearest
        if event == now:
            _happen(times, ways, links, plan, work, now)
        elif created == now:
            _post(links, now, ways.order[n_created], _QUEUED)
            n_created += 1
        else:
            micro_batch, task = end_next(plan, work)
            for i in range(plan.sends_first[task], plan.sends_first[task + 1]):
                message = micro_batch * ways.flits.shape[0] + plan.sends[i]
                _post(links, now, message, _QUEUED)
    links.reached[0] = now
    links.reached[1] = n_created
    return UNDONE
