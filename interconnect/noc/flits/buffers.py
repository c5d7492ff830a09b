"""Flits in buffers and on their way: the wheel of arrivals, entering a router, leaving a source."""

import numpy as np

from crossmesh.common.compiled import part
from crossmesh.interconnect.noc.flits.state import (
    AWAKE,
    CREDITS,
    FLITS,
    MOVED,
    SOURCES,
    TAILS,
    WAITING,
    WHEELED,
)


@part
def post_flit(net, at, vc, packet, node):
    """A flit comes to an input channel in cycle ``at``; ``node`` is -1 but for heads."""
    slot = at & (net.wheel.shape[0] - 1)
    n = net.wheel[slot, FLITS]
    net.flit_at[slot, n] = vc
    net.flit_packet[slot, n] = packet
    net.flit_node[slot, n] = node
    net.wheel[slot, FLITS] = n + 1
    net.counters[WHEELED] += 1


@part
def post_credit(net, at, vc):
    """A credit comes back for an output channel in cycle ``at``."""
    slot = at & (net.wheel.shape[0] - 1)
    n = net.wheel[slot, CREDITS]
    net.credit_at[slot, n] = vc
    net.wheel[slot, CREDITS] = n + 1
    net.counters[WHEELED] += 1


@part
def post_tail(net, at, packet, leaf):
    """A packet has come whole to one of its destinations in cycle ``at``."""
    slot = at & (net.wheel.shape[0] - 1)
    n = net.wheel[slot, TAILS]
    net.tail_packet[slot, n] = packet
    net.tail_leaf[slot, n] = leaf
    net.wheel[slot, TAILS] = n + 1
    net.counters[WHEELED] += 1


@part
def begin(fabric, traffic, net, vc, now):
    """The first packet of a buffer asks for its route, and then for a channel."""
    port = vc // fabric.channels
    router = port // fabric.ports
    at = vc * fabric.depth + net.front[vc]
    flits = traffic.flits[net.packet[at] % traffic.flits.shape[0]]
    net.left[vc] = flits
    first, end = traffic.first[net.node[at]], traffic.first[net.node[at] + 1]
    net.branch[vc] = first
    net.pending[vc] = (np.int64(1) << (end - first)) - 1
    ready = now + fabric.routing
    if fabric.routing > 1:
        if net.route_from[router] < now:
            net.route_from[router] = max(now, net.route_from[router] + fabric.routing)
        ready = net.route_from[router] + fabric.routing
    net.ready[vc] = ready
    net.asking[port] |= np.int64(1) << (vc - port * fabric.channels)


@part
def enter(fabric, traffic, net, vc, packet, node, now):
    """A flit comes into a buffer; ``node`` is -1 but for heads."""
    port = vc // fabric.channels
    router = port // fabric.ports
    net.held[vc] += 1
    if node >= 0:
        at = net.front[vc] + net.queued[vc]
        at = vc * fabric.depth + (at - fabric.depth if at >= fabric.depth else at)
        net.packet[at], net.node[at] = packet, node
        net.queued[vc] += 1
        if net.queued[vc] == 1:
            begin(fabric, traffic, net, vc, now)
    else:
        bit = np.int64(1) << (vc - port * fabric.channels)
        net.sending[port] |= net.active[port] & bit
    net.load[router] += 1
    wake(net, router)


@part
def wake(net, router):
    """Something has come to a router: it takes part in the cycles that follow."""
    if net.awake[router] == 0:
        net.awake[router] = 1
        net.awake_list[net.counters[AWAKE]] = router
        net.counters[AWAKE] += 1


@part
def create(traffic, net, packet):
    """A packet joins the queue of its source."""
    source = traffic.source[packet % traffic.flits.shape[0]]
    net.following[packet] = -1
    if net.src_head[source] < 0:
        net.src_head[source] = packet
    else:
        net.following[net.src_tail[source]] = packet
    net.src_tail[source] = packet
    net.counters[WAITING] += 1
    if net.src_awake[source] == 0:
        net.src_awake[source] = 1
        net.src_list[net.counters[SOURCES]] = source
        net.counters[SOURCES] += 1


@part
def inject(fabric, traffic, net, source, now):
    """A source sends the next flit of its first packet, if a channel has room."""
    packet = net.src_head[source]
    message = packet % traffic.flits.shape[0]
    out = net.link_flits.shape[0] + source
    node = -1
    if net.src_vc[source] < 0:
        last = net.src_last[source] if fabric.rotates else message % fabric.channels
        for i in range(1, fabric.channels + 1):
            v = (last + i) % fabric.channels if last >= 0 else 0
            if not (net.in_use[out] >> v) & 1 and net.credits[out * fabric.channels + v] > 0:
                net.in_use[out] |= np.int64(1) << v
                net.src_vc[source] = net.src_last[source] = v
                net.src_left[source] = traffic.flits[message]
                node = traffic.root[message]
                break
    v = net.src_vc[source]
    if v < 0 or net.credits[out * fabric.channels + v] <= 0:
        return
    net.credits[out * fabric.channels + v] -= 1
    vc = (source * fabric.ports + fabric.ports - 1) * fabric.channels + v
    post_flit(net, now + 2, vc, packet, node)
    net.counters[MOVED] = now
    net.src_left[source] -= 1
    if net.src_left[source] == 0:
        net.in_use[out] &= ~(np.int64(1) << v)
        net.src_vc[source] = -1
        net.src_head[source] = net.following[packet]
        net.counters[WAITING] -= 1
