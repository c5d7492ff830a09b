"""Results of a measurement: medians with their range, ratios by round."""

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from crossmesh.cluster.scaling.load import devices_of
from crossmesh.cluster.scaling.plan import ScalingPlan
from crossmesh.cluster.scaling.turns import Contestant, Turn
from crossmesh.tiles.runtime.measure import HostReport


class Spread(NamedTuple):
    """The median over the rounds, and the smallest and the largest."""

    median: float
    low: float
    high: float


def spread(values: Iterable[float]) -> Spread:
    """The median and the range of some values."""
    values = list(values)
    return Spread(statistics.median(values), min(values), max(values))


class Shares(NamedTuple):
    """Shares of a host's time.

    Attributes:
        host: Its number.
        node: Name of the machine; empty for this process.
        ip: Its address.
        tiles: Tiles that it holds.
        compute: Share of work on tiles and in digital units.
        message: Share of sending and receiving, without waiting.
        wait: Share of waiting for a message or for room to send one.
    """

    host: int
    node: str
    ip: str
    tiles: int
    compute: float
    message: float
    wait: float

    @property
    def busy(self) -> float:
        """Share of anything but waiting."""
        return self.compute + self.message


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A measurement that is done.

    Attributes:
        plan: The plan of the measurement.
        contestants: The set-ups that were measured.
        turns: The measurement of each in every round.
        cpus: Processors of the cluster, this machine's if there is no other.
        nodes: Machines of the cluster.
    """

    plan: ScalingPlan
    contestants: Sequence[Contestant]
    turns: Sequence[Turn]
    cpus: int
    nodes: int

    @property
    def first(self) -> Contestant:
        """The smallest number of actors, which speed-ups are relative to."""
        return self.of("ray", self.plan.actors[0])

    def of(self, kind: str, actors: int) -> Contestant:
        """A contestant."""
        return next(c for c in self.contestants if (c.kind, c.actors) == (kind, actors))

    def trainings(self, contestant: Contestant) -> list[Turn]:
        """The turns in which a contestant trained, by round."""
        return [t for t in self.turns if t.contestant is contestant and t.is_training]

    def is_crowded(self, contestant: Contestant) -> bool:
        """Whether there are fewer processors than actors, so that hosts wait for each other."""
        return contestant.actors > self.cpus

    def rate(self, contestant: Contestant) -> Spread:
        """Examples per second."""
        return spread(turn.examples_per_s for turn in self.trainings(contestant))

    def speed_up(self, contestant: Contestant) -> Spread:
        """Devices updated per second over those of the smallest number of actors."""
        return self._ratio(contestant, self.first, _updates_per_s)

    def efficiency(self, contestant: Contestant) -> Spread:
        """Speed-up per actor."""
        more = max(1, contestant.actors) / self.first.actors
        return Spread(*(value / more for value in self.speed_up(contestant)))

    def of_independent(self, contestant: Contestant) -> Spread | None:
        """Examples per second over those of as many independent processes, if measured."""
        wanted = ("independent", contestant.actors)
        limits = [c for c in self.contestants if (c.kind, c.actors) == wanted]
        if contestant.kind != "ray" or not limits:
            return None
        return self._ratio(contestant, limits[0], lambda turn: turn.examples_per_s)

    @property
    def ray_over_local(self) -> Spread | None:
        """Time of one actor over that of this process, if one actor was measured."""
        if self.first.actors != 1:
            return None
        return self._ratio(self.first, self.of("local", 0), lambda turn: turn.seconds)

    def _ratio(
        self, contestant: Contestant, other: Contestant, figure: Callable[[Turn], float]
    ) -> Spread:
        pairs = zip(self.trainings(contestant), self.trainings(other), strict=True)
        return spread(figure(a) / figure(b) for a, b in pairs)

    def shares(self, contestant: Contestant) -> list[Shares]:
        """Shares of the time of each of its hosts, over all rounds, in host order."""
        turns = self.trainings(contestant)
        return [_shares([turn.hosts[i] for turn in turns]) for i in range(len(turns[0].hosts))]


def _updates_per_s(turn: Turn) -> float:
    return devices_of(turn.contestant.job) * turn.examples_per_s


def _shares(reports: Sequence[HostReport]) -> Shares:
    last = reports[-1]
    total = sum(report.run_s for report in reports)
    parts = (
        sum(report.compute_s for report in reports),
        sum(report.message_s for report in reports),
        sum(report.wait_s for report in reports),
    )
    shares = [max(0.0, part) / total if total else 0.0 for part in parts]
    return Shares(last.host, last.node, last.ip, last.tiles, *shares)
