"""Hosts that do steps in order, share processors, and send each other messages: when each ends.

Everything that hosts share is given out in the order of time: the processors of a node, and the
links between nodes. A step is never interrupted.
"""

import heapq
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Generic, NamedTuple, TypeVar

from crossmesh.cluster.scaling.network import Link, NodeLinks, NodeNetwork

P = TypeVar("P")


class Act(IntEnum):
    """What a step does."""

    WORK = 0
    SEND = 1
    AWAIT = 2


class HostStep(NamedTuple):
    """A step of a host.

    Attributes:
        act: What it does.
        seconds: Of work.
        edge: Number of the message that is sent or awaited.
        target: Host that it is sent to.
        payload: Its bytes.
    """

    act: Act
    seconds: float = 0.0
    edge: int = -1
    target: int = -1
    payload: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """Where hosts are.

    Attributes:
        node_of: Node of each host; by default all are on one.
        cpus: Processors of each node; by default every host has its own.
        network: What joins nodes; by default nothing that costs time.
    """

    node_of: Sequence[int] = ()
    cpus: int | None = None
    network: NodeNetwork | None = None

    def node(self, host: int) -> int:
        """The node of a host."""
        return self.node_of[host] if self.node_of else 0

    def are_apart(self, source: int, target: int) -> bool:
        """Whether a network lies between two hosts."""
        return self.network is not None and self.node(source) != self.node(target)


class Ran(NamedTuple, Generic[P]):
    """Result of a replay.

    Attributes:
        seconds: Until the last host has ended.
        reached: When the last step of each place had ended, for the first micro-batch.
        link_s: Seconds in which each link was busy.
    """

    seconds: float
    reached: Mapping[P, float]
    link_s: Mapping[Link, float]


def run(
    lines: Mapping[int, Mapping[P, Sequence[HostStep]]],
    slots: Sequence[tuple[P, int]],
    site: Deployment,
) -> Ran[P]:
    """Let hosts do what they do, as soon as they can.

    Args:
        lines: Steps of each host at each place.
        slots: Places and micro-batches in the order of the schedule.
        site: Where hosts are.
    """
    return _Simulation(lines, slots, site).result()


class _Simulation(Generic[P]):
    def __init__(
        self,
        lines: Mapping[int, Mapping[P, Sequence[HostStep]]],
        slots: Sequence[tuple[P, int]],
        site: Deployment,
    ) -> None:
        self._site = site
        self._links = NodeLinks(site.network) if site.network else None
        self._clock = dict.fromkeys(lines, 0.0)
        self._todo = {host: _todo(steps, slots) for host, steps in lines.items()}
        self._next = {host: next(todo, None) for host, todo in self._todo.items()}
        self._served = dict.fromkeys(lines, 0.0)  # seconds of work on shared processors
        self._ready = [(0.0, 0.0, host) for host in sorted(lines)]  # a heap
        self._arrived: dict[tuple[int, int], float] = {}
        self._awaiting: dict[tuple[int, int], int] = {}
        self._reached: defaultdict[P, float] = defaultdict(float)
        self._free = self._processors(lines)

    def _processors(self, hosts: Mapping[int, object]) -> dict[int, list[float]]:
        """When each processor is free, of nodes with more hosts than processors."""
        cpus = self._site.cpus
        there: defaultdict[int, int] = defaultdict(int)
        for host in hosts:
            there[self._site.node(host)] += 1
        return {node: [0.0] * cpus for node, n in there.items() if cpus is not None and n > cpus}

    def result(self) -> Ran[P]:
        while self._ready:
            self._advance(heapq.heappop(self._ready)[2])
        assert not self._awaiting, "hosts must not wait for each other in a circle"
        links = self._links.busy_s if self._links else {}
        return Ran(max(self._clock.values()), self._reached, links)

    def _advance(self, host: int) -> None:
        """Do steps of a host until it has to wait, for a message or for its turn."""
        while (item := self._next[host]) is not None:
            place, m, step = item
            if not self._done(host, m, step):
                return
            if not m:
                self._reached[place] = max(self._reached[place], self._clock[host])
            self._next[host] = next(self._todo[host], None)

    def _done(self, host: int, m: int, step: HostStep) -> bool:
        """Do a step, if it can be done now; otherwise the host is called again."""
        if step.act is Act.AWAIT:
            return self._awaited(host, (step.edge, m))
        if step.act is Act.SEND:
            return self._sent(host, m, step)
        free = self._free.get(self._site.node(host))
        if free is None:
            self._clock[host] += step.seconds
            return True
        if self._must_wait(host):
            return False
        end = max(self._clock[host], free[0]) + step.seconds
        heapq.heapreplace(free, end)
        self._clock[host] = end
        self._served[host] += step.seconds
        return True

    def _awaited(self, host: int, message: tuple[int, int]) -> bool:
        arrival = self._arrived.pop(message, None)
        if arrival is None:
            self._awaiting[message] = host
            return False
        self._clock[host] = max(self._clock[host], arrival)
        return True

    def _sent(self, host: int, m: int, step: HostStep) -> bool:
        now = self._clock[host]
        if self._links is not None and self._site.are_apart(host, step.target):
            if self._must_wait(host):
                return False
            ends = self._site.node(host), self._site.node(step.target)
            now = self._links.carried(now, *ends, step.payload)
        self._arrived[step.edge, m] = now
        waiting = self._awaiting.pop((step.edge, m), None)
        if waiting is not None:
            self._clock[waiting] = max(now, self._clock[waiting])
            heapq.heappush(self._ready, self._turn(waiting))
        return True

    def _must_wait(self, host: int) -> bool:
        """Whether another host is to be asked first; this one is asked again."""
        turn = self._turn(host)
        if self._ready and self._ready[0] < turn:
            heapq.heappush(self._ready, turn)
            return True
        return False

    def _turn(self, host: int) -> tuple[float, float, int]:
        """Order of hosts: the earlier first, then the one that had less."""
        return self._clock[host], self._served[host], host


def _todo(
    steps: Mapping[P, Sequence[HostStep]], slots: Sequence[tuple[P, int]]
) -> Iterator[tuple[P, int, HostStep]]:
    for place, m in slots:
        for step in steps.get(place, ()):
            yield place, m, step
