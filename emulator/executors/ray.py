"""The Ray executor: every tile in an actor, messages between actors over their own channels.

Ray places the actors, watches them and carries calls; activations, partial sums and errors never
pass through this process.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import ray

from crossmesh.common.errors import HostLost, RunError
from crossmesh.common.supervision import interrupts
from crossmesh.common.supervision.reports import RAY_S, within
from crossmesh.emulator.compiler.activations import activations_of, notice
from crossmesh.emulator.compiler.job import Job
from crossmesh.emulator.executors.executor import Watch
from crossmesh.emulator.executors.instance import (
    check_version,
    connect,
    different_arithmetic,
    disconnect,
)
from crossmesh.emulator.executors.links import capacity, pairs
from crossmesh.emulator.executors.members import Members, Unreachable
from crossmesh.emulator.executors.nodes import Reservations, await_machines, machines
from crossmesh.emulator.executors.placement import (
    PROCESS_BYTES,
    Machine,
    most_to_build,
    place,
    replaced,
    tile_sizes,
)
from crossmesh.emulator.executors.span_progress import Stall, latest
from crossmesh.tiles.analog.retention import Aging
from crossmesh.tiles.runtime.actor import actor_class
from crossmesh.tiles.runtime.host import Assignment
from crossmesh.tiles.runtime.measure import HostReport, Outcome, Progress, TileReport
from crossmesh.tiles.runtime.program import Span

AVOID_S = 600.0  # a node that another could not reach is left alone for so long
WRITE_BYTES_PER_S = 10e6  # what storage is at least expected to take and give (assumed)
PATIENCE_S = 10.0  # a signal waits so long for a span that ends soon
OBJECT_STORE_BYTES = 256 << 20  # besides the examples


class RayExecutor:
    """Actors with tiles, on a private Ray instance unless the config names a cluster."""

    engine = "ray"

    def __init__(self, job: Job) -> None:
        self._job = job
        self._engine = job.config.engine
        self._generation = 0  # of the messages; a recovery raises it
        self._reservations = Reservations()
        self._avoided: dict[str, float] = {}  # nodes that others could not reach, and when
        self._members: Members | None = None
        self._owns_ray = False
        try:
            self._owns_ray = connect(self._engine, OBJECT_STORE_BYTES + 2 * job.dataset.n_bytes)
            self._start()
        except Unreachable as error:
            self.close()
            raise RunError(str(error)) from None
        except BaseException:
            self.close()
            raise

    # Starting

    def _start(self) -> None:
        found = await_machines(self._engine.nodes, self._engine.timeout_s)
        self._sizes = tile_sizes(self._job)
        self._process_bytes = PROCESS_BYTES + most_to_build(self._job)
        measure = partial(activations_of, self._job)
        self._placement = place(
            self._sizes, self._engine, found, self._process_bytes, measure, self._job.program.units
        )
        assert self._placement.activations is not None
        self._stored = self._placement.activations.most
        activations = notice(self._job, self._placement.activations)
        host_of = self._placement.host_of
        self._capacity = capacity(self._job, host_of)
        self._pairs = pairs(self._job, host_of)
        self._give_out()
        self._members = Members(self._placement, self._engine.timeout_s)
        self._reports: dict[int, HostReport] = {}
        self._make(list(range(self._placement.n_hosts)))
        self._members.join(self._generation, self._capacity)
        check_version(self._members.spots)
        differ = different_arithmetic(self._members.spots)
        self.notice = "\n".join(filter(None, (self._placement.notice, activations, differ)))
        self._members.connect(self._pairs)

    @property
    def n_actors(self) -> int:
        """Actors that host tiles."""
        return self._placement.n_hosts

    @property
    def n_nodes(self) -> int:
        """Nodes that they are on."""
        return len(set(self._placement.node_of))

    @property
    def _all(self) -> Members:
        assert self._members is not None
        return self._members

    def _give_out(self) -> None:
        """Lay what actors need into the object store, once for all of them."""
        job, host_of = self._job, self._placement.host_of
        operations = job.program.operations
        self._fed = {host_of[op.tile] for op in operations if op.kind in ("input", "loss")}
        assignment = Assignment(
            program=job.program, seed=job.config.seed, host_of=host_of, host=0,
            backend=job.backend,
        )  # fmt: skip
        with within(RAY_S + job.dataset.n_bytes / WRITE_BYTES_PER_S, "Ray's object store"):
            self._feeds = [ray.put(job.feeds[name]) for name in ("train", "test")]
            self._assignment = ray.put(assignment)

    def _make(self, hosts: list[int]) -> None:
        """Make the actors of some hosts on the nodes where they are placed."""
        node_of = self._placement.node_of
        cpus = {machine.node: machine.cpus for machine in machines()}
        wanted: dict[str, dict[str, float]] = {}
        sizes = self._host_bytes()
        for node in node_of:
            there = [host for host, its in enumerate(node_of) if its == node]
            n_cpus = min(len(there), cpus.get(node, 1))
            wanted[node] = {"CPU": n_cpus, "memory": sum(sizes[host] for host in there)}
        self._reservations.take(wanted, self._engine.timeout_s)
        make = actor_class()

        def create(host: int) -> Any:
            strategy = self._reservations.on(node_of[host])
            feeds = self._feeds if host in self._fed else [None, None]
            placed = make.options(num_cpus=0, scheduling_strategy=strategy)
            return placed.remote(self._assignment, host, *feeds)

        self._all.make(hosts, create)

    # Running

    def write_initial_weights(self) -> None:
        """Set every tile to the network's initial weights."""
        self._all.all("write", self._job.initial())

    def run(self, span: Span, watch: Watch) -> Outcome:
        """Run a span on all actors; on any failure stop them all and raise what caused it."""
        loss = next(op for op in self._job.program.operations if op.kind == "loss")
        judge = self._placement.host_of[loss.tile]
        stalled = Stall(self._engine.timeout_s)
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

    # Recovering

    def recover(self) -> None:
        """Replace lost hosts, elsewhere if their node is gone, and open all channels again.

        Raises:
            HostLost: If more is lost meanwhile.
            RunLost: If what is left has no room.
        """
        with interrupts.deferred():
            self._generation += 1
            lost, silent = self._all.leave(self._generation, self._capacity)
            left = self._left(silent)
            there = {machine.node for machine in left}
            node_of = self._placement.node_of
            lost = sorted(
                {*lost, *(host for host, node in enumerate(node_of) if node not in there)}
            )
            if lost:
                self._replace(lost, left)
            try:
                self._all.connect(self._pairs)
            except Unreachable as error:
                self._avoid_one_of(error.pair)
                raise

    def _left(self, silent: list[int]) -> list[Machine]:
        """Nodes to resume with: not those that all is silent on, if there are others."""
        node_of, now = self._placement.node_of, time.monotonic()
        self._avoided = {n: since for n, since in self._avoided.items() if now - since < AVOID_S}
        loud = {node for host, node in enumerate(node_of) if host not in silent}
        doubtful = {*self._avoided, *(set(node_of) - loud)}
        found = await_machines(1, self._engine.timeout_s)
        return [machine for machine in found if machine.node not in doubtful] or found

    def _replace(self, lost: list[int], left: list[Machine]) -> None:
        """Make the actors of lost hosts again, on the nodes that are left."""
        node_of, sizes = list(self._placement.node_of), self._host_bytes()
        used: dict[str, int] = {}
        for host, node in enumerate(node_of):
            if host not in lost:
                used[node] = used.get(node, 0) + sizes[host]
        for host, node in replaced({h: sizes[h] for h in lost}, node_of, left, used).items():
            node_of[host] = node
        self._placement = replace(self._placement, node_of=tuple(node_of))
        self._reservations.keep(set(node_of))
        self._make(lost)
        self._all.join(self._generation, self._capacity)
        check_version(self._all.spots)

    def _host_bytes(self) -> list[int]:
        """Memory of each actor with its tiles and activations."""
        total = [self._process_bytes + stored for stored in self._stored]
        for block in self._job.program.crossbars:
            host = self._placement.host_of[block.tile]
            total[host] += self._sizes[self._job.program.units[block.tile]]
        return total

    def _avoid_one_of(self, pair: tuple[int, int]) -> None:
        """Of two nodes that cannot reach each other, leave that with fewer hosts for a while."""
        here, node_of = ray.get_runtime_context().get_node_id(), self._placement.node_of
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
        return self._engine.timeout_s + sum(self._sizes) / WRITE_BYTES_PER_S

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
