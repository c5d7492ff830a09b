"""Taking turns: every contestant trains the same examples, one after the other, round by round.

A turn starts from the initial weights in fresh hosts, so that all contestants do exactly the same
work, bit for bit, however many rounds there are; starting and a first span are not counted. Of
several executors in one Ray instance, only the one whose turn it is holds processors and memory.
"""

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Literal

from crossmesh.cluster.scaling.independent import Independent
from crossmesh.cluster.scaling.spans import spans
from crossmesh.emulator.compiler.job import Job
from crossmesh.emulator.executors.engines import create
from crossmesh.emulator.executors.executor import Executor
from crossmesh.tiles.runtime.measure import HostReport
from crossmesh.tiles.runtime.program import Span

Kind = Literal["local", "ray", "independent"]


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """One of the set-ups that are compared: this process, Ray actors, or independent processes.

    Attributes:
        kind: ``local``: this process. ``ray``: actors. ``independent``: processes that each train
            a network of their own, and know nothing of each other.
        actors: How many actors or processes; 0 for this process.
        job: The job that it trains.
    """

    kind: Kind
    actors: int
    job: Job

    @property
    def name(self) -> str:
        """In words."""
        if self.kind == "local":
            return "this process"
        noun = "actor" if self.kind == "ray" else "independent process"
        plural = "" if self.actors == 1 else "es" if noun.endswith("ss") else "s"
        return f"{self.actors} {noun}{plural}"


@dataclass(frozen=True, kw_only=True)
class Turn:
    """Measurement of a contestant in a round.

    Attributes:
        contestant: The set-up that was measured.
        repeat: Number of the round, from 0.
        span: What was run, by each of the independent processes.
        seconds: Wall seconds.
        hosts: Shares of the time of each host, within the span.
        others_busy: Processors of this machine that others kept busy before the turn.
    """

    contestant: Contestant
    repeat: int
    span: Span
    seconds: float
    hosts: tuple[HostReport, ...]
    others_busy: float = 0.0

    @property
    def examples(self) -> int:
        """Examples that were run, by all."""
        each = self.span.n_examples
        return each * self.contestant.actors if self.contestant.kind == "independent" else each

    @property
    def examples_per_s(self) -> float:
        """Examples per second, of all."""
        return self.examples / self.seconds

    @property
    def is_training(self) -> bool:
        """Whether the span trained the network; otherwise it only read it."""
        return self.span.evaluation is None


def takes(contestant: Contestant, examples: int, repeat: int) -> Iterator[Turn]:
    """The turns of a contestant in a round; this process also only reads, for the cost model."""
    if contestant.kind == "independent":
        yield _all_at_once(contestant, examples, repeat)
        return
    warm, timed = spans(contestant.job, examples)
    with closing(create(contestant.job)) as executor:
        executor.write_initial_weights()
        _run(executor, warm)
        yield _timed(executor, contestant, timed, repeat)
        if contestant.kind == "local":
            yield _timed(executor, contestant, _reading(contestant.job), repeat)


def _all_at_once(contestant: Contestant, examples: int, repeat: int) -> Turn:
    job = contestant.job
    with closing(Independent(job.config, contestant.actors)) as processes:
        seconds = processes.turn(examples)
    timed = spans(job, examples)[1]
    return Turn(contestant=contestant, repeat=repeat, span=timed, seconds=seconds, hosts=())


def _reading(job: Job) -> Span:
    """A test of the network by micro-batches of the size of training."""
    return replace(job.evaluation(0), micro_batch=job.config.training.examples_together)


def _timed(executor: Executor, contestant: Contestant, span: Span, repeat: int) -> Turn:
    before = executor.hosts()
    started = time.perf_counter()
    _run(executor, span)
    seconds = time.perf_counter() - started
    spent = (_spent(*pair) for pair in zip(before, executor.hosts(), strict=True))
    return Turn(
        contestant=contestant, repeat=repeat, span=span, seconds=seconds, hosts=tuple(spent)
    )


def _run(executor: Executor, span: Span) -> None:
    executor.run(span, lambda progress: None)


def _spent(before: HostReport, after: HostReport) -> HostReport:
    """What a host did between two reports."""
    return after._replace(
        run_s=after.run_s - before.run_s,
        message_s=after.message_s - before.message_s,
        wait_s=after.wait_s - before.wait_s,
        messages=after.messages - before.messages,
        bytes=after.bytes - before.bytes,
        operations=after.operations - before.operations,
    )


def enough(job: Job, seconds: float = 4.0) -> int:
    """Examples that this process trains in about so many seconds; an epoch at most."""
    batch = job.config.training.batch
    examples = min(job.n_train, 2 * batch)
    contestant = Contestant(kind="local", actors=0, job=job)
    while True:
        taken = next(iter(takes(contestant, examples, 0)))
        if taken.seconds > seconds / 4 or examples == job.n_train:
            break
        examples = min(job.n_train, 4 * examples)
    wanted = int(seconds * taken.examples_per_s)
    return min(job.n_train, max(batch, wanted // batch * batch))
