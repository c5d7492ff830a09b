"""The Ray executor: every tile in an actor, messages between actors over their own channels.

Ray places the actors, watches them and carries calls; activations, partial sums and errors never
pass through this process.
"""

import contextlib
import logging
import math
import os
import secrets
import shutil
import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

from emulator import interrupt
from emulator.errors import ConfigError, RunError
from emulator.executors import Watch
from emulator.job import Job
from tiles.actor import Spot, actor_class
from tiles.host import Assignment
from tiles.measure import Measurement, Progress, TileReport
from tiles.plan import edges, in_order, messages_in_flight
from tiles.program import Program, Span

ACTORS_PER_CPU = 8  # above this, ``tiles_per_actor: auto`` packs: an actor costs 60-100 MB
CAPACITY = 32  # messages queued per channel, so far may hosts run ahead
POLL_S = 0.25
GENERATION = 0  # of the messages; a recovery raises it
REACH_S = 3.0  # longest wait for an address to accept a connection
OBJECT_STORE_BYTES = 256 << 20
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
}


def place(n_tiles: int, tiles_per_actor: int | str, n_cpus: int) -> tuple[tuple[int, ...], str]:
    """Host of each tile, consecutive tiles together, and what a user should know of it.

    >>> place(5, 2, n_cpus=2)
    ((0, 0, 1, 1, 2), '')
    """
    if tiles_per_actor == "all":
        return (0,) * n_tiles, ""
    notice = ""
    if tiles_per_actor == "auto":
        room = ACTORS_PER_CPU * max(1, n_cpus)
        tiles_per_actor = -(-n_tiles // room)
        if tiles_per_actor > 1:
            notice = (
                f"{n_tiles} tiles are packed {tiles_per_actor} to an actor, since {n_cpus} CPUs "
                f"have room for {room} actors; engine.tiles_per_actor says otherwise"
            )
    return tuple(tile // int(tiles_per_actor) for tile in range(n_tiles)), notice


class RayExecutor:
    """Actors with tiles, on a private Ray instance unless the config names a cluster."""

    engine = "ray"

    def __init__(self, job: Job) -> None:
        self._job = job
        self._engine = job.config.engine
        self._actors: list[Any] = []
        self._folder = Path(tempfile.mkdtemp(prefix="crossmesh-"))
        self._owns_ray = False
        try:
            self._start_ray()
            n_cpus = int(ray.cluster_resources().get("CPU", 1))
            self._host_of, self.notice = place(
                len(job.program.blocks), self._engine.tiles_per_actor, n_cpus
            )
            self.n_actors = self._host_of[-1] + 1
            self._create_actors(n_cpus)
            spots = self._all("spot")
            self.n_nodes = len({spot.node for spot in spots})
            self._connect(spots)
        except BaseException:
            self.close()
            raise

    # Starting

    def _start_ray(self) -> None:
        address = self._engine.address
        if address is not None:
            _check_reachable(address)
        if ray.is_initialized():
            _check_connected(address)
            return
        options: dict[str, Any] = {"address": address}
        if address is None:
            # Token authentication is on by Ray's own default for an instance started here.
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            options = {
                "address": "local",
                "num_cpus": os.cpu_count(),
                "object_store_memory": OBJECT_STORE_BYTES + 2 * self._data_bytes(),
            }
        logging.getLogger("ray").setLevel(logging.ERROR)
        try:
            with interrupt.deferred():
                ray.init(
                    **options,
                    include_dashboard=None if address else False,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    configure_logging=False,
                    namespace=f"crossmesh-{secrets.token_hex(4)}",
                )
                self._owns_ray = True
                interrupt.reinstall()
        except (ConnectionError, RuntimeError, ValueError) as error:
            where = f"at {address} " if address else ""
            raise RunError(
                f"Ray {where}could not be reached or started: {_first_line(error)}; check the "
                "address, that the Ray versions agree, and the token (RAY_AUTH_TOKEN_PATH)"
            ) from None

    def _data_bytes(self) -> int:
        dataset = self._job.dataset
        return sum(
            part.inputs.nbytes + part.targets.nbytes for part in (dataset.train, dataset.test)
        )

    def _create_actors(self, n_cpus: int) -> None:
        job, program = self._job, self._job.program
        feeds = {name: ray.put(feed) for name, feed in job.feeds().items()}
        needs_examples = {
            self._host_of[op.tile] for op in program.operations if op.kind in ("input", "loss")
        }
        share = min(1.0, int(1000 * n_cpus / self.n_actors) / 1000)
        actor = actor_class().options(num_cpus=share, runtime_env={"env_vars": _ENVIRONMENT})
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

    def _connect(self, spots: list[Spot]) -> None:
        """Open every channel that some schedule uses."""
        sources: dict[int, set[int]] = {host: set() for host in range(self.n_actors)}
        for edge in self._edges(self._job.program):
            sources[edge[1]].add(edge[0])
        folders = [self._folder / str(host) for host in range(self.n_actors)]
        for folder in folders:
            folder.mkdir(mode=0o700)
        listening = [
            self._actors[host].listen.remote(
                {peer: spots[peer] for peer in sources[host]}, str(folders[host])
            )
            for host in range(self.n_actors)
        ]
        addresses = self._get(listening)
        connecting = [
            self._actors[host].connect.remote(
                {
                    peer: (addresses[peer][host], spots[peer].key)
                    for peer in range(self.n_actors)
                    if host in sources[peer]
                }
            )
            for host in range(self.n_actors)
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
        """Run a span on all actors; on any failure stop them all and raise what failed first."""
        judge = self._judge()
        futures = [actor.run.remote(span) for actor in self._actors]
        rows: list[list[Measurement]] = self._get(
            futures, timeout_s=math.inf, meanwhile=lambda: watch(self._progress(judge))
        )
        return rows[judge]

    def _judge(self) -> int:
        """The host that computes the loss."""
        loss = next(op for op in self._job.program.operations if op.kind == "loss")
        return self._host_of[loss.tile]

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
        """Wait for all, and look after signals; ``meanwhile`` is called now and then."""
        deadline = time.monotonic() + (timeout_s or self._engine.timeout_s)
        pending = futures
        with interrupt.deferred():
            while pending and not interrupt.requested():
                done, pending = ray.wait(pending, num_returns=len(pending), timeout=POLL_S)
                self._check(done)
                if pending and time.monotonic() > deadline:
                    raise RunError(
                        f"{len(pending)} actors did not answer within engine.timeout_s "
                        f"({self._engine.timeout_s:g} s): the cluster may lack CPUs or memory"
                    )
                if pending:
                    meanwhile()
        return list(ray.get(futures))

    def _check(self, done: list[Any]) -> None:
        """Raise what failed, as an error of ours, after stopping all actors."""
        try:
            ray.get(done)
        except RayError as error:
            self._stop_all()
            raise _translated(error) from None

    # State

    def save(self, folder: Path) -> None:
        """Have every actor write the state of its tiles."""
        self._all("save", str(folder))

    def load(self, folder: Path) -> None:
        """Have every actor read the state of its tiles."""
        self._all("load", str(folder))

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
        """Stop and end the actors, and the Ray instance if it is ours."""
        if self._actors and ray.is_initialized():
            self._stop_all()
            closing = [actor.close.remote() for actor in self._actors]
            with contextlib.suppress(Exception):
                ray.wait(closing, num_returns=len(closing), timeout=5)
            for actor in self._actors:
                with contextlib.suppress(Exception):
                    ray.kill(actor)
        self._actors = []
        if self._owns_ray:
            ray.shutdown()
            self._owns_ray = False
        shutil.rmtree(self._folder, ignore_errors=True)


def _translated(error: RayError) -> RunError:
    """A Ray exception as one of ours, with the message of its cause."""
    if isinstance(error, RayTaskError):
        return RunError(str(error.cause or error))
    if isinstance(error, RayActorError):
        return RunError(f"a tile actor died: {_first_line(error)}")
    return RunError(_first_line(error))


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _check_reachable(address: str) -> None:
    """Refuse an address at which nothing listens, before Ray waits for it."""
    if address == "auto":
        return
    host, separator, port = address.rpartition(":")
    law = "engine.address must be host:port of a running Ray cluster, or auto"
    if not separator or not port.isdigit() or "/" in address:
        raise ConfigError(f"{law}, got {address}")
    try:
        socket.create_connection((host, int(port)), timeout=REACH_S).close()
    except OSError as error:
        reason = error.strerror or str(error) or "no answer"
        raise ConfigError(f"{law}, got {address} ({reason.lower()})") from None


def _check_connected(address: str | None) -> None:
    """Refuse to run elsewhere than asked because this process has joined another cluster."""
    connected = ray.get_runtime_context().gcs_address
    if address not in (None, "auto", connected):
        raise ConfigError(
            f"engine.address must be {connected}, the cluster that this process is connected to, "
            f"got {address}"
        )
