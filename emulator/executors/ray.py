"""The Ray executor: every tile in an actor, messages between actors over their own channels.

Ray places the actors, watches them and carries calls; activations, partial sums and errors never
pass through this process.
"""

import contextlib
import math
import secrets
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

from emulator import interrupt
from emulator.errors import RunError, RunLost
from emulator.executors import Watch
from emulator.executors.instance import connect, disconnect, first_line
from emulator.executors.placement import place
from emulator.job import Job
from interconnect.channels import ChannelLost
from tiles.actor import Spot, actor_class
from tiles.aging import Aging
from tiles.host import Assignment
from tiles.measure import Measurement, Progress, TileReport
from tiles.plan import edges, in_order, messages_in_flight
from tiles.program import Program, Span

CAPACITY = 32  # messages queued per channel, so far may hosts run ahead (assumed)
POLL_S = 0.25  # between two looks at signals, failures and progress
GRACE_S = 2.0  # a lost channel is a symptom: so long may its cause take to show
CLOSE_S = 5.0  # longest wait for actors to close their channels
GENERATION = 0  # of the messages; a recovery raises it
OBJECT_STORE_BYTES = 256 << 20  # besides the examples


class RayExecutor:
    """Actors with tiles, on a private Ray instance unless the config names a cluster."""

    engine = "ray"

    def __init__(self, job: Job) -> None:
        self._job = job
        self._engine = job.config.engine
        self._actors: list[Any] = []
        self._spots: list[Spot] = []
        self._folders: set[Path] = set()
        self._owns_ray = False
        try:
            memory = OBJECT_STORE_BYTES + 2 * job.dataset.n_bytes
            self._owns_ray = connect(self._engine.address, memory)
            n_cpus = int(ray.cluster_resources().get("CPU", 1))
            self._host_of, self.notice = place(
                len(job.program.blocks), self._engine.tiles_per_actor, n_cpus
            )
            self.n_actors = self._host_of[-1] + 1
            self._create_actors(n_cpus)
            self._spots = self._all("spot")
            self.n_nodes = len({spot.node for spot in self._spots})
            self._connect_actors()
        except BaseException:
            self.close()
            raise

    # Starting

    def _create_actors(self, n_cpus: int) -> None:
        job, program = self._job, self._job.program
        feeds = {name: ray.put(feed) for name, feed in job.feeds.items()}
        needs_examples = {
            self._host_of[op.tile] for op in program.operations if op.kind in ("input", "loss")
        }
        share = min(1.0, int(1000 * n_cpus / self.n_actors) / 1000)
        actor = actor_class().options(num_cpus=share)
        capacity = self._capacity()
        for host in range(self.n_actors):
            given = feeds if host in needs_examples else {}
            assignment = Assignment(
                program=program,
                tile=job.config.tile,
                seed=job.config.seed,
                host_of=self._host_of,
                host=host,
            )
            self._actors.append(
                actor.remote(
                    assignment, given.get("train"), given.get("test"), GENERATION, capacity
                )
            )

    def _connect_actors(self) -> None:
        """Open every channel that some schedule uses."""
        spots, hosts = self._spots, range(self.n_actors)
        sources: dict[int, set[int]] = {host: set() for host in hosts}
        for edge in self._edges(self._job.program):
            sources[edge[1]].add(edge[0])
        token = secrets.token_hex(8)
        addresses: list[dict[int, str]] = self._get(
            [
                self._actors[host].listen.remote(
                    {peer: spots[peer] for peer in sources[host]}, f"crossmesh-{token}-{host}"
                )
                for host in hosts
            ]
        )
        self._folders = {
            Path(address.removeprefix("ipc://")).parent
            for answer in addresses
            for address in answer.values()
            if address.startswith("ipc://")
        }
        connecting = [
            self._actors[host].connect.remote(
                {
                    peer: (addresses[peer][host], spots[peer].key)
                    for peer in hosts
                    if host in sources[peer]
                }
            )
            for host in hosts
        ]
        self._get(connecting)

    def _capacity(self) -> int:
        """Messages per channel: room to run ahead, and never fewer than keep hosts going.

        ZeroMQ gives room back by halves of a queue, at both ends, hence the factor of four.
        """
        spans = (self._job.epoch(0), self._job.evaluation(0))
        program, host_of = self._job.program, self._host_of
        needed = max(messages_in_flight(program, span.schedule, host_of) for span in spans)
        return max(CAPACITY, 4 * needed)

    def _edges(self, program: Program) -> set[tuple[int, int]]:
        spans = (self._job.epoch(0), self._job.evaluation(0))
        return {
            (edge.source, edge.target)
            for span in spans
            for edge in edges(in_order(program, span.schedule), self._host_of)
        }

    # Running

    def write_initial_weights(self) -> None:
        """Set every tile to the network's initial weights."""
        self._all("write", self._job.initial())

    def run(self, span: Span, watch: Watch) -> list[Measurement]:
        """Run a span on all actors; on any failure stop them all and raise what caused it."""
        loss = next(op for op in self._job.program.operations if op.kind == "loss")
        judge = self._host_of[loss.tile]
        stalled = _Stall(self._engine.timeout_s)

        def look() -> None:
            progress = self._progress(judge)
            stalled.check(progress.examples)
            watch(progress)

        futures = [actor.run.remote(span) for actor in self._actors]
        rows: list[list[Measurement]] = self._get(futures, timeout_s=math.inf, meanwhile=look)
        return rows[judge]

    def _progress(self, judge: int) -> Progress:
        try:
            return Progress(*ray.get(self._actors[judge].progress.remote(), timeout=5))
        except RayError:
            return Progress(0)  # ``run`` meets the failure itself and names it

    def _all(self, method: str, *arguments: Any) -> list[Any]:
        return self._get([getattr(actor, method).remote(*arguments) for actor in self._actors])

    def _get(
        self,
        futures: list[Any],
        timeout_s: float | None = None,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> list[Any]:
        """Wait for an answer of every actor, and look after signals.

        Args:
            futures: One per actor, in their order.
            timeout_s: Longest wait, by default that of the config.
            meanwhile: Called now and then.
        """
        deadline = time.monotonic() + (timeout_s or self._engine.timeout_s)
        pending = futures
        with interrupt.deferred():
            while pending and not interrupt.requested():
                done, pending = ray.wait(pending, num_returns=len(pending), timeout=POLL_S)
                if any(_failure(future) for future in done):
                    raise self._cause(futures, pending)
                if pending and time.monotonic() > deadline:
                    raise RunLost(
                        f"{len(pending)} actors did not answer within engine.timeout_s "
                        f"({self._engine.timeout_s:g} s): the cluster may lack CPUs or memory"
                    )
                if pending:
                    meanwhile()
        return list(ray.get(futures))

    def _cause(self, futures: list[Any], pending: list[Any]) -> RunError:
        """What failed first, after stopping all actors; lost channels only if nothing else did."""
        if pending:
            ray.wait(pending, num_returns=len(pending), timeout=GRACE_S)
        self._stop_all()
        done, _ = ray.wait(futures, num_returns=len(futures), timeout=0)
        failures = {
            host: error for host, future in enumerate(futures) if (error := _failure(future, done))
        }
        host = min(failures, key=lambda host: _is_symptom(failures[host]))
        return self._translated(host, failures[host])

    def _translated(self, host: int, error: RayError) -> RunError:
        """A Ray exception as one of ours: what, where, why."""
        if isinstance(error, RayTaskError):
            return RunError(str(error.cause or error))
        tiles = [tile for tile, there in enumerate(self._host_of) if there == host]
        name = f"tile {tiles[0]}" if len(tiles) == 1 else f"tiles {tiles[0]} to {tiles[-1]}"
        where = f" on {self._spots[host].ip}" if self._spots else ""
        if isinstance(error, RayActorError):
            return RunLost(f"the actor of {name}{where} died: {_reason(error)}")
        return RunLost(f"the actor of {name}{where} failed: {first_line(error)}")

    # State

    def save(self, folder: Path) -> None:
        """Have every actor write the state of its tiles."""
        self._all("save", str(folder.resolve()))

    def load(self, folder: Path) -> None:
        """Have every actor read the state of its tiles."""
        self._all("load", str(folder.resolve()))

    def age(self, aging: Aging | None) -> None:
        """Have every actor read its tiles from programmed memories that have aged."""
        self._all("age", aging)

    def digests(self) -> list[bytes]:
        """sha256 of each tile's device state, in tile order."""
        digests = {tile: digest for part in self._all("digests") for tile, digest in part.items()}
        return [digests[tile] for tile in sorted(digests)]

    def reports(self) -> list[TileReport]:
        """Rows of the tiles table, in tile order."""
        return sorted(TileReport(*row) for part in self._all("reports") for row in part)

    def counters(self) -> dict[str, float]:
        """Messages and bytes sent between actors, and seconds that actors waited for them."""
        parts = self._all("counters")
        return {name: sum(part[name] for part in parts) for name in parts[0]}

    # Ending

    def _stop_all(self) -> None:
        for actor in self._actors:
            with contextlib.suppress(Exception):
                actor.stop.remote()

    def close(self) -> None:
        """Stop and end the actors, and the Ray instance if it is ours; signals wait for it."""
        with interrupt.deferred():
            try:
                self._close_actors()
            finally:
                if self._owns_ray:
                    self._owns_ray = False
                    disconnect()
                for folder in self._folders:  # what an actor that was killed has left
                    shutil.rmtree(folder, ignore_errors=True)

    def _close_actors(self) -> None:
        actors, self._actors = self._actors, []
        if not actors or not ray.is_initialized():
            return
        for actor in actors:
            with contextlib.suppress(Exception):
                actor.stop.remote()
        closing = [actor.close.remote() for actor in actors]
        with contextlib.suppress(Exception):
            ray.wait(closing, num_returns=len(closing), timeout=CLOSE_S)
        for actor in actors:
            with contextlib.suppress(Exception):
                ray.kill(actor)


class _Stall:
    """Notices a span that no longer moves."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._examples = -1
        self._since = time.monotonic()

    def check(self, examples: int) -> None:
        """Raise if the number of examples has not changed for too long."""
        if examples != self._examples:
            self._examples, self._since = examples, time.monotonic()
        elif time.monotonic() - self._since > self._timeout_s:
            raise RunLost(
                f"no micro-batch was completed within engine.timeout_s ({self._timeout_s:g} s), "
                f"after {examples} examples; a larger value helps where one takes so long"
            )


def _failure(future: Any, done: list[Any] | None = None) -> RayError | None:
    """How a call failed, or None if it did not, or is not among those that are done."""
    if done is not None and future not in done:
        return None
    try:
        ray.get(future)
    except RayError as error:
        return error
    return None


def _is_symptom(error: RayError) -> bool:
    """Whether the failure only says that another host has failed."""
    return isinstance(error, RayTaskError) and isinstance(error.cause, ChannelLost)


def _reason(error: RayActorError) -> str:
    """The sentence of Ray's message that says why an actor died."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if "because" in line or "detail" in line.lower()]
    return (telling or lines or [type(error).__name__])[0].partition(". ")[0]
