"""Allocation of the next router's virtual channels."""

import numpy as np

from crossmesh.common.compiled import lowest, part
from crossmesh.interconnect.noc.flits.state import BUSY
from crossmesh.interconnect.noc.routes import ANY


@part
def class_of(fabric, traffic, branch):
    """Channels of the next router that a route may use, as bits."""
    every = (np.int64(1) << fabric.channels) - 1
    if traffic.crosses[branch] == ANY:
        return every
    lower = (np.int64(1) << (fabric.channels - fabric.channels // 2)) - 1
    return every & ~lower if traffic.crosses[branch] else lower


@part
def first_from(mask, start):
    """The first bit of a mask from a place on, in a circle."""
    above = mask & ~((np.int64(1) << start) - 1)
    return lowest(above) if above else lowest(mask)


@part
def take_channel(fabric, net, router, vc, place, port, v, now):
    """An input channel gets channel ``v`` behind an output port, for its branch at ``place``."""
    net.in_use[router * fabric.ports + port] |= np.int64(1) << v
    net.out_vc[place] = v
    net.ready[vc] = now + fabric.granted


@part
def _take_all(fabric, traffic, net, router, vc, now):
    """A packet with several branches gets an empty channel for each, or none.

    Buffers hold it whole, so once it has begun nothing that it waits for can wait for it.
    """
    at = vc * fabric.depth + net.front[vc]
    first, end = traffic.first[net.node[at]], traffic.first[net.node[at] + 1]
    for trial in range(2):
        for branch in range(first, end):
            port = traffic.port[branch]
            out = router * fabric.ports + port
            free = class_of(fabric, traffic, branch) & ~net.in_use[out]
            found = -1
            while free and found < 0:
                v = lowest(free)
                free &= free - 1
                if net.credits[out * fabric.channels + v] == fabric.depth:
                    found = v
            if found < 0:
                return False
            if trial:
                place = vc * traffic.most_branches + branch - first
                take_channel(fabric, net, router, vc, place, port, found, now)
    return True


@part
def ask(fabric, traffic, net, router, now):
    """Channels that ask for a channel of the next router; those with branches are served first."""
    n = 0
    for p in range(fabric.ports):
        port = router * fabric.ports + p
        mask = net.asking[port]
        while mask:
            v = lowest(mask)
            mask &= mask - 1
            vc = port * fabric.channels + v
            if net.ready[vc] > now:
                net.counters[BUSY] = 1
                continue
            if net.pending[vc] == 1:
                net.asked[n, 0] = p * fabric.channels + v
                net.asked[n, 1] = traffic.port[net.branch[vc]]
                net.asked[n, 2] = -1
                n += 1
            elif _take_all(fabric, traffic, net, router, vc, now):
                activate(fabric, net, port, vc, v)
    return n


@part
def activate(fabric, net, port, vc, v):
    """A channel that asked has been allocated one: its flits may go."""
    bit = np.int64(1) << v
    net.counters[BUSY] = 1
    net.asking[port] &= ~bit
    net.active[port] |= bit
    net.sending[port] |= bit


@part
def match_channels(fabric, traffic, net, router, n):
    """One iteration of iSLIP: each free channel grants one asker, each asker accepts one."""
    base = router * fabric.ports * fabric.channels
    total = fabric.ports * fabric.channels
    for k in range(n):
        p = net.asked[k, 1]
        input_vc = net.asked[k, 0]
        vc = base + input_vc
        out = router * fabric.ports + p
        free = class_of(fabric, traffic, net.branch[vc]) & ~net.in_use[out]
        granted = free
        rivals = False
        for other in range(n):
            rivals |= other != k and net.asked[other, 1] == p
        if rivals:
            granted = np.int64(0)
            rest = free
            while rest:
                v = lowest(rest)
                rest &= rest - 1
                if _granted(fabric, traffic, net, router, n, p, v) == input_vc:
                    granted |= np.int64(1) << v
        if granted:
            start = input_vc % fabric.channels
            if fabric.rotates:
                start = net.vc_accept[vc] - p * fabric.channels
                start = start if 0 <= start < fabric.channels else 0
            net.asked[k, 2] = first_from(granted, start)
    for k in range(n):
        v = net.asked[k, 2]
        if v >= 0:
            p, input_vc = net.asked[k, 1], net.asked[k, 0]
            net.vc_grant[base + p * fabric.channels + v] = (input_vc + 1) % total
            net.vc_accept[base + input_vc] = (p * fabric.channels + v + 1) % total


@part
def _granted(fabric, traffic, net, router, n, p, v):
    """The asker that channel ``v`` of port ``p`` grants: the first from its pointer on."""
    base = router * fabric.ports * fabric.channels
    pointer = net.vc_grant[base + p * fabric.channels + v]
    first, best = -1, -1
    for k in range(n):
        if net.asked[k, 1] != p:
            continue
        input_vc = net.asked[k, 0]
        if not (class_of(fabric, traffic, net.branch[base + input_vc]) >> v) & 1:
            continue
        if first < 0:
            first = input_vc
        if best < 0 and input_vc >= pointer:
            best = input_vc
    return best if best >= 0 else first
