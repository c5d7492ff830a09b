"""When the tiles of a running job are put elsewhere: on CPUs that came, and in even shares.

Looked at between spans, when nothing is under way. Both need the work of each tile, so a span or
more is timed first; actors on CPUs that came are made meanwhile.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.compiler.job import Job
from crossmesh.emulator.executors.arrangement import Arrangement, Arranger, staying
from crossmesh.emulator.executors.balance import (
    UNEVEN,
    Busy,
    by_host,
    excess,
    load_between,
    work_of_tiles,
)
from crossmesh.emulator.executors.making import Maker
from crossmesh.emulator.executors.members import Members
from crossmesh.emulator.executors.newcomers import Newcomers, NotComing, grown
from crossmesh.emulator.executors.nodes import Reservations, free_machines, machines
from crossmesh.emulator.executors.placement import Machine, assigned, balanced
from crossmesh.tiles.runtime.measure import HostReport

LOOK_S = 2.0  # between two looks for CPUs that came
WINDOW_S = 10.0  # of training, over which hosts must be uneven
TIMED_S = 1.0  # of training in which tiles are timed, at least
REST_S = 30.0  # at least so long things stay as they are, and longer where nothing was found
LONGEST_REST_S = 600.0
TRIAL_S = 10.0  # of training, after which a run that has grown is compared with before
AVOID_S = 600.0  # a node on which no actor could be made is left alone for so long
LEAST_SAVED = 0.05  # share of the time that other shares must save
PAUSE_S = 2.0  # of a move, until one was measured


@dataclass(kw_only=True)
class TrainingRate:
    """How fast a run has been in its present arrangement.

    Attributes:
        examples: Examples trained in it.
        seconds: Seconds of training.
    """

    examples: int = 0
    seconds: float = 0.0

    @property
    def per_s(self) -> float:
        """Examples per second."""
        return self.examples / self.seconds if self.seconds else 0.0

    def add(self, examples: int, seconds: float) -> None:
        """One more span."""
        self.examples += examples
        self.seconds += seconds


@dataclass(frozen=True, kw_only=True)
class Move:
    """Another arrangement that is ready to be taken.

    Attributes:
        arranged: The arrangement.
        kept: Present number of each actor that stays, by its new one.
        come: Actors that come, by number.
        what: What to say of it.
    """

    arranged: Arrangement
    kept: Mapping[int, int]
    come: Mapping[int, Any]
    what: str


class Rearranger:
    """Decides when tiles are put elsewhere.

    Args:
        job: The job.
        arranger: Finder of arrangements.
        maker: Maker of actors.
        reservations: CPUs and memory on the nodes.
    """

    def __init__(
        self, job: Job, arranger: Arranger, maker: Maker, reservations: Reservations
    ) -> None:
        self._job = job
        self._engine = job.config.engine
        self._arranger = arranger
        self._maker = maker
        self._reservations = reservations
        self._avoided: dict[str, float] = {}
        self._pause_s = PAUSE_S
        self._rest_s = REST_S
        self._rests_until = self._looks_at = 0.0
        self._start: dict[int, HostReport] = {}  # of the window over which hosts are looked at
        self._is_timing = False
        self._coming: Newcomers | None = None
        self._rate = TrainingRate()
        self._before: tuple[Arrangement, float] | None = None  # it grew; and its rate before that
        self._enough: int | None = None  # CPUs with which it was slower than without
        self._remark = ""

    def look(
        self,
        arranged: Arrangement,
        members: Members,
        reports: Mapping[int, HostReport],
        left: int,
        span: TrainingRate,
    ) -> Move | None:
        """What to do between two spans; None: go on.

        Args:
            arranged: The present arrangement.
            members: Its actors.
            reports: What each has reported since it joined its channels.
            left: Examples that are still to be trained.
            span: Examples and seconds of the span before.
        """
        self._rate.add(span.examples, span.seconds)
        left_s = left / span.per_s
        if self._coming is not None:
            return self._arrived(self._coming, arranged)
        if self._before is not None and self._rate.seconds > TRIAL_S:
            return self._tried(arranged, *self._before)
        if self._is_timing:
            return self._timed(arranged, members, reports, left_s)
        if (self._grows(arranged, left_s) or self._is_uneven(reports)) and left_s > self._pause_s:
            members.all("time_tiles", True)
            self._is_timing, self._start = True, dict(reports)
        return None

    def take_remark(self) -> str:
        """Why a run has not grown onto a node, once; empty where there is nothing to say."""
        remark, self._remark = self._remark, ""
        return remark

    def taken(self, seconds: float) -> None:
        """A move was made, which took so long."""
        self._pause_s, self._rest_s, self._rate = seconds, REST_S, TrainingRate()
        self._rest()

    def forget(self) -> None:
        """Begin again: a host was lost."""
        if self._coming is not None:
            self._coming.drop()
            self._coming = None
        self._before, self._rate = None, TrainingRate()
        self._rest()

    def _rest(self) -> None:
        self._is_timing, self._start = False, {}
        self._rests_until = time.monotonic() + self._rest_s

    # Growing

    def _usable(self) -> list[Machine]:
        """Nodes that are there for this run, without those that are left alone."""
        now = time.monotonic()
        self._avoided = {n: since for n, since in self._avoided.items() if now - since < AVOID_S}
        found = free_machines(self._reservations.held) if self._engine.grow else machines()
        return [machine for machine in found if machine.node not in self._avoided]

    def _grows(self, arranged: Arrangement, left_s: float) -> bool:
        """Whether there are CPUs to grow onto, and time left for which that pays."""
        now = time.monotonic()
        if not self._engine.grow or now < self._looks_at:
            return False
        self._looks_at = now + LOOK_S
        found = self._usable()
        try:
            _, node_of, _ = assigned(self._arranger.sizes, self._engine, found)
        except ConfigError:
            return False
        n_cpus = _cpus(node_of, found)
        if self._enough is not None and n_cpus <= self._enough:
            return False
        return self._pays(_cpus(arranged.placement.node_of, found) / n_cpus, left_s)

    def _pays(self, after: float, left_s: float) -> bool:
        """Whether a move pays after which time runs at so much of the present."""
        return (1 - after) * left_s > 2 * self._pause_s

    def _arrived(self, coming: Newcomers, arranged: Arrangement) -> Move | None:
        try:
            actors = coming.arrived()
        except NotComing as failure:
            coming.drop()
            self._coming = None
            self._avoided |= dict.fromkeys(failure.nodes, time.monotonic())
            self._remark = f"not growing: {failure}" if str(failure) else ""
            return None
        if actors is None:
            return None
        self._coming, self._before = None, (arranged, self._rate.per_s)
        what = grown(arranged.placement, coming.arranged.placement)
        return Move(arranged=coming.arranged, kept=coming.kept, come=actors, what=what)

    def _tried(self, arranged: Arrangement, before: Arrangement, rate: float) -> Move | None:
        """Back to an arrangement in which the run was faster, if it was."""
        self._before = None
        placement, former = arranged.placement, before.placement
        kept = staying(placement, former, self._job.program.blocks)
        if self._rate.per_s >= rate or len(kept) < former.n_hosts:
            return None
        self._enough = _cpus(placement.node_of, machines())
        what = (
            f"went back from {placement.n_hosts} to {former.n_hosts} tile hosts, which trained "
            f"{rate:,.0f} instead of {self._rate.per_s:,.0f} examples/s"
        )
        return Move(arranged=before, kept=kept, come={}, what=what)

    # Sharing evenly

    def _is_uneven(self, reports: Mapping[int, HostReport]) -> bool:
        if not self._engine.rebalance or len(reports) < 2:
            return False
        if time.monotonic() < self._rests_until:
            self._start = dict(reports)
            return False
        load = load_between(self._start, reports)
        if load.run_s < WINDOW_S:
            return False
        self._start = dict(reports)
        return load.excess > UNEVEN

    def _timed(
        self,
        arranged: Arrangement,
        members: Members,
        reports: Mapping[int, HostReport],
        left_s: float,
    ) -> Move | None:
        load = load_between(self._start, reports)
        if load.run_s < TIMED_S:
            return None
        seconds = members.all("time_tiles", False)
        self._is_timing, self._start = False, dict(reports)
        work, found = work_of_tiles(seconds, load.busy_s, self._arranger.units), self._usable()
        self._looks_at = 0.0
        try:
            if self._grows(arranged, left_s):
                after = self._arranger.fresh(found, work)
                kept = staying(arranged.placement, after.placement, self._job.program.blocks)
                self._coming = Newcomers(
                    after, kept, found, self._maker, self._reservations, members.spots
                )
                return None
            return self._shifted(arranged, load, work, left_s) if self._engine.rebalance else None
        except ConfigError:  # there is no memory for it
            self._wait_longer()
            self._looks_at = self._rests_until
            return None

    def _shifted(
        self, arranged: Arrangement, load: Busy, work: list[int], left_s: float
    ) -> Move | None:
        """The same hosts with even shares, if that pays and each has a CPU of its own."""
        placement, there = arranged.placement, machines()
        of_tile = balanced(work, placement.n_hosts)
        busy_s = by_host(work, of_tile)
        saved = load.saved(busy_s)
        has_cpus = _cpus(placement.node_of, there) == placement.n_hosts
        if not has_cpus or saved < LEAST_SAVED or not self._pays(1 - saved, left_s):
            self._wait_longer()
            return None
        what = (
            f"rebalanced {placement.n_hosts} tile hosts: the busiest had "
            f"{100 * load.excess:.0f} % more work than the mean, now {100 * excess(busy_s):.0f} %"
        )
        shifted = self._arranger.shifted(arranged, there, of_tile)
        kept = {host: host for host in range(placement.n_hosts)}
        return Move(arranged=shifted, kept=kept, come={}, what=what)

    def _wait_longer(self) -> None:
        self._rest_s = min(2 * self._rest_s, LONGEST_REST_S)
        self._rest()


def _cpus(node_of: tuple[str, ...], there: list[Machine]) -> int:
    """CPUs that hosts on these nodes can use at once."""
    return sum(min(machine.cpus, node_of.count(machine.node)) for machine in there)
