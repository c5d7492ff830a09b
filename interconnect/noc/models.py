"""Messages through an interconnect at three levels of detail, behind one function."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.free_memory import lacking
from crossmesh.common.supervision import interrupts
from crossmesh.interconnect.noc.flits.cycle import run_flits
from crossmesh.interconnect.noc.flits.state import (
    Traffic,
    branches_of,
    fabric_of,
    network_at_rest,
)
from crossmesh.interconnect.noc.packets import Links, Times, Ways, run_events
from crossmesh.interconnect.noc.resources import UNDONE, ResourcePlan, Work
from crossmesh.interconnect.noc.router import Router
from crossmesh.interconnect.noc.routes import Routes, build_routes
from crossmesh.interconnect.noc.topology import Integers, Topology
from crossmesh.interconnect.noc.zero_load import alone_cycles, flits_by_port

Model = Literal["analytic", "packet", "flit"]
MODELS: tuple[str, ...] = get_args(Model)
# Between two calls of a kernel, which take about a quarter of a second, signals are answered.
_ROUTER_CYCLES = 1_000_000
_EVENTS = 1_000_000
_BYTES = 32  # of a task, a packet or a delivery while a run is timed
# Called with the hops of flits that are done and with all of them: before and after compilation.
Watch = Callable[[int, int], None]


def unwatched(done: int, total: int) -> None:
    """Show nothing."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Messages:
    """Messages of a flow; message j goes to ``destination[first[j]:first[j + 1]]``.

    Attributes:
        source: ``(messages,)`` node.
        flits: ``(messages,)`` length.
        first: ``(messages + 1,)`` where the destinations of each begin.
        destination: ``(deliveries,)`` nodes; those of one message differ.
        longest: ``(messages,)`` length of the longest packet of each, where one stands for several
            packets (by the analytic model only); None where each is a packet.
        ways: Routes, and the root of each message's; None where they are still to be found.
        created: ``(messages,)`` cycles in which they join their source's queue; None for messages
            that tasks send, once for every micro-batch.
        copies: Number of times each is sent.
    """

    source: Integers
    flits: Integers
    first: Integers
    destination: Integers
    longest: Integers | None = None
    ways: tuple[Routes, Integers] | None = None
    created: Integers | None = None
    copies: int = 1


class Carried(NamedTuple):
    """Result of carrying messages.

    Attributes:
        arrivals: ``(copies * deliveries,)`` cycle in which a message's tail reached a destination.
        link_flits: ``(links,)`` flits over each link.
        cycles: Cycle in which all had arrived and every task was done.
    """

    arrivals: Integers
    link_flits: Integers
    cycles: int


def carry(  # noqa: PLR0913, PLR0917  because a plan and its work are two: one changes
    topology: Topology,
    router: Router,
    messages: Messages,
    plan: ResourcePlan,
    work: Work,
    model: Model,
    watch: Watch = unwatched,
) -> Carried:
    """Carry messages, and do tasks as the messages that they need arrive.

    Args:
        topology: Routers and links.
        router: Parameters of the routers.
        messages: What is sent where, by the task that sends it.
        plan: Tasks and the resources that they occupy.
        work: State of the tasks; their starts are written, in cycles.
        model: ``analytic``, ``packet`` or ``flit``.
        watch: Called now and then.

    Raises:
        ValueError: If messages and interconnect do not fit.
        MemoryError: If they take more memory than there is.
        RuntimeError: If packets deadlock.
    """
    if model not in MODELS:
        raise ValueError(f"model must be one of {', '.join(MODELS)}, got {model!r}")
    _check_copies(messages, router, model)
    parts = len(plan.cycles) + len(messages.flits) + len(messages.destination)
    if lacking(_BYTES * messages.copies * parts) is not None:
        raise MemoryError
    routes, root = messages.ways or shared_routes(topology, messages)
    total = messages.copies * hops_of(messages, routes, root)
    watch(0, total)

    def watched(done: int) -> None:
        watch(done, total)

    if model == "flit" and not topology.reserves_paths:
        return _by_flits(topology, router, messages, (routes, root), plan, work, watched)
    return _by_events(topology, router, messages, (routes, root), plan, work, model, watched)


def hops_of(messages: Messages, routes: Routes, root: Integers) -> int:
    """Flits of all messages times the branches that each takes, those to tiles among them."""
    branches = np.bincount(routes.tree, np.diff(routes.first), len(messages.source))
    return int(messages.flits @ branches[routes.tree[root]])


def _check_copies(messages: Messages, router: Router, model: Model) -> None:
    """Routers copy only what a buffer can hold: otherwise packets could deadlock."""
    longest = messages.flits[np.diff(messages.first) > 1].max(initial=0)
    if model == "flit" and longest > router.buffer_flits:
        rule = f"at least the {longest} flits of the longest multicast"
        raise ValueError(f"Router.buffer_flits must be {rule}, got {router.buffer_flits}")


def shared_routes(topology: Topology, messages: Messages) -> tuple[Routes, Integers]:
    """Routes, one for all packets that go the same way, and each message's root."""
    source, destination = messages.source, messages.destination
    if len(destination) > len(source):
        leads = ~_follows(messages)
        ends = np.repeat(leads, np.diff(messages.first))
        first = np.concatenate([[0], np.cumsum(np.diff(messages.first)[leads])])
        routes = build_routes(topology, source[leads], first, destination[ends])
        return routes, routes.root[np.cumsum(leads) - 1]
    pairs, tree = np.unique(source * topology.n_nodes + destination, return_inverse=True)
    sources, ends = np.divmod(pairs, topology.n_nodes)
    routes = build_routes(topology, sources, np.arange(len(pairs) + 1), ends)
    return routes, routes.root[tree]


def _follows(messages: Messages) -> NDArray[np.bool_]:
    """``(messages,)`` whether each goes where the one before it goes, as packets of one send do."""
    sizes = np.diff(messages.first)
    follows = np.zeros(len(sizes), np.bool_)
    follows[1:] = (sizes[1:] == sizes[:-1]) & (messages.source[1:] == messages.source[:-1])
    ends = np.flatnonzero(np.repeat(follows, sizes))
    message = np.repeat(np.arange(len(sizes)), sizes)[ends]
    differ = messages.destination[ends] != messages.destination[ends - sizes[message]]
    follows[message[differ]] = False
    return follows


def _order(messages: Messages) -> tuple[Integers, Integers]:
    """When messages are created, and in which order; empty where tasks send them."""
    if messages.created is None:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    return messages.created, np.argsort(messages.created, kind="stable")


def _by_flits(  # noqa: PLR0913, PLR0917  as ``carry``
    topology: Topology,
    router: Router,
    messages: Messages,
    ways: tuple[Routes, Integers],
    plan: ResourcePlan,
    work: Work,
    watched: Callable[[int], None],
) -> Carried:
    fabric = fabric_of(topology, router)
    routes, root = ways
    created, order = _order(messages)
    traffic = Traffic(
        flits=messages.flits,
        source=messages.source,
        root=routes.first[root],
        arrival=messages.first[:-1],
        created=created,
        order=order,
        branches=branches_of(routes),
        most_branches=routes.most_branches,
    )
    n_arrivals = messages.copies * len(messages.destination)
    network = network_at_rest(fabric, traffic, messages.copies * len(messages.flits), n_arrivals)
    state = (fabric, traffic, network, plan, work)
    interrupts.answering(lambda: run_flits(*state, 0))  # compiled
    watched(0)
    while (cycles := run_flits(*state, _ROUTER_CYCLES)) == UNDONE:
        watched(int(network.ports.link_flits.sum()))
    if cycles < 0:
        raise RuntimeError(f"deadlock at cycle {-cycles}")
    assert (network.credits == fabric.depth).all()
    assert not network.channels.held.any()
    link_flits = network.ports.link_flits[: len(fabric.down)]
    return Carried(network.arrivals, _over_links(topology, link_flits), cycles)


def _by_events(  # noqa: PLR0913, PLR0917  as ``carry``
    topology: Topology,
    router: Router,
    messages: Messages,
    ways: tuple[Routes, Integers],
    plan: ResourcePlan,
    work: Work,
    model: Model,
    watched: Callable[[int], None],
) -> Carried:
    routes, root = ways
    created, order = _order(messages)
    ports, routers = topology.n_ports + 1, topology.n_routers
    stays = np.zeros(len(messages.source), np.bool_)
    if len(stays):
        stays = messages.source == messages.destination[messages.first[:-1]]
    stays &= np.diff(messages.first) == 1
    longest = messages.flits if messages.longest is None else messages.longest
    lengths, of_length = np.unique(2 * longest + stays, return_inverse=True)
    streams = [
        router.stream_cycles(int(n) // 2, 1 - int(n) % 2, topology.link_cycles) for n in lengths
    ]
    stream, tree = np.array(streams, np.int64)[of_length], routes.tree[root]
    waits, alone, flits = (
        model != "analytic",
        np.zeros(0, np.int64),
        np.zeros(ports * routers, np.int64),
    )
    if not waits:
        lasts = longest - 1 if topology.reserves_paths else stream
        alone = alone_cycles(topology, router, routes, tree, lasts)
        flits = messages.copies * flits_by_port(topology, routes, tree, messages.flits)
    times = Times(
        ports=ports,
        hop=router.hop_cycles,
        link=topology.link_cycles,
        turn=router.turn_cycles,
        waits=waits,
        reserves=topology.reserves_paths,
        stream=stream,
        alone=alone,
    )
    n_packets = messages.copies * len(messages.flits)
    most = messages.copies * max(len(messages.destination), len(messages.flits)) + len(routes.tree)
    links = Links(
        free=np.zeros((ports + 1) * routers, np.int64),
        flits=flits,
        arrivals=np.full(messages.copies * len(messages.destination), -1, np.int64),
        cycle=np.zeros(most + n_packets + 1, np.int64),
        packet=np.zeros(most + n_packets + 1, np.int64),
        node=np.zeros(most + n_packets + 1, np.int64),
        size=np.zeros(1, np.int64),
        reached=np.zeros(2, np.int64),
    )
    known = Ways(
        flits=messages.flits, source=messages.source, root=root, arrival=messages.first,
        created=created, order=order, tree=routes.tree, depth=routes.depth, router=routes.router,
        first=routes.first, port=routes.port, next=routes.next, leaf=routes.leaf,
    )  # fmt: skip
    state = (times, known, links, plan, work)
    interrupts.answering(lambda: run_events(*state, 0))  # compiled
    watched(0)
    while (cycles := run_events(*state, _EVENTS)) == UNDONE:
        arrived = np.count_nonzero(links.arrivals >= 0) / max(1, len(links.arrivals))
        watched(int(flits.sum() * (1 if waits else arrived)))
    return Carried(links.arrivals, _over_links(topology, flits), cycles)


def _over_links(topology: Topology, flits: Integers) -> Integers:
    """Flits over each link, of those out of each port."""
    by_port = flits.reshape(topology.n_routers, -1)[:, :-1]
    return by_port[topology.link_numbers >= 0]
