"""The arrays that the flit level works on, and routers at rest."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from crossmesh.interconnect.noc.router import Router
from crossmesh.interconnect.noc.topology import Integers, Topology

Small = NDArray[np.int32]

MOST_PORTS = 62  # of a router, its tile's own among them: they are bits of an int64
LONG_AGO = -(1 << 40)

FLITS, CREDITS, TAILS = 0, 1, 2  # what lies in the wheel
# Counters; BUSY is of a router's cycle, NOW and CREATED are where a run goes on.
WHEELED, AWAKE, SOURCES, MOVED, WAITING, BUSY, NOW, CREATED = range(8)


class Fabric(NamedTuple):
    """Routers and how they are joined; does not change.

    ``ports`` counts the tile's own, the last. An input port is ``router * ports + port``, and so
    is an output port; sources follow the output ports.
    """

    ports: int
    channels: int
    depth: int
    routing: int
    vc: int
    switch: int
    traversal: int
    credit: int
    link: int
    granted: int  # cycles from the request for a channel to the request for the switch
    speculative: bool
    rotates: bool
    down: Integers  # (output ports) the input port behind each
    up: Integers  # (input ports) the output port or source before each


class Traffic(NamedTuple):
    """Packets and their routes; does not change. Packet ``m * messages + j`` is message j of m."""

    flits: Integers  # (messages,)
    source: Integers  # (messages,)
    root: Integers  # (messages,) node of the route
    arrival: Integers  # (messages,) place of its first arrival
    created: Integers  # (packets,) for packets that wait for a cycle
    order: Integers  # (packets,) in which they are created
    port: Integers  # (branches,)
    next: Integers  # (branches,)
    leaf: Integers  # (branches,)
    crosses: Integers  # (branches,)
    first: Integers  # (nodes + 1,)
    most_branches: int


class FabricState(NamedTuple):
    """State of routers, sources and links."""

    held: Small  # (vcs,) flits in the buffer
    queued: Small  # (vcs,) packets in the buffer, the first perhaps in part
    front: Small  # (vcs,) place of the first in the ring
    packet: Integers  # (vcs * depth,) ring of packets
    node: Small  # (vcs * depth,) their nodes of the route
    left: Small  # (vcs,) flits of the first packet that have not left
    ready: Integers  # (vcs,) cycle from which it asks for an allocation
    branch: Small  # (vcs,) branch of the route, for packets with one
    out_vc: Small  # (vcs * most branches,)
    pending: Integers  # (vcs,) branches that the first flit still has to take, as bits
    asking: Integers  # (input ports,) channels that want a channel, as bits
    active: Integers  # (input ports,) channels that have one
    sending: Integers  # (input ports,) channels that have a flit for it
    credits: Small  # (output vcs)
    in_use: Integers  # (output ports,) channels taken, as bits
    vc_grant: Small  # (output vcs) pointers of the allocators
    vc_accept: Small  # (vcs,)
    sw_grant: Small  # (output ports)
    sw_accept: Small  # (input ports)
    sw_offset: Small  # (input ports) of the choice among channels
    vc_from: Integers  # (routers,) cycle from which each stage takes more
    sw_from: Integers
    route_from: Integers
    cross_from: Integers
    sent: Integers  # (output ports) cycle of the last flit
    load: Small  # (routers,) flits inside
    awake: Small  # (routers,)
    awake_list: Small
    src_awake: Small  # (sources,)
    src_list: Small
    src_head: Integers  # (sources,) first packet, -1 where none
    src_tail: Integers
    following: Integers  # (packets,) the next packet of the same source
    src_left: Small
    src_vc: Small
    src_last: Small
    due: Integers  # (input ports,) channel whose flit leaves when the switch is allocated, -1
    due_to: Integers  # (input ports,) outputs that it was granted, as bits
    due_at: Integers  # (routers,)
    wheel: Integers  # (slots, 3) entries
    flit_at: Small  # (slots, ports) vc, and beside it packet and node
    flit_packet: Integers
    flit_node: Small
    credit_at: Small  # (slots, ports)
    tail_packet: Integers  # (slots, ports)
    tail_leaf: Small
    link_flits: Integers  # (output ports)
    arrivals: Integers  # (arrivals,)
    counters: Integers
    wants: Small  # scratch: (ports * ports) channel that wants, -1
    wants_mask: Integers  # (ports,) inputs that want an output
    takes: Small  # (ports,) output that each input accepts, -1
    asked: Small  # (vcs of a router, 4) who asks, for what, what it gets


def fabric_of(topology: Topology, router: Router) -> Fabric:
    """Routers and how they are joined.

    Raises:
        ValueError: If such routers cannot be simulated flit by flit.
    """
    ports = topology.n_ports + 1
    if ports > MOST_PORTS:
        rule = f"must have at most {MOST_PORTS} ports per router for the model flit"
        raise ValueError(
            f"{type(topology).__name__} {rule}, got {ports}; the model packet has none"
        )
    if topology.has_rings and router.virtual_channels < 2:
        rule = "must be at least 2 in a torus, whose rings can deadlock with one"
        raise ValueError(f"Router.virtual_channels {rule}, got {router.virtual_channels}")
    n = topology.n_routers
    down = np.full((n, ports), -1)
    up = np.full((n, ports), -1)
    at, port = np.nonzero(topology.neighbors >= 0)
    behind, entry = topology.neighbors[at, port], topology.entries[at, port]
    down[at, port] = behind * ports + entry
    up[behind, entry] = at * ports + port
    up[:, -1] = n * ports + np.arange(n)
    vc, switch = router.vc_allocation_cycles, router.switch_allocation_cycles
    return Fabric(
        ports=ports,
        channels=router.virtual_channels,
        depth=router.buffer_flits,
        routing=router.routing_cycles,
        vc=vc,
        switch=switch,
        traversal=router.switch_traversal_cycles,
        credit=router.credit_cycles,
        link=topology.link_cycles,
        granted=vc - switch if router.speculative and vc > switch else vc,
        speculative=router.speculative and vc <= switch,
        rotates=router.rotates,
        down=down.ravel(),
        up=up.ravel(),
    )


def network_at_rest(
    fabric: Fabric, traffic: Traffic, n_packets: int, n_arrivals: int
) -> FabricState:
    """Empty buffers, all credits at hand, all pointers at zero."""
    ports, routers = len(fabric.down), len(fabric.down) // fabric.ports
    vcs, outputs = ports * fabric.channels, ports + routers
    slowest = 4 * fabric.traversal + fabric.switch + 2 * fabric.link + fabric.credit + 8
    slots = 1 << int(slowest).bit_length()

    def small(*shape: int, fill: int = 0) -> np.ndarray[tuple[int, ...], np.dtype[np.int32]]:
        return np.full(shape, fill, np.int32)

    def large(*shape: int, fill: int = 0) -> Integers:
        return np.full(shape, fill, np.int64)

    return FabricState(
        held=small(vcs),
        queued=small(vcs),
        front=small(vcs),
        packet=large(vcs * fabric.depth),
        node=small(vcs * fabric.depth),
        left=small(vcs),
        ready=large(vcs),
        branch=small(vcs),
        out_vc=small(vcs * traffic.most_branches),
        pending=large(vcs),
        asking=large(ports),
        active=large(ports),
        sending=large(ports),
        credits=small(outputs * fabric.channels, fill=fabric.depth),
        in_use=large(outputs),
        vc_grant=small(vcs),
        vc_accept=small(vcs),
        sw_grant=small(ports),
        sw_accept=small(ports),
        sw_offset=small(ports),
        vc_from=large(routers),
        sw_from=large(routers),
        route_from=large(routers, fill=LONG_AGO),
        cross_from=large(routers, fill=LONG_AGO),
        sent=large(ports, fill=LONG_AGO),
        load=small(routers),
        awake=small(routers),
        awake_list=small(routers),
        src_awake=small(routers),
        src_list=small(routers),
        src_head=large(routers, fill=-1),
        src_tail=large(routers, fill=-1),
        following=large(n_packets, fill=-1),
        src_left=small(routers),
        src_vc=small(routers, fill=-1),
        src_last=small(routers, fill=-1),
        due=large(ports, fill=-1),
        due_to=large(ports),
        due_at=large(routers, fill=-1),
        wheel=large(slots, 3),
        flit_at=small(slots, outputs),
        flit_packet=large(slots, outputs),
        flit_node=small(slots, outputs),
        credit_at=small(slots, ports + outputs),
        tail_packet=large(slots, routers),
        tail_leaf=small(slots, routers),
        link_flits=large(ports),
        arrivals=large(n_arrivals, fill=-1),
        counters=large(8),
        wants=small(fabric.ports**2, fill=-1),
        wants_mask=large(fabric.ports),
        takes=small(fabric.ports),
        asked=small(fabric.ports * fabric.channels, 4),
    )
