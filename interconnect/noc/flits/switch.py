"""Allocation of a router's switch."""

import numpy as np

from crossmesh.common.compiled import lowest, part
from crossmesh.interconnect.noc.flits.buffers import ONE
from crossmesh.interconnect.noc.flits.state import BUSY
from crossmesh.interconnect.noc.flits.virtual_channels import class_of, first_from


@part
def exit_of(traffic, channel, k):
    """Output port of a packet's branch ``k``."""
    return channel.exit if k == 0 else traffic.branches[channel.branch + k].port


@part
def channel_behind(traffic, net, channel, vc, k):
    """Channel that a packet was allocated behind the output port of its branch ``k``."""
    return channel.out if k == 0 else net.out_vc[vc * traffic.most_branches + k]


@part
def _turn(fabric, port, v):
    """How far channel ``v`` is from the one that is next in turn."""
    distance = v - port.offset
    return distance if distance >= 0 else distance + fabric.channels


@part
def _want(fabric, net, port, p, o, v):
    """Note that channel ``v`` of input ``p`` wants output ``o``.

    Of two, the one with a channel comes before one that guesses, then the one next in turn.
    """
    other = net.wants[p * fabric.ports + o]
    if other >= 0:
        guesses, rival_guesses = port.asking >> v & 1, port.asking >> other & 1
        later = _turn(fabric, port, v) >= _turn(fabric, port, other)
        if guesses > rival_guesses or (guesses == rival_guesses and later):
            return
    net.counters[BUSY] = 1
    net.wants[p * fabric.ports + o] = v
    net.wants_mask[o] |= ONE << p


@part
def gather_wants(fabric, traffic, net, router, now):
    """Channels that want the switch: those with a flit and a credit.

    Returns:
        Whether any channel had a flit; without a credit it takes part in vain.
    """
    takes_part = False
    inputs = net.routers[router].sending
    while inputs:
        p = lowest(inputs)
        inputs &= inputs - 1
        port = net.ports[router * fabric.ports + p]
        mask = port.sending
        while mask:
            v = lowest(mask)
            mask &= mask - 1
            vc = (router * fabric.ports + p) * fabric.channels + v
            channel = net.channels[vc]
            if channel.ready > now:
                net.counters[BUSY] = 1
                continue
            takes_part = True
            branches = channel.pending
            while branches:
                k = lowest(branches)
                branches &= branches - 1
                o = exit_of(traffic, channel, k)
                out = (router * fabric.ports + o) * fabric.channels
                if net.credits[out + channel_behind(traffic, net, channel, vc, k)] > 0:
                    _want(fabric, net, port, p, o, v)
    return takes_part


@part
def gather_guesses(fabric, net, router, n):
    """Channels that ask for a channel want the switch too, if one they could get has room."""
    for k in range(n):
        input_vc, o = net.asked[k, 0], net.asked[k, 1]
        out = router * fabric.ports + o
        free = class_of(fabric, net.asked[k, 3]) & ~net.ports[out].in_use
        while free:
            v = lowest(free)
            free &= free - 1
            if net.credits[out * fabric.channels + v] > 0:
                p = input_vc // fabric.channels
                port = net.ports[router * fabric.ports + p]
                _want(fabric, net, port, p, o, input_vc - p * fabric.channels)
                break


@part
def _match(fabric, net, base):
    """One iteration of iSLIP over the switch: outputs grant, inputs accept.

    Returns:
        Inputs that were granted something, and outputs that were wanted, as bits.
    """
    given = wanted = np.int64(0)
    for o in range(fabric.ports):
        if net.wants_mask[o]:
            p = first_from(net.wants_mask[o], net.ports[base + o].grant)
            net.wants_mask[o] = ONE << p
            given |= ONE << p
            wanted |= ONE << o
    inputs = given
    while inputs:
        p = lowest(inputs)
        inputs &= inputs - 1
        offered, outputs = np.int64(0), wanted
        while outputs:
            o = lowest(outputs)
            outputs &= outputs - 1
            offered |= (net.wants_mask[o] >> p & 1) << o
        o = first_from(offered, net.ports[base + p].accept)
        net.takes[p] = o
        net.ports[base + o].grant = p + 1 if p + 1 < fabric.ports else 0
        net.ports[base + p].accept = o + 1 if o + 1 < fabric.ports else 0
    return given, wanted


@part
def grant_switch(fabric, net, router, n):
    """What the switch will carry. A guess that did not come true wastes its turn."""
    base = router * fabric.ports
    given, wanted = _match(fabric, net, base)
    while given:
        p = lowest(given)
        given &= given - 1
        o, port = net.takes[p], net.ports[base + p]
        v = net.wants[p * fabric.ports + o]
        port.offset = v + 1 if v + 1 < fabric.channels else 0
        if port.asking >> v & 1 and not _came_true(fabric, net, router, n, p, o, v):
            continue
        vc = (base + p) * fabric.channels + v
        port.due, port.due_to = vc, ONE << o
        net.routers[router].due |= ONE << p
        if net.channels[vc].pending & (net.channels[vc].pending - 1):  # copies go side by side
            for other in range(fabric.ports):
                if net.wants_mask[other] >> p & 1 and net.wants[p * fabric.ports + other] == v:
                    port.due_to |= ONE << other
    while wanted:
        o = lowest(wanted)
        wanted &= wanted - 1
        net.wants_mask[o] = 0
        for p in range(fabric.ports):
            net.wants[p * fabric.ports + o] = -1


@part
def _came_true(fabric, net, router, n, p, o, v):
    """Whether a channel that guessed has been allocated one with room in the same cycle."""
    for k in range(n):
        if net.asked[k, 0] == p * fabric.channels + v:
            won = net.asked[k, 2]
            out = router * fabric.ports + o
            return won >= 0 and net.credits[out * fabric.channels + won] > 0
    return False
