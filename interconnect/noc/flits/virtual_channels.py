"""Allocation of the next router's virtual channels."""

import numpy as np

from crossmesh.common.compiled import lowest, part
from crossmesh.interconnect.noc.flits.buffers import ONE, sends
from crossmesh.interconnect.noc.flits.state import BUSY
from crossmesh.interconnect.noc.routes import ANY


@part
def class_of(fabric, crosses):
    """Channels of the next router that a route may use, as bits."""
    every = (ONE << fabric.channels) - 1
    if crosses == ANY:
        return every
    lower = (ONE << (fabric.channels - fabric.channels // 2)) - 1
    return every & ~lower if crosses else lower


@part
def first_from(mask, start):
    """The first bit of a mask from a place on, in a circle."""
    above = mask & ~((ONE << start) - 1)
    return lowest(above) if above else lowest(mask)


@part
def _take_all(fabric, traffic, net, vc, now):
    """A packet with several branches gets an empty channel for each, or none.

    Buffers hold it whole, so once it has begun nothing that it waits for can wait for it.
    """
    channel = net.channels[vc]
    base = channel.router * fabric.ports
    n = traffic.branches[channel.branch].beside
    for trial in range(2):
        for k in range(n):
            branch = traffic.branches[channel.branch + k]
            out = base + branch.port
            free = class_of(fabric, branch.crosses) & ~net.ports[out].in_use
            found = -1
            while free and found < 0:
                v = lowest(free)
                free &= free - 1
                if net.credits[out * fabric.channels + v] == fabric.depth:
                    found = v
            if found < 0:
                return False
            if trial:
                net.ports[out].in_use |= ONE << found
                net.out_vc[vc * traffic.most_branches + k] = found
                if k == 0:
                    channel.out = found
    _activate(fabric, net, channel, now)
    return True


@part
def ask(fabric, traffic, net, router, now):
    """Channels that ask for a channel of the next router; those with branches are served first."""
    n = 0
    inputs = net.routers[router].asking
    while inputs:
        p = lowest(inputs)
        inputs &= inputs - 1
        port = router * fabric.ports + p
        mask = net.ports[port].asking
        while mask:
            v = lowest(mask)
            mask &= mask - 1
            vc = port * fabric.channels + v
            channel = net.channels[vc]
            if channel.ready > now:
                net.counters[BUSY] = 1
            elif channel.pending == 1:
                net.asked[n, 0] = p * fabric.channels + v
                net.asked[n, 1] = channel.exit
                net.asked[n, 2] = -1
                net.asked[n, 3] = channel.crosses
                n += 1
            else:
                _take_all(fabric, traffic, net, vc, now)
    return n


@part
def take_channel(fabric, net, router, k, now):
    """A packet with one branch gets the channel that it has been allocated."""
    channel = net.channels[router * fabric.ports * fabric.channels + net.asked[k, 0]]
    channel.out = net.asked[k, 2]
    net.ports[router * fabric.ports + net.asked[k, 1]].in_use |= ONE << channel.out
    _activate(fabric, net, channel, now)


@part
def _activate(fabric, net, channel, now):
    """A channel that asked has been allocated one: its flits may go."""
    port = net.ports[channel.port]
    channel.ready = now + fabric.granted
    net.counters[BUSY] = 1
    port.asking &= ~(ONE << channel.number)
    port.active |= ONE << channel.number
    if port.asking == 0:
        router = net.routers[channel.router]
        router.asking &= ~(ONE << (channel.port - channel.router * fabric.ports))
    sends(fabric, net, channel)


@part
def match_channels(fabric, net, router, n):
    """One iteration of iSLIP: each free channel grants one asker, each asker accepts one."""
    base = router * fabric.ports * fabric.channels
    for k in range(n):
        p, input_vc = net.asked[k, 1], net.asked[k, 0]
        free = class_of(fabric, net.asked[k, 3]) & ~net.ports[router * fabric.ports + p].in_use
        granted = free
        if _askers(net, n, p) > 1:
            granted = np.int64(0)
            while free:
                v = lowest(free)
                free &= free - 1
                if _granted(fabric, net, base, n, p, v) == input_vc:
                    granted |= ONE << v
        if granted:
            start = input_vc % fabric.channels
            if fabric.rotates:
                start = net.channels[base + input_vc].accept - p * fabric.channels
                start = start if 0 <= start < fabric.channels else 0
            net.asked[k, 2] = first_from(granted, start)
    total = fabric.ports * fabric.channels
    for k in range(n):
        if net.asked[k, 2] >= 0:
            input_vc, won = net.asked[k, 0], net.asked[k, 1] * fabric.channels + net.asked[k, 2]
            net.grant[base + won] = input_vc + 1 if input_vc + 1 < total else 0
            net.channels[base + input_vc].accept = won + 1 if won + 1 < total else 0


@part
def _askers(net, n, p):
    """How many channels ask for an output."""
    askers = 0
    for k in range(n):
        askers += net.asked[k, 1] == p
    return askers


@part
def _granted(fabric, net, base, n, p, v):
    """The asker that channel ``v`` of port ``p`` grants: the first from its pointer on."""
    pointer = net.grant[base + p * fabric.channels + v]
    first, best = -1, -1
    for k in range(n):
        if net.asked[k, 1] != p or not class_of(fabric, net.asked[k, 3]) >> v & 1:
            continue
        input_vc = net.asked[k, 0]
        if first < 0:
            first = input_vc
        if best < 0 and input_vc >= pointer:
            best = input_vc
    return best if best >= 0 else first
