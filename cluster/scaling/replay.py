"""The time of a span by the program's own order, if every action took its predicted time.

Hosts take their actions in order and wait for the messages that these need; that is all that the
executor does too, but for queues, which here are never full.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from crossmesh.cluster.scaling.events import Act, Deployment, HostStep, Ran, run
from crossmesh.cluster.scaling.load import FLOAT_BYTES
from crossmesh.interconnect.schedule import Phase, Schedule
from crossmesh.tiles.runtime.plan import Action, Place, Receive, SendMessage, in_order, plans
from crossmesh.tiles.runtime.program import Program

_FILLS = 4  # pipelines' lengths after which every host has found its pace
_ONE_SITE = Deployment()
DEPTH = "depth of the pipeline"


class Pace(NamedTuple):
    """Times of spans of a program.

    Attributes:
        interval_s: Seconds per micro-batch, once the pipeline is full.
        fill_s: Seconds on top, to fill and drain it.
    """

    interval_s: float
    fill_s: float

    def seconds(self, n_micro_batches: float) -> float:
        """Seconds of a span."""
        return self.fill_s + n_micro_batches * self.interval_s


class Replay:
    """The steps of a program's hosts, and how long they take.

    Args:
        program: The program.
        schedule: Order of the slots.
        host_of: Host of each block.
        seconds_of: Time of an action for one micro-batch, within a node.
        micro_batch: Examples of a micro-batch, which make messages as large.
        site: Where hosts are; by default all on one node, each with a processor of its own.
    """

    def __init__(
        self,
        program: Program,
        schedule: Schedule,
        host_of: tuple[int, ...],
        seconds_of: Callable[[Action], float],
        micro_batch: int = 1,
        site: Deployment = _ONE_SITE,
    ) -> None:
        self._n_stages, self._schedule, self._site = program.n_stages, schedule, site
        self._seconds_of, self._micro_batch = seconds_of, micro_batch
        every = plans(in_order(program, schedule), host_of, set(host_of))
        self._lines: dict[int, dict[Place, list[HostStep]]] = {host: {} for host in every}
        for host, actions in every.items():
            for place, action in actions:
                self._lines[host].setdefault(place, []).extend(self._steps(host, action))

    def _steps(self, host: int, action: Action) -> Iterator[HostStep]:
        seconds = self._seconds_of(action)
        if not isinstance(action, SendMessage | Receive):
            yield HostStep(Act.WORK, seconds)
            return
        edge = action.edge
        columns = sum(take.stop - take.start for take in edge.parts)
        payload = FLOAT_BYTES * columns * self._micro_batch
        if self._site.network and self._site.are_apart(edge.source, edge.target):
            seconds += self._site.network.end_s(payload)
        if isinstance(action, Receive):
            yield HostStep(Act.AWAIT, edge=edge.number)
        yield HostStep(Act.WORK, seconds)
        if isinstance(action, SendMessage):
            yield HostStep(Act.SEND, edge=edge.number, target=edge.target, payload=payload)

    def pace(self) -> Pace:
        """The pace of the hosts once the pipeline is full."""
        per_round = self._schedule.round or 1
        few = per_round * -(-_FILLS * self._n_stages // per_round)
        first, second = (self.run(n).seconds for n in (few, 2 * few))
        interval = (second - first) / few
        return Pace(interval, max(0.0, first - few * interval))

    def run(self, n_micro_batches: int, *, alone: bool = False) -> Ran[Place]:
        """A run of some micro-batches.

        Args:
            n_micro_batches: How many.
            alone: Whether every host has a processor of its own.
        """
        found = self._schedule.slots(self._n_stages, n_micro_batches)
        slots = [((slot.phase, slot.stage), slot.micro_batch) for slot in found]
        site = self._site
        if alone:
            site = Deployment(node_of=site.node_of, network=site.network)
        return run(self._lines, slots, site)

    # Bounds

    def bounds(self) -> dict[str, float]:
        """Seconds per micro-batch that each thing takes at least; the largest first.

        The busiest host and the busiest node by their work, the busiest link by its bytes, and the
        pipeline by its depth: the first stage begins no more micro-batches than its order lets it
        have under way, each of which takes its critical path.
        """
        alone = self.run(1, alone=True)
        work = {
            host: sum(step.seconds for steps in places.values() for step in steps)
            for host, places in self._lines.items()
        }
        found = {f"host {max(work, key=work.__getitem__)}": max(work.values())}
        if self._site.cpus is not None:
            nodes: dict[int, float] = {}
            for host, seconds in work.items():
                node = self._site.node(host)
                nodes[node] = nodes.get(node, 0.0) + seconds / self._site.cpus
            busiest = max(nodes, key=nodes.__getitem__)
            found[f"processors of node {busiest}"] = nodes[busiest]
        if alone.link_s:
            link = max(alone.link_s, key=alone.link_s.__getitem__)
            found[link[0].format(link[1])] = alone.link_s[link]
        back = alone.reached.get((Phase.BACKWARD, 0), 0.0)
        found[DEPTH] = back / self._in_flight()
        return dict(sorted(found.items(), key=lambda item: -item[1]))

    def path_s(self) -> float:
        """The critical path of one micro-batch: from its first read to its last update."""
        return self.run(1, alone=True).seconds

    def _in_flight(self) -> int:
        """Most micro-batches that the first stage has read forward and not yet backward."""
        under_way, most = set[int](), 1
        per_round = self._schedule.round or 1
        n = per_round * -(-_FILLS * self._n_stages // per_round)
        for slot in self._schedule.slots(self._n_stages, n):
            if slot.stage == 0 and slot.phase is Phase.FORWARD:
                under_way.add(slot.micro_batch)
            elif slot.stage == 0 and slot.phase is Phase.BACKWARD:
                under_way.discard(slot.micro_batch)
            most = max(most, len(under_way))
        return most


def pace(
    program: Program,
    schedule: Schedule,
    host_of: tuple[int, ...],
    seconds_of: Callable[[Action], float],
    cpus: int | None = None,
) -> Pace:
    """Predict the pace of a program's hosts on one machine.

    Args:
        program: The program.
        schedule: Order of the slots.
        host_of: Host of each tile.
        seconds_of: Time of an action for one micro-batch.
        cpus: Processors that all hosts share; by default each host has its own.
    """
    return Replay(program, schedule, host_of, seconds_of, site=Deployment(cpus=cpus)).pace()
