"""Flits in buffers and on their way: the wheel of arrivals, entering a router, leaving a source."""

import numpy as np

from crossmesh.common.compiled import part
from crossmesh.interconnect.noc.flits.state import (
    AWAKE,
    BODIES,
    CREDITS,
    HEADS,
    MOVED,
    SOURCES,
    TAILS,
    WHEELED,
)

ONE = np.int64(1)


@part
def _next_entry(net, at, kind):
    """The slot of cycle ``at``, and the place in it of one more entry."""
    slot = at & (net.wheel.shape[0] - 1)
    n = net.wheel[slot, kind]
    net.wheel[slot, kind] = n + 1
    net.counters[WHEELED] += 1
    return slot, n


@part
def post_head(net, at, vc, packet, branch, flits):
    """A packet's first flit comes to an input channel in cycle ``at``."""
    slot, n = _next_entry(net, at, HEADS)
    head = net.heads[slot, n]
    head.vc, head.packet, head.branch, head.flits = vc, packet, branch, flits


@part
def post_body(net, at, vc):
    """A flit behind the first comes to an input channel in cycle ``at``."""
    slot, n = _next_entry(net, at, BODIES)
    net.bodies[slot, n] = vc


@part
def post_credit(net, at, vc):
    """A credit comes back for an output channel in cycle ``at``."""
    slot, n = _next_entry(net, at, CREDITS)
    net.returned[slot, n] = vc


@part
def post_tail(net, at, packet, leaf):
    """A packet has come whole to one of its destinations in cycle ``at``."""
    slot, n = _next_entry(net, at, TAILS)
    tail = net.tails[slot, n]
    tail.packet, tail.leaf = packet, leaf


@part
def begin(fabric, traffic, net, channel, packet, branch, flits, now):
    """A packet is the first of a buffer: it asks for its route, and then for a channel."""
    way = traffic.branches[branch]
    channel.packet, channel.branch = packet, branch
    channel.flits = channel.left = flits
    channel.exit, channel.crosses = way.port, way.crosses
    channel.pending = (ONE << way.beside) - 1
    router = net.routers[channel.router]
    ready = now + fabric.routing
    if fabric.routing > 1:
        if router.route_from < now:
            router.route_from = max(now, router.route_from + fabric.routing)
        ready = router.route_from + fabric.routing
    channel.ready = ready
    port = channel.port
    net.ports[port].asking |= ONE << channel.number
    router.asking |= ONE << (port - channel.router * fabric.ports)


@part
def sends(fabric, net, channel):
    """A channel has a flit for the channel that it was given."""
    net.ports[channel.port].sending |= ONE << channel.number
    net.routers[channel.router].sending |= ONE << (channel.port - channel.router * fabric.ports)


@part
def enter_head(fabric, traffic, net, head, now):
    """A packet's first flit comes into a buffer."""
    vc = head.vc
    channel = net.channels[vc]
    channel.held += 1
    if channel.queued == 0:
        begin(fabric, traffic, net, channel, head.packet, head.branch, head.flits, now)
    else:
        at = channel.front + channel.queued - 1
        at = vc * fabric.depth + (at - fabric.depth if at >= fabric.depth else at)
        place = net.behind[at]
        place.packet, place.branch, place.flits = head.packet, head.branch, head.flits
    channel.queued += 1
    net.routers[channel.router].load += 1
    wake(net, channel.router)


@part
def enter_body(fabric, net, vc):
    """A flit behind the first comes into a buffer."""
    channel = net.channels[vc]
    channel.held += 1
    if net.ports[channel.port].active >> channel.number & 1:
        sends(fabric, net, channel)
    net.routers[channel.router].load += 1
    wake(net, channel.router)


@part
def wake(net, router):
    """Something has come to a router: it takes part in the cycles that follow."""
    bit = ONE << (router & 31)
    if net.awake[router >> 5] & bit == 0:
        net.awake[router >> 5] |= bit
        net.counters[AWAKE] += 1


@part
def create(traffic, net, packet):
    """A packet joins the queue of its source."""
    number = traffic.source[packet % traffic.flits.shape[0]]
    source = net.sources[number]
    net.following[packet] = -1
    if source.head < 0:
        source.head = packet
    else:
        net.following[source.tail] = packet
    source.tail = packet
    bit = ONE << (number & 31)
    if net.waiting[number >> 5] & bit == 0:
        net.waiting[number >> 5] |= bit
        net.counters[SOURCES] += 1


@part
def inject(fabric, traffic, net, number, now):
    """A source sends the next flit of its first packet, if a channel has room."""
    source = net.sources[number]
    port = net.ports[net.cross_from.shape[0] * fabric.ports + number]
    first = (net.cross_from.shape[0] * fabric.ports + number) * fabric.channels
    into = (number * fabric.ports + fabric.ports - 1) * fabric.channels
    if source.channel < 0:
        message = source.head % traffic.flits.shape[0]
        last = source.last if fabric.rotates else message % fabric.channels
        for i in range(1, fabric.channels + 1):
            v = (last + i) % fabric.channels if last >= 0 else 0
            if not (port.in_use >> v) & 1 and net.credits[first + v] > 0:
                port.in_use |= ONE << v
                source.channel = source.last = v
                source.left = traffic.flits[message]
                net.credits[first + v] -= 1
                post_head(net, now + 2, into + v, source.head, traffic.root[message], source.left)
                _sent(net, source, port, now)
                break
    elif net.credits[first + source.channel] > 0:
        net.credits[first + source.channel] -= 1
        post_body(net, now + 2, into + source.channel)
        _sent(net, source, port, now)


@part
def _sent(net, source, port, now):
    """A flit has left its source."""
    net.counters[MOVED] = now
    source.left -= 1
    if source.left == 0:
        port.in_use &= ~(ONE << source.channel)
        source.channel = -1
        source.head = net.following[source.head]
