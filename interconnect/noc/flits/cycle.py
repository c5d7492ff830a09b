"""One cycle after the other, until everything has arrived.

The pipeline, its allocators and the order of what happens in a cycle are those of BookSim 2
(Jiang et al., ISPASS 2013): route, allocate a virtual channel of the next router, allocate the
switch, traverse it; separable allocation in one iteration, whose pointers move on a grant only. A
stage of several cycles takes what waits for it in batches: none enters while others are inside.
Routers without flits and sources without packets cost nothing.
"""

import numpy as np

from crossmesh.common.compiled import kernel, lowest, part
from crossmesh.interconnect.noc.flits.buffers import (
    begin,
    create,
    enter,
    inject,
    post_credit,
    post_flit,
    post_tail,
    wake,
)
from crossmesh.interconnect.noc.flits.state import (
    AWAKE,
    BUSY,
    CREATED,
    CREDITS,
    FLITS,
    MOVED,
    NOW,
    SOURCES,
    TAILS,
    WHEELED,
)
from crossmesh.interconnect.noc.flits.switch import gather_guesses, gather_wants, grant_switch
from crossmesh.interconnect.noc.flits.virtual_channels import (
    activate,
    ask,
    match_channels,
    take_channel,
)
from crossmesh.interconnect.noc.resources import (
    NEVER,
    UNDONE,
    delivered,
    end_next,
    next_end,
    start_what_can,
)

STALLED = 100_000  # cycles without a move after which a network is given up


@part
def _crossing(fabric, net, router, out, now):
    """Cycle in which a flit that leaves its buffer now leaves the switch."""
    if fabric.traversal == 1:
        return now + 1
    if net.cross_from[router] < now + 1:
        net.cross_from[router] = max(now + 1, net.cross_from[router] + fabric.traversal)
    leaves = net.cross_from[router] + fabric.traversal - 1
    leaves = max(leaves, net.sent[out] + 1)
    net.sent[out] = leaves
    return leaves


@part
def _send(fabric, traffic, net, router, vc, k, now):
    """A copy of a buffer's first flit goes out by branch ``k`` of its packet's route."""
    at = vc * fabric.depth + net.front[vc]
    packet = net.packet[at]
    branch = net.branch[vc] + k
    port = traffic.port[branch]
    out = router * fabric.ports + port
    v = net.out_vc[vc * traffic.most_branches + k]
    out_vc = out * fabric.channels + v
    flits = traffic.flits[packet % traffic.flits.shape[0]]
    net.credits[out_vc] -= 1
    net.link_flits[out] += 1
    leaves = _crossing(fabric, net, router, out, now)
    if traffic.next[branch] < 0:
        post_credit(net, leaves + 4 + fabric.credit, out_vc)
        if net.left[vc] == 1:
            post_tail(net, leaves + 2, packet, traffic.leaf[branch])
    else:
        node = traffic.next[branch] if net.left[vc] == flits else -1
        behind = fabric.down[out] * fabric.channels + v
        post_flit(net, leaves + 1 + fabric.link, behind, packet, node)
    if net.left[vc] == 1:
        net.in_use[out] &= ~(np.int64(1) << v)
    net.pending[vc] &= ~(np.int64(1) << k)


@part
def _retire(fabric, traffic, net, router, vc, now):
    """The first flit of a buffer has left by all branches of its packet."""
    port = vc // fabric.channels
    bit = np.int64(1) << (vc - port * fabric.channels)
    at = vc * fabric.depth + net.front[vc]
    node = net.node[at]
    net.pending[vc] = (np.int64(1) << (traffic.first[node + 1] - traffic.first[node])) - 1
    net.held[vc] -= 1
    net.left[vc] -= 1
    net.load[router] -= 1
    before = fabric.up[port]
    v = vc - port * fabric.channels
    if before < net.link_flits.shape[0]:
        post_credit(net, now + 1 + fabric.link + fabric.credit, before * fabric.channels + v)
    else:
        post_credit(net, now + 2, before * fabric.channels + v)
    if net.left[vc] == 0:
        net.active[port] &= ~bit
        net.sending[port] &= ~bit
        net.front[vc] = (net.front[vc] + 1) % fabric.depth
        net.queued[vc] -= 1
        if net.queued[vc]:
            begin(fabric, traffic, net, vc, now + 1)
    elif net.held[vc] == 0:
        net.sending[port] &= ~bit


@part
def _leave(fabric, traffic, net, router, p, now):
    """Send what input ``p`` was granted."""
    port = router * fabric.ports + p
    vc = net.due[port]
    outputs = net.due_to[port]
    branches = net.pending[vc]
    while branches:
        k = lowest(branches)
        branches &= branches - 1
        if (outputs >> traffic.port[net.branch[vc] + k]) & 1:
            _send(fabric, traffic, net, router, vc, k, now)
    if net.pending[vc] == 0:
        _retire(fabric, traffic, net, router, vc, now)
    net.due[port] = -1
    net.counters[MOVED] = now


@part
def _step(fabric, traffic, net, router, now):
    """One cycle of a router: ask for channels, ask for the switch, send what was granted."""
    n = 0
    if now >= net.vc_from[router]:
        n = ask(fabric, traffic, net, router, now)
        if n:
            match_channels(fabric, traffic, net, router, n)
            net.vc_from[router] = now + fabric.vc
    if now >= net.sw_from[router]:
        takes_part = gather_wants(fabric, traffic, net, router, now)
        if fabric.speculative and n:
            gather_guesses(fabric, traffic, net, router, n)
            takes_part = True
        if takes_part:
            grant_switch(fabric, traffic, net, router, n)
            net.sw_from[router] = now + fabric.switch
            net.due_at[router] = now + fabric.switch - 1
    base = router * fabric.ports
    for k in range(n):
        if net.asked[k, 2] >= 0:
            vc = base * fabric.channels + net.asked[k, 0]
            place = vc * traffic.most_branches
            take_channel(fabric, net, router, vc, place, net.asked[k, 1], net.asked[k, 2], now)
            port = vc // fabric.channels
            activate(fabric, net, port, vc, vc - port * fabric.channels)
    if net.due_at[router] == now:
        for p in range(fabric.ports):
            if net.due[base + p] >= 0:
                _leave(fabric, traffic, net, router, p, now)


@part
def _turn_wheel(fabric, traffic, net, plan, work, now):
    """What arrives in this cycle: flits in buffers, tails at tiles, credits."""
    slot = now & (net.wheel.shape[0] - 1)
    for i in range(net.wheel[slot, TAILS]):
        packet = net.tail_packet[slot, i]
        micro_batch, message = packet // traffic.flits.shape[0], packet % traffic.flits.shape[0]
        delivery = traffic.arrival[message] + net.tail_leaf[slot, i]
        net.arrivals[micro_batch * plan.n_deliveries + delivery] = now
        delivered(plan, work, micro_batch, delivery)
    for i in range(net.wheel[slot, FLITS]):
        vc, node = net.flit_at[slot, i], net.flit_node[slot, i]
        enter(fabric, traffic, net, vc, net.flit_packet[slot, i], node, now)
    outputs = net.link_flits.shape[0] * fabric.channels
    for i in range(net.wheel[slot, CREDITS]):
        vc = net.credit_at[slot, i]
        net.credits[vc] += 1
        if vc < outputs:
            router = vc // (fabric.ports * fabric.channels)
            if net.load[router]:
                wake(net, router)
    for kind in range(3):
        net.counters[WHEELED] -= net.wheel[slot, kind]
        net.wheel[slot, kind] = 0


@part
def _work(traffic, net, plan, work, now):
    """End what ends now and begin what can, until nothing more happens in this cycle."""
    start_what_can(plan, work, now)
    while next_end(plan, work) <= now:
        micro_batch, task = end_next(plan, work)
        for i in range(plan.sends_first[task], plan.sends_first[task + 1]):
            create(traffic, net, micro_batch * traffic.flits.shape[0] + plan.sends[i])
        start_what_can(plan, work, now)


@part
def _sources(fabric, traffic, net, now):
    """Every source with packets sends a flit; those without leave the list."""
    kept = 0
    for i in range(net.counters[SOURCES]):
        source = net.src_list[i]
        inject(fabric, traffic, net, source, now)
        if net.src_head[source] >= 0:
            net.src_list[kept] = source
            kept += 1
        else:
            net.src_awake[source] = 0
    net.counters[SOURCES] = kept


@part
def _routers(fabric, traffic, net, now):
    """Every router with flits does a cycle.

    Those without leave the list, and so do those in which nothing could move: what they wait for
    is a credit or a flit, which wakes them. Where stages take several cycles all stay, since even
    what waits in vain takes part in their batches.
    """
    kept = 0
    sleeps = max(fabric.vc, fabric.switch, fabric.routing) <= 1
    for i in range(net.counters[AWAKE]):
        router = net.awake_list[i]
        net.counters[BUSY] = 0
        if net.load[router]:
            _step(fabric, traffic, net, router, now)
        if net.load[router] and (net.counters[BUSY] or not sleeps):
            net.awake_list[kept] = router
            kept += 1
        else:
            net.awake[router] = 0
    net.counters[AWAKE] = kept


@kernel
def run_flits(fabric, traffic, net, plan, work, most):
    """Run until every packet has arrived and every task is done, or for ``most`` router cycles.

    Returns:
        Cycles, minus the cycle in which nothing could move any more, or ``UNDONE``.
    """
    now = net.counters[NOW]
    n_created = net.counters[CREATED]
    while most > 0:
        busy = net.counters[AWAKE] + net.counters[SOURCES]
        if busy + net.counters[WHEELED] + work.sizes[1] == 0:
            ahead = next_end(plan, work)
            if n_created < traffic.order.shape[0]:
                ahead = min(ahead, traffic.created[traffic.order[n_created]])
            if ahead == NEVER:
                return now if net.load.sum() == 0 else -now
            now = max(now, ahead)
            net.counters[MOVED] = now
        elif busy and now - net.counters[MOVED] > STALLED:
            return -now
        _turn_wheel(fabric, traffic, net, plan, work, now)
        while n_created < traffic.order.shape[0]:
            packet = traffic.order[n_created]
            if traffic.created[packet] > now:
                break
            create(traffic, net, packet)
            n_created += 1
        _work(traffic, net, plan, work, now)
        _sources(fabric, traffic, net, now)
        most -= 1 + net.counters[AWAKE]
        _routers(fabric, traffic, net, now)
        now += 1
    net.counters[NOW] = now
    net.counters[CREATED] = n_created
    return UNDONE
