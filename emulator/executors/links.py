"""Channels between tile hosts: which there must be, and how many messages each holds."""

from crossmesh.emulator.compiler.job import Job
from crossmesh.tiles.runtime.plan import edges, in_order, messages_in_flight

CAPACITY = 32  # messages queued per channel, so far may hosts run ahead (assumed)


def capacity(job: Job, host_of: tuple[int, ...]) -> int:
    """Messages per channel: room to run ahead, and never fewer than keep hosts going.

    Room is given back by halves of a queue, and ZeroMQ has one at each end, hence the factor of
    four.
    """
    schedules = (job.epoch(0).schedule, job.evaluation(0).schedule)
    needed = max(messages_in_flight(job.program, each, host_of) for each in schedules)
    return max(CAPACITY, 4 * needed)


def pairs(job: Job, host_of: tuple[int, ...]) -> set[tuple[int, int]]:
    """Source and target of every channel that some schedule uses."""
    return {
        (edge.source, edge.target)
        for span in (job.epoch(0), job.evaluation(0))
        for edge in edges(in_order(job.program, span.schedule), host_of)
    }
