"""The Ray executor: every tile in an actor, messages between actors over their own channels.

Ray places, watches and calls actors; activations, sums and errors never pass through this process.
"""

import math
import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import ray

from crossmesh.common.errors import HostLost, RunError
from crossmesh.common.supervision import interrupts
from crossmesh.emulator.compiler.job import Job
from crossmesh.emulator.executors.arrangement import Arranger
from crossmesh.emulator.executors.executor import Figures, Watch
from crossmesh.emulator.executors.instance import (
    check_version,
    connect,
    different_arithmetic,
    disconnect,
)
from crossmesh.emulator.executors.making import WRITE_BYTES_PER_S, Maker
from crossmesh.emulator.executors.members import Members, Unreachable
from crossmesh.emulator.executors.metrics import Exported, remark
from crossmesh.emulator.executors.nodes import (
    Reservations,
    await_machines,
    free_machines,
    machines,
)
from crossmesh.emulator.executors.placement import Machine, replaced
from crossmesh.emulator.executors.rearranging import Move, Rearranger, TrainingRate
from crossmesh.emulator.executors.span_progress import Stall, latest
from crossmesh.tiles.analog.retention import Aging
from crossmesh.tiles.runtime.measure import HostReport, Outcome, Progress, TileReport
from crossmesh.tiles.runtime.program import Span
from crossmesh.tiles.runtime.warm_up import warm_up_program

AVOID_S = 600.0  # a node that another could not reach is left alone for so long
PATIENCE_S = 10.0  # a signal waits so long for a span that ends soon
OBJECT_STORE_BYTES = 256 << 20  # besides the examples


class RayExecutor:
    """Actors with tiles, on a private Ray instance unless the config names a cluster."""

    engine = "ray"
    moves = 0

    def __init__(self, job: Job) -> None:
        self._job = job
        self._engine = job.config.engine
        self._generation = 0  # of the messages; a recovery raises it
        self._reservations = Reservations()
        self._avoided: dict[str, float] = {}  # nodes that others could not reach, and when
        self._members: Members | None = None
        self._owns_ray = False
        try:
            kernels = interrupts.beside(partial(warm_up_program, job.program, job.backend))
            arranger = Arranger(job)
            store_bytes = OBJECT_STORE_BYTES + 2 * job.dataset.n_bytes
            here = arranger.n_hosts(os.cpu_count() or 1)
            self._owns_ray = connect(self._engine, store_bytes, here)
            self._start(arranger, kernels)
        except Unreachable as error:
            self.close()
            raise RunError(str(error)) from None
        except BaseException:
            self.close()
            raise

    # Starting

    def _start(self, arranger: Arranger, await_kernels: Callable[[], None]) -> None:
        engine = self._engine
        look = partial(free_machines, self._reservations.held) if engine.grow else machines
        found = await_machines(engine.nodes, engine.timeout_s, look)
        self._arranged = arranged = arranger.fresh(found)
        placement = arranged.placement
        self._state_bytes = sum(arranger.sizes)
        self._maker = Maker(self._job, self._reservations)
        self._rearranger = Rearranger(self._job, arranger, self._maker, self._reservations)
        self._exported = Exported(self._job.config.name) if engine.metrics else None
        self._members = Members(placement, engine.timeout_s)
        self._reports: dict[int, HostReport] = {}
        self._is_settled = True  # all actors hold the tiles that they are placed for
        await_kernels()  # else every actor would compile them
        self._make(list(range(placement.n_hosts)))
        self._members.join(self._generation, arranged.capacity)
        check_version(self._members.spots)
        differ, unseen = different_arithmetic(self._members.spots), remark(engine, self._owns_ray)
        self.notice = "\n".join(filter(None, (arranger.notice(placement), differ, unseen)))
        self._members.connect(arranged.pairs)

    @property
    def n_actors(self) -> int:
        """Actors that host tiles."""
        return self._arranged.placement.n_hosts

    @property
    def n_nodes(self) -> int:
        """Nodes that they are on."""
        return len(set(self._arranged.placement.node_of))

    @property
    def _all(self) -> Members:
        assert self._members is not None
        return self._members

    def _make(self, hosts: list[int]) -> None:
        """Make the actors of some hosts on the nodes where they are placed."""
        self._reservations.take(self._arranged.reserved(machines()), self._engine.timeout_s)
        self._all.make(hosts, partial(self._maker.make, self._arranged))

    # Running

    def write_initial_weights(self) -> None:
        """Set every tile to the network's initial weights."""
        self._all.all("write", self._job.initial())

    def run(self, span: Span, watch: Watch) -> Outcome:
        """Run a span on all actors; on any failure stop them all and raise what caused it."""
        judge, stalled = self._arranged.judge, Stall(self._engine.timeout_s)
        statuses = self._all.statuses
        statuses.clear()

        def look() -> None:
            self._reports.update({host: report for host, (_, report) in statuses.items()})
            if judge in statuses:
                progress = statuses[judge][0]
                stalled.check(progress.examples)
                watch(progress)

        ends_soon = span.schedule.round is not None or span.evaluation is not None
        patience_s = PATIENCE_S if ends_soon else 0.0
        done: list[tuple[Outcome | None, HostReport]] = self._all.all(
            "run", span, timeout_s=math.inf, meanwhile=look, patience_s=patience_s
        )
        self._reports = {host: report for host, (_, report) in enumerate(done)}
        outcome = done[judge][0]
        if outcome is None or any(part is None for part, _ in done):
            raise HostLost("a span was stopped before its end")
        watch(Progress(span.n_examples, *latest(outcome)))
        return outcome

    # Moving tiles

    def rearrange(self, left: int, examples: int, seconds: float) -> str:
        """Put tiles elsewhere where that pays, between two spans; see ``rearranging``."""
        look, span = self._rearranger.look, TrainingRate(examples=examples, seconds=seconds)
        with interrupts.deferred(), self._all.patient(PATIENCE_S):
            move = look(self._arranged, self._all, self._reports, left, span)
            return self._rearranger.take_remark() if move is None else self._move(move)

    def _move(self, move: Move) -> str:
        """Have actors hold the tiles of another arrangement; states go from one to the other."""
        started, before, members = time.monotonic(), self._arranged, self._all
        placement = move.arranged.placement
        stays = {(tile, move.kept.get(host)) for tile, host in enumerate(placement.host_of)}
        goes = [each for each in enumerate(before.placement.host_of) if each not in stays]
        states = members.states(tile for tile, _ in goes)
        self._is_settled, self._arranged = False, move.arranged
        self._generation += 1
        gone = members.take_over(placement, move.kept, move.come)
        members.join(self._generation, move.arranged.capacity)
        self._assign(states)
        members.end(gone)
        self._reservations.keep(set(placement.node_of))
        members.connect(move.arranged.pairs)
        self._reports = {}
        self.moves += 1
        seconds = time.monotonic() - started
        self._rearranger.taken(seconds)
        units = self._job.program.units
        moved = {units[tile] for tile, _ in goes}
        return f"{move.what}; {len(moved)} of {max(units) + 1} tiles moved in {seconds:.1f} s"

    def _assign(self, states: Mapping[int, Any]) -> None:
        """Have every actor hold the tiles that it is placed for, some in states that come."""
        self._all.assign(partial(self._maker.feeds, self._arranged), states)
        self._is_settled = True

    # Recovering

    def recover(self) -> None:
        """Replace lost hosts, elsewhere if their node is gone, and open all channels again.

        Raises:
            HostLost: If more is lost meanwhile.
            RunLost: If what is left has no room.
        """
        with interrupts.deferred():
            self._rearranger.forget()
            self._generation += 1
            lost, silent = self._all.leave(self._generation, self._arranged.capacity)
            left = self._left(silent)
            there = {machine.node for machine in left}
            node_of = self._arranged.placement.node_of
            lost = sorted(
                {*lost, *(host for host, node in enumerate(node_of) if node not in there)}
            )
            if lost:
                self._replace(lost, left)
            if not self._is_settled:
                self._assign({})
            try:
                self._all.connect(self._arranged.pairs)
            except Unreachable as error:
                self._avoid_one_of(error.pair)
                raise

    def _left(self, silent: list[int]) -> list[Machine]:
        """Nodes to resume with: not those that all is silent on, if there are others."""
        node_of, now = self._arranged.placement.node_of, time.monotonic()
        self._avoided = {n: since for n, since in self._avoided.items() if now - since < AVOID_S}
        loud = {node for host, node in enumerate(node_of) if host not in silent}
        doubtful = {*self._avoided, *(set(node_of) - loud)}
        found = await_machines(1, self._engine.timeout_s)
        return [machine for machine in found if machine.node not in doubtful] or found

    def _replace(self, lost: list[int], left: list[Machine]) -> None:
        """Make the actors of lost hosts again, on the nodes that are left."""
        placement, sizes = self._arranged.placement, self._arranged.host_bytes
        node_of, used = list(placement.node_of), dict.fromkeys(placement.node_of, 0)
        for host, node in enumerate(node_of):
            used[node] += 0 if host in lost else sizes[host]
        for host, node in replaced({h: sizes[h] for h in lost}, node_of, left, used).items():
            node_of[host] = node
        self._arranged = self._arranged.on(node_of)
        self._reservations.keep(set(node_of))
        self._make(lost)
        self._all.join(self._generation, self._arranged.capacity)
        check_version(self._all.spots)

    def _avoid_one_of(self, pair: tuple[int, int]) -> None:
        """Of two nodes that cannot reach each other, leave that with fewer hosts for a while."""
        here, node_of = ray.get_runtime_context().get_node_id(), self._arranged.placement.node_of
        nodes = {node_of[host] for host in pair}
        if len(nodes) > 1:
            worse = min(sorted(nodes - {here}), key=node_of.count)
            self._avoided[worse] = time.monotonic()

    # State

    def save(self, folder: str) -> dict[str, str]:
        """Have every actor write the state of its tiles."""
        parts = self._all.all("save", folder, timeout_s=self._storage_s, patience_s=math.inf)
        return {name: digest for part in parts for name, digest in part.items()}

    def load(self, folder: str, files: Mapping[str, str]) -> None:
        """Have every actor read the state of its tiles."""
        self._all.all("load", folder, files, timeout_s=self._storage_s)

    @property
    def _storage_s(self) -> float:
        """Longest wait for the state of all tiles to be written or read."""
        return self._engine.timeout_s + self._state_bytes / WRITE_BYTES_PER_S

    def age(self, aging: Aging | None) -> None:
        """Have every actor read its tiles from programmed memories that have aged."""
        self._all.all("age", aging)

    def digests(self) -> list[bytes]:
        """sha256 of each tile's device state, in tile order."""
        digests = {
            tile: digest for part in self._all.all("digests") for tile, digest in part.items()
        }
        return [digests[tile] for tile in sorted(digests)]

    def reports(self) -> list[TileReport]:
        """Rows of the tiles table, in tile order."""
        return sorted(TileReport(*row) for part in self._all.all("reports") for row in part)

    def hosts(self) -> list[HostReport]:
        """Latest report of every actor: its place, and how its time was spent."""
        return [HostReport(*report) for _, report in sorted(self._reports.items())]

    def export(self, figures: Figures) -> None:
        """Have Ray export figures of the run, if the config says so."""
        if self._exported is not None:
            self._exported.update(figures, self.n_nodes, self.hosts())

    # Ending

    def close(self) -> None:
        """Stop and end the actors, and the Ray instance if it is ours; signals wait for it."""
        with interrupts.deferred():
            try:
                if self._members is not None:
                    self._members.close()
                if ray.is_initialized() and not self._owns_ray:  # otherwise they end with Ray
                    self._reservations.keep(set())
            finally:
                if self._owns_ray:
                    self._owns_ray = False
                    disconnect()
