"""Making the actors of a job on the nodes where they are placed."""

from typing import Any

import ray

from crossmesh.common.supervision.reports import RAY_S, within
from crossmesh.emulator.compiler.job import Job
from crossmesh.emulator.executors.arrangement import Arrangement
from crossmesh.emulator.executors.nodes import Reservations
from crossmesh.tiles.runtime.actor import actor_class
from crossmesh.tiles.runtime.assignment import Assignment
from crossmesh.tiles.runtime.program import FEEDS

WRITE_BYTES_PER_S = 10e6  # what storage is at least expected to take and give (assumed)


class Maker:
    """Makes actors; what they need lies in Ray's object store, once for all of them.

    Args:
        job: The job.
        reservations: CPUs and memory on the nodes.
    """

    def __init__(self, job: Job, reservations: Reservations) -> None:
        self._reservations = reservations
        self._class = actor_class()
        assignment = Assignment(
            program=job.program, seed=job.config.seed, host_of=(), host=0, backend=job.backend
        )
        with within(RAY_S + job.dataset.n_bytes / WRITE_BYTES_PER_S, "Ray's object store"):
            feeds = job.feeds
            self._feeds = [ray.put(feeds[n]) if n in feeds else None for n in FEEDS]
            self._assignment = ray.put(assignment)

    def make(self, arranged: Arrangement, host: int) -> Any:
        """Begin to make the actor of a host."""
        placement = arranged.placement
        strategy = self._reservations.on(placement.node_of[host])
        placed = self._class.options(num_cpus=0, scheduling_strategy=strategy)
        return placed.remote(self._assignment, host, placement.host_of, *self.feeds(arranged, host))

    def feeds(self, arranged: Arrangement, host: int) -> list[Any]:
        """Examples of each of ``FEEDS`` for a host; None where it needs none."""
        return self._feeds if host in arranged.fed else [None] * len(FEEDS)
