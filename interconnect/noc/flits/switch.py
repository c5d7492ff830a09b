"""Allocation of a router's switch."""

import numpy as np

from crossmesh.common.compiled import lowest, part
from crossmesh.interconnect.noc.flits.state import BUSY
from crossmesh.interconnect.noc.flits.virtual_channels import class_of, first_from


@part
def _want(fabric, net, router, p, o, v):
    """Note that channel ``v`` of input ``p`` wants output ``o``.

    Of two, the one with a channel comes before one that guesses, then the one next in turn.
    """
    port = router * fabric.ports + p
    other = net.wants[p * fabric.ports + o]
    if other >= 0:
        guesses, rival_guesses = net.asking[port] >> v & 1, net.asking[port] >> other & 1
        offset = net.sw_offset[port]
        later = (v - offset) % fabric.channels >= (other - offset) % fabric.channels
        if guesses > rival_guesses or (guesses == rival_guesses and later):
            return
    net.counters[BUSY] = 1
    net.wants[p * fabric.ports + o] = v
    net.wants_mask[o] |= np.int64(1) << p


@part
def gather_wants(fabric, traffic, net, router, now):
    """Channels that want the switch: those with a flit and a credit.

    Returns:
        Whether any channel had a flit; without a credit it takes part in vain.
    """
    takes_part = False
    for p in range(fabric.ports):
        port = router * fabric.ports + p
        mask = net.sending[port]
        while mask:
            v = lowest(mask)
            mask &= mask - 1
            vc = port * fabric.channels + v
            if net.ready[vc] > now:
                net.counters[BUSY] = 1
                continue
            takes_part = True
            branches, k = net.pending[vc], 0
            while branches:
                k = lowest(branches)
                branches &= branches - 1
                o = traffic.port[net.branch[vc] + k]
                out = (router * fabric.ports + o) * fabric.channels
                if net.credits[out + net.out_vc[vc * traffic.most_branches + k]] > 0:
                    _want(fabric, net, router, p, o, v)
    return takes_part


@part
def gather_guesses(fabric, traffic, net, router, n):
    """Channels that ask for a channel want the switch too, if one they could get has room."""
    base = router * fabric.ports * fabric.channels
    for k in range(n):
        input_vc, o = net.asked[k, 0], net.asked[k, 1]
        out = router * fabric.ports + o
        free = class_of(fabric, traffic, net.branch[base + input_vc]) & ~net.in_use[out]
        while free:
            v = lowest(free)
            free &= free - 1
            if net.credits[out * fabric.channels + v] > 0:
                p = input_vc // fabric.channels
                v = input_vc - p * fabric.channels
                _want(fabric, net, router, p, o, v)
                break


@part
def _match(fabric, net, router):
    """One iteration of iSLIP over the switch: outputs grant, inputs accept."""
    base = router * fabric.ports
    given = np.int64(0)
    for p in range(fabric.ports):
        net.takes[p] = -1
    for o in range(fabric.ports):
        if net.wants_mask[o]:
            p = first_from(net.wants_mask[o], net.sw_grant[base + o])
            net.wants_mask[o] = np.int64(1) << p
            given |= net.wants_mask[o]
    while given:
        p = lowest(given)
        given &= given - 1
        offered = np.int64(0)
        for o in range(fabric.ports):
            offered |= (net.wants_mask[o] >> p & 1) << o
        o = first_from(offered, net.sw_accept[base + p])
        net.takes[p] = o
        net.sw_grant[base + o] = (p + 1) % fabric.ports
        net.sw_accept[base + p] = (o + 1) % fabric.ports


@part
def grant_switch(fabric, traffic, net, router, n):
    """What the switch will carry. A guess that did not come true wastes its turn."""
    _match(fabric, net, router)
    base = router * fabric.ports
    for p in range(fabric.ports):
        o = net.takes[p]
        if o < 0:
            continue
        v = net.wants[p * fabric.ports + o]
        vc = (base + p) * fabric.channels + v
        net.sw_offset[base + p] = (v + 1) % fabric.channels
        if net.asking[base + p] >> v & 1 and not _came_true(fabric, net, router, n, p, o, v):
            continue
        net.due[base + p], net.due_to[base + p] = vc, np.int64(1) << o
        if net.pending[vc] & (net.pending[vc] - 1):  # copies go out side by side
            for other in range(fabric.ports):
                if net.wants_mask[other] >> p & 1 and net.wants[p * fabric.ports + other] == v:
                    net.due_to[base + p] |= np.int64(1) << other
    for o in range(fabric.ports):
        if net.wants_mask[o]:
            net.wants[o :: fabric.ports] = -1
            net.wants_mask[o] = 0


@part
def _came_true(fabric, net, router, n, p, o, v):
    """Whether a channel that guessed has been allocated one with room in the same cycle."""
    for k in range(n):
        if net.asked[k, 0] == p * fabric.channels + v:
            won = net.asked[k, 2]
            out = router * fabric.ports + o
            return won >= 0 and net.credits[out * fabric.channels + won] > 0
    return False
