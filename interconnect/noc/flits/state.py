"""The arrays that the flit level works on, and routers at rest.

What is touched together lies together: with thousands of routers, memory is what costs. Records of
channels, ports and routers each fill a line of the cache.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from crossmesh.interconnect.noc.router import Router
from crossmesh.interconnect.noc.routes import Routes
from crossmesh.interconnect.noc.topology import Integers, Topology

Small = NDArray[np.int32]
Records = np.recarray[tuple[int, ...], np.dtype[np.record]]

MOST_PORTS = 62  # of a router, its tile's own among them: they are bits of an int64
LONG_AGO = -(1 << 40)
_LINE = 64  # bytes of a line of the cache

HEADS, BODIES, CREDITS, TAILS = range(4)  # what lies in the wheel
# Counters; BUSY is of a router's cycle, NOW and CREATED are where a run goes on.
WHEELED, AWAKE, SOURCES, MOVED, BUSY, NOW, CREATED = range(7)

_CHANNEL: list[tuple[str, DTypeLike]] = [  # of an input port
    ("packet", np.int64),  # the first in the buffer, perhaps in part
    ("ready", np.int64),  # cycle from which it asks for an allocation
    ("pending", np.int64),  # branches that the first flit still has to take, as bits
    ("branch", np.int32),  # the first of the packet's branches here
    ("flits", np.int32),  # length of the first packet
    ("left", np.int32),  # flits of it that have not left
    ("port", np.int32),  # the input port
    ("router", np.int32),
    ("number", np.int16),  # of the channel in its port
    ("held", np.int16),  # flits in the buffer
    ("queued", np.int16),  # packets in the buffer
    ("front", np.int16),  # place of the second in the ring of those behind the first
    ("exit", np.int16),  # output port of the first branch,
    ("crosses", np.int16),  # and which channels behind it may be taken,
    ("out", np.int16),  # and the one that was
    ("accept", np.int16),  # pointer of the allocator
    ("unused", np.int32),
]
_PORT: list[tuple[str, DTypeLike]] = [  # both ways; sources follow, of which one way counts
    ("asking", np.int64),  # input channels that want a channel, as bits
    ("active", np.int64),  # input channels that have one
    ("sending", np.int64),  # input channels that have a flit for it
    ("due_to", np.int64),  # outputs that the input was granted
    ("in_use", np.int64),  # output channels taken
    ("link_flits", np.int64),  # flits that have left
    ("due", np.int32),  # input channel whose flit leaves when the switch is allocated
    ("grant", np.int32),  # pointers of the switch's allocator, of the output
    ("accept", np.int32),  # and of the input,
    ("offset", np.int32),  # and of the choice among the input's channels
]
_ROUTER: list[tuple[str, DTypeLike]] = [
    ("load", np.int64),  # flits inside
    ("asking", np.int64),  # input ports where channels want a channel, as bits
    ("sending", np.int64),  # input ports where channels have a flit to send
    ("due", np.int64),  # input ports of which a flit leaves in cycle ``due_at``
    ("due_at", np.int64),
    ("vc_from", np.int64),  # cycle from which each stage takes more
    ("sw_from", np.int64),
    ("route_from", np.int64),
]
_SOURCE: list[tuple[str, DTypeLike]] = [
    ("head", np.int64),  # first packet, -1 where none
    ("tail", np.int64),  # last packet
    ("left", np.int32),  # flits of the first that have not left
    ("channel", np.int32),  # that they take, -1 where none
    ("last", np.int32),  # channel taken last
]
_PACKET: list[tuple[str, DTypeLike]] = [  # a head on its way or in a buffer
    ("packet", np.int64),
    ("vc", np.int32),  # input channel that it comes to
    ("branch", np.int32),
    ("flits", np.int32),
]
_TAIL: list[tuple[str, DTypeLike]] = [("packet", np.int64), ("leaf", np.int64)]
_BRANCH: list[tuple[str, DTypeLike]] = [
    ("next", np.int32),  # the first branch at the router behind it, -1 behind a tile's own port
    ("leaf", np.int32),
    ("port", np.int16),
    ("crosses", np.int16),
    ("beside", np.int32),  # branches at the same router, itself among them, for the first
]


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
    down: Small  # (output ports) the input port behind each
    up: Small  # (input ports) the output port or source before each


class Traffic(NamedTuple):
    """Packets and their routes; does not change. Packet ``m * messages + j`` is message j of m."""

    flits: Integers  # (messages,)
    source: Integers  # (messages,)
    root: Integers  # (messages,) first branch of the route
    arrival: Integers  # (messages,) place of its first arrival
    created: Integers  # (packets,) for packets that wait for a cycle
    order: Integers  # (packets,) in which they are created
    branches: Records  # (branches,)
    most_branches: int


class FabricState(NamedTuple):
    """State of routers, sources and links."""

    channels: Records  # (vcs,)
    ports: Records  # (ports and sources,)
    routers: Records  # (routers,)
    sources: Records  # (routers,)
    behind: Records  # (vcs * depth,) rings of packets behind the first
    out_vc: Small  # (vcs * most branches,) channels behind the outputs of copies
    credits: NDArray[np.int16]  # (output vcs)
    grant: NDArray[np.int16]  # (output vcs) pointers of the allocators
    cross_from: Integers  # (routers,) cycle from which the switch takes more
    sent: Integers  # (output ports) cycle of the last flit
    following: Integers  # (packets,) the next packet of the same source
    awake: Integers  # (routers / 32,) routers that may do something, as bits
    waiting: Integers  # (routers / 32,) sources with packets, as bits
    wheel: Small  # (slots, kinds) entries
    heads: Records  # (slots, ports)
    bodies: Small  # (slots, ports) input channels
    returned: Small  # (slots, ports) output channels that get a credit
    tails: Records  # (slots, routers)
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
    down = np.full((n, ports), -1, np.int32)
    up = np.full((n, ports), -1, np.int32)
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


def branches_of(routes: Routes) -> Records:
    """``(branches,)`` the branches of routes, each with all that a router asks of it."""
    branches = _records(_BRANCH, len(routes.port))
    goes_on = routes.next >= 0
    branches.next = np.where(goes_on, routes.first[routes.next], -1)
    branches.leaf, branches.port, branches.crosses = routes.leaf, routes.port, routes.crosses
    branches.beside[routes.first[:-1]] = np.diff(routes.first)
    return branches


def network_at_rest(
    fabric: Fabric, traffic: Traffic, n_packets: int, n_arrivals: int
) -> FabricState:
    """Empty buffers, all credits at hand, all pointers at zero."""
    ports, routers = len(fabric.down), len(fabric.down) // fabric.ports
    vcs, outputs = ports * fabric.channels, ports + routers
    slowest = fabric.switch + 2 * fabric.link + fabric.credit + 4
    slowest += 4 * fabric.traversal if fabric.traversal > 1 else 0
    slots = 1 << int(slowest).bit_length()
    channels = _records(_CHANNEL, vcs)
    channels.port, channels.number = np.divmod(np.arange(vcs), fabric.channels)
    channels.router = channels.port // fabric.ports
    sources = _records(_SOURCE, routers)
    sources.head = sources.channel = sources.last = -1
    state = _records(_ROUTER, routers)
    state.due_at, state.route_from = -1, LONG_AGO
    words = -(-routers // 32)
    return FabricState(
        channels=channels,
        ports=_records(_PORT, outputs),
        routers=state,
        sources=sources,
        behind=_records(_PACKET, vcs * fabric.depth),
        out_vc=np.zeros(vcs * traffic.most_branches, np.int32),
        credits=np.full(outputs * fabric.channels, fabric.depth, np.int16),
        grant=np.zeros(vcs, np.int16),
        cross_from=np.full(routers, LONG_AGO),
        sent=np.full(ports, LONG_AGO),
        following=np.full(n_packets, -1),
        awake=np.zeros(words, np.int64),
        waiting=np.zeros(words, np.int64),
        wheel=np.zeros((slots, 4), np.int32),
        heads=_records(_PACKET, slots, outputs),
        bodies=np.zeros((slots, outputs), np.int32),
        returned=np.zeros((slots, ports + outputs), np.int32),
        tails=_records(_TAIL, slots, routers),
        arrivals=np.full(n_arrivals, -1),
        counters=np.zeros(8, np.int64),
        wants=np.full(fabric.ports**2, -1, np.int32),
        wants_mask=np.zeros(fabric.ports, np.int64),
        takes=np.zeros(fabric.ports, np.int32),
        asked=np.zeros((fabric.ports * fabric.channels, 4), np.int32),
    )


def _records(fields: list[tuple[str, DTypeLike]], *shape: int) -> Records:
    """Zeros whose first record begins with a line of the cache."""
    kind = np.dtype((np.record, np.dtype(fields, align=True)))
    n_bytes = int(np.prod(shape)) * kind.itemsize
    raw = np.zeros(n_bytes + _LINE, np.uint8)
    start = -raw.ctypes.data % _LINE
    return raw[start : start + n_bytes].view(kind).reshape(shape).view(np.recarray)
