"""Packets through an interconnect: who leaves when, and when all have arrived."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from crossmesh.interconnect.noc.models import Messages, Model, carry
from crossmesh.interconnect.noc.resources import no_plan
from crossmesh.interconnect.noc.router import Router
from crossmesh.interconnect.noc.topology import Integers, Topology

_GROWTH = 0.02  # of the packets of the second half
_SCATTER = 3.0  # standard deviations of a count


class Packets:
    """Packets to be carried, one entry each.

    Args:
        created: Cycle from which each waits at its source.
        source: Node that it comes from.
        destination: Node that it goes to.
        flits: Its length.
        multicast: Entries with the same number that is not negative are copies of one packet,
            which routers make where their ways part; -1 for a packet of its own.

    Raises:
        ValueError: If the arrays do not fit each other.
    """

    def __init__(
        self,
        created: ArrayLike,
        source: ArrayLike,
        destination: ArrayLike,
        flits: ArrayLike,
        multicast: ArrayLike | None = None,
    ) -> None:
        self.created = _integers("created", created, 0)
        n = len(self.created)
        self.source = _integers("source", source, 0, n)
        self.destination = _integers("destination", destination, 0, n)
        self.flits = _integers("flits", flits, 1, n)
        given = np.full(n, -1) if multicast is None else multicast
        self.multicast = _integers("multicast", given, -1, n)

    def __len__(self) -> int:
        return len(self.created)


def _integers(name: str, values: ArrayLike, least: int, n: int | None = None) -> Integers:
    array = np.asarray(values)
    if array.ndim != 1 or not (array.size == 0 or np.issubdtype(array.dtype, np.integer)):
        rule = "a one-dimensional array of integers"
        raise ValueError(f"Packets.{name} must be {rule}, got {array.dtype} {array.shape}")
    if n is not None and len(array) != n:
        raise ValueError(f"Packets.{name} must have {n} entries like created, got {len(array)}")
    if array.size and array.min() < least:
        raise ValueError(f"Packets.{name} must be >= {least}, got {array.min()}")
    return array.astype(np.int64)


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """Result of a simulation of the interconnect.

    Attributes:
        arrival_cycles: ``(n,)`` cycle in which each packet's tail leaves the network.
        latency_cycles: ``(n,)`` from its creation until then.
        link_flits: ``(links,)`` flits over each of the topology's ``links``.
        cycles: Cycle of the last arrival.
        stable: Whether the packets under way did not become more and more, see ``is_stable``.
    """

    arrival_cycles: Integers
    latency_cycles: Integers
    link_flits: Integers
    cycles: int
    stable: bool


def simulate(topology: Topology, router: Router, packets: Packets, model: Model = "flit") -> Run:
    """Carry packets through an interconnect.

    Args:
        topology: Routers and links.
        router: Parameters of the routers.
        packets: The traffic.
        model: ``analytic``: zero load (no contention). ``packet``: links serve one packet at a
            time, buffers are endless. ``flit``: virtual channels and credits, cycle by cycle. A
            circuit-switched mesh has no flits: its ``flit`` is its ``packet``.

    Returns:
        Arrivals and loads.

    Raises:
        ValueError: If packets and interconnect do not fit.
        RuntimeError: If packets deadlock.
    """
    _check_nodes(topology, packets)
    load = _Load(topology, packets)
    plan, work = no_plan(len(packets))
    carried = carry(topology, router, load.messages, plan, work, model)
    arrivals = np.empty(len(packets), np.int64)
    arrivals[load.entries] = carried.arrivals
    longest = int(packets.flits.max(initial=1))
    fill = router.zero_load_cycles(topology.diameter, longest, topology.link_cycles)
    return Run(
        arrival_cycles=arrivals,
        latency_cycles=arrivals - packets.created,
        link_flits=carried.link_flits,
        cycles=int(arrivals.max(initial=0)),
        stable=is_stable(packets.created, arrivals, fill),
    )


def _check_nodes(topology: Topology, packets: Packets) -> None:
    for name in ("source", "destination"):
        nodes = getattr(packets, name)
        if nodes.size and nodes.max() >= topology.n_nodes:
            rule = f"must be below the {topology.n_nodes} nodes of the {topology.name}"
            raise ValueError(f"Packets.{name} {rule}, got {nodes.max()}")


class _Load:
    """Packets as they are carried: one for all copies of a multicast.

    Attributes:
        entries: Entries of the packets in the order of the deliveries.
        messages: The traffic.
    """

    def __init__(self, topology: Topology, packets: Packets) -> None:
        groups = packets.multicast.copy()
        alone = groups < 0
        groups[alone] = groups.max(initial=-1) + 1 + np.arange(np.count_nonzero(alone))
        _, head, group = np.unique(groups, return_index=True, return_inverse=True)
        for name in ("created", "source", "flits"):
            values = getattr(packets, name)
            if (values != values[head[group]]).any():
                raise ValueError(f"Packets.{name} must be the same for all copies of a packet")
        pairs = group * topology.n_nodes + packets.destination
        if len(np.unique(pairs)) != len(pairs):
            raise ValueError("Packets.destination must differ between the copies of a packet")
        self.entries = np.argsort(head[group], kind="stable")  # as they were given
        heads = np.sort(head)
        sizes = np.bincount(np.searchsorted(heads, head[group]), minlength=len(heads))
        self.messages = Messages(
            source=packets.source[heads],
            flits=packets.flits[heads],
            first=np.concatenate([[0], np.cumsum(sizes)]),
            destination=packets.destination[self.entries],
            created=packets.created[heads],
        )


def is_stable(created: Integers, arrivals: Integers, fill_cycles: int) -> bool:
    """Whether packets under way become no more in the second half of the time they are created in.

    Growth counts where it is more than scatter and more than 2 % of the packets of that half. Too
    short a time to judge is taken to be stable.

    Args:
        created: Cycle in which each packet was created.
        arrivals: Cycle in which each arrived.
        fill_cycles: Longest latency of a lone packet: the time that a network takes to fill.
    """
    if not len(created):
        return True
    end = int(created.max())
    middle = (int(created.min()) + end) // 2
    if end - middle < 2 * fill_cycles:
        return True

    def under_way(cycle: int) -> int:
        return int(np.count_nonzero(created <= cycle) - np.count_nonzero(arrivals <= cycle))

    before, after = under_way(middle), under_way(end)
    scatter = _SCATTER * float(after) ** 0.5
    later = int(np.count_nonzero(created > middle))
    return after - before <= _GROWTH * later + scatter
