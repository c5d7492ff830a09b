"""One cycle after the other, until everything has arrived.

The pipeline, its allocators and the order of what happens in a cycle are those of BookSim 2
(Jiang et al., ISPASS 2013): route, allocate a virtual channel of the next router, allocate the
switch, traverse it; separable allocation in one iteration, whose pointers move on a grant only. A
stage of several cycles takes what waits for it in batches: none enters while others are inside.
Routers without flits and sources without packets cost nothing.
"""

from crossmesh.common.compiled import kernel, lowest, part
from crossmesh.interconnect.noc.flits.buffers import (
    ONE,
    begin,
    create,
    enter_body,
    enter_head,
    inject,
    post_body,
    post_credit,
    post_head,
    post_tail,
    wake,
)
from crossmesh.interconnect.noc.flits.state import (
    AWAKE,
    BODIES,
    BUSY,
    CREATED,
    CREDITS,
    HEADS,
    MOVED,
    NOW,
    SOURCES,
    TAILS,
    WHEELED,
)
from crossmesh.interconnect.noc.flits.switch import (
    channel_behind,
    exit_of,
    gather_guesses,
    gather_wants,
    grant_switch,
)
from crossmesh.interconnect.noc.flits.virtual_channels import ask, match_channels, take_channel
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
    channel = net.channels[vc]
    out = router * fabric.ports + exit_of(traffic, channel, k)
    v = channel_behind(traffic, net, channel, vc, k)
    out_vc = out * fabric.channels + v
    port = net.ports[out]
    net.credits[out_vc] -= 1
    port.link_flits += 1
    leaves = _crossing(fabric, net, router, out, now)
    down = fabric.down[out]
    if down < 0:
        post_credit(net, leaves + 4 + fabric.credit, out_vc)
        if channel.left == 1:
            leaf = traffic.branches[channel.branch + k].leaf
            post_tail(net, leaves + 2, channel.packet, leaf)
    elif channel.left == channel.flits:
        branch = traffic.branches[channel.branch + k].next
        at, behind = leaves + 1 + fabric.link, down * fabric.channels + v
        post_head(net, at, behind, channel.packet, branch, channel.flits)
    else:
        post_body(net, leaves + 1 + fabric.link, down * fabric.channels + v)
    if channel.left == 1:
        port.in_use &= ~(ONE << v)
    channel.pending &= ~(ONE << k)


@part
def _retire(fabric, traffic, net, vc, now):
    """The first flit of a buffer has left by all branches of its packet."""
    channel = net.channels[vc]
    port, router = net.ports[channel.port], net.routers[channel.router]
    bit = ONE << channel.number
    channel.held -= 1
    channel.left -= 1
    router.load -= 1
    before = fabric.up[channel.port]
    from_source = before >= fabric.down.shape[0]
    back = 1 if from_source else fabric.link + fabric.credit
    post_credit(net, now + 1 + back, before * fabric.channels + channel.number)
    if channel.left == 0:
        port.active &= ~bit
        channel.queued -= 1
        if channel.queued:
            following = net.behind[vc * fabric.depth + channel.front]
            channel.front = channel.front + 1 if channel.front + 1 < fabric.depth else 0
            packet, branch = following.packet, following.branch
            begin(fabric, traffic, net, channel, packet, branch, following.flits, now + 1)
    else:
        channel.pending = (ONE << traffic.branches[channel.branch].beside) - 1
        if channel.held:
            return
    port.sending &= ~bit
    if port.sending == 0:
        router.sending &= ~(ONE << (channel.port - channel.router * fabric.ports))


@part
def _leave(fabric, traffic, net, router, p, now):
    """Send what input ``p`` was granted."""
    port = net.ports[router * fabric.ports + p]
    vc, outputs = port.due, port.due_to
    channel = net.channels[vc]
    branches = channel.pending
    while branches:
        k = lowest(branches)
        branches &= branches - 1
        if outputs >> exit_of(traffic, channel, k) & 1:
            _send(fabric, traffic, net, router, vc, k, now)
    if channel.pending == 0:
        _retire(fabric, traffic, net, vc, now)
    net.counters[MOVED] = now


@part
def _step(fabric, traffic, net, number, now):
    """One cycle of a router: ask for channels, ask for the switch, send what was granted."""
    n = 0
    router = net.routers[number]
    if router.asking and now >= router.vc_from:
        n = ask(fabric, traffic, net, number, now)
        if n:
            match_channels(fabric, net, number, n)
            router.vc_from = now + fabric.vc
    if now >= router.sw_from:
        takes_part = gather_wants(fabric, traffic, net, number, now)
        if fabric.speculative and n:
            gather_guesses(fabric, net, number, n)
            takes_part = True
        if takes_part:
            grant_switch(fabric, net, number, n)
            router.sw_from = now + fabric.switch
            router.due_at = now + fabric.switch - 1
    for k in range(n):
        if net.asked[k, 2] >= 0:
            take_channel(fabric, net, number, k, now)
    if router.due_at == now:
        while router.due:
            p = lowest(router.due)
            router.due &= router.due - 1
            _leave(fabric, traffic, net, number, p, now)


@part
def _turn_wheel(fabric, traffic, net, plan, work, now):
    """What arrives in this cycle: flits in buffers, tails at tiles, credits."""
    slot = now & (net.wheel.shape[0] - 1)
    for i in range(net.wheel[slot, TAILS]):
        tail = net.tails[slot, i]
        micro_batch = tail.packet // traffic.flits.shape[0]
        message = tail.packet - micro_batch * traffic.flits.shape[0]
        delivery = traffic.arrival[message] + tail.leaf
        net.arrivals[micro_batch * plan.n_deliveries + delivery] = now
        delivered(plan, work, micro_batch, delivery)
    for i in range(net.wheel[slot, HEADS]):
        enter_head(fabric, traffic, net, net.heads[slot, i], now)
    for i in range(net.wheel[slot, BODIES]):
        enter_body(fabric, net, net.bodies[slot, i])
    outputs = fabric.down.shape[0] * fabric.channels
    for i in range(net.wheel[slot, CREDITS]):
        vc = net.returned[slot, i]
        net.credits[vc] += 1
        if vc < outputs:
            router = vc // (fabric.ports * fabric.channels)
            if net.routers[router].load:
                wake(net, router)
    for kind in range(net.wheel.shape[1]):
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
    """Every source with packets sends a flit."""
    for word in range(net.waiting.shape[0]):
        bits = net.waiting[word]
        while bits:
            bit = bits & -bits
            source = word * 32 + lowest(bits)
            bits -= bit
            inject(fabric, traffic, net, source, now)
            if net.sources[source].head < 0:
                net.waiting[word] -= bit
                net.counters[SOURCES] -= 1


@part
def _routers(fabric, traffic, net, now):
    """Every router with flits does a cycle.

    Those without fall asleep, and so do those in which nothing could move: what they wait for
    is a credit or a flit, which wakes them. Where stages take several cycles all stay, since even
    what waits in vain takes part in their batches.
    """
    sleeps = max(fabric.vc, fabric.switch, fabric.routing) <= 1
    for word in range(net.awake.shape[0]):
        bits = net.awake[word]
        while bits:
            bit = bits & -bits
            router = word * 32 + lowest(bits)
            bits -= bit
            net.counters[BUSY] = 0
            if net.routers[router].load:
                _step(fabric, traffic, net, router, now)
            if not net.routers[router].load or (sleeps and not net.counters[BUSY]):
                net.awake[word] -= bit
                net.counters[AWAKE] -= 1


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
                return now if net.routers.load.sum() == 0 else -now
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
        if net.counters[SOURCES]:
            _sources(fabric, traffic, net, now)
        most -= 1 + net.counters[AWAKE]
        if net.counters[AWAKE]:
            _routers(fabric, traffic, net, now)
        now += 1
    net.counters[NOW] = now
    net.counters[CREATED] = n_created
    return UNDONE
