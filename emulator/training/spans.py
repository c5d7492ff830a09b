"""Spans of micro-batches between two moments at which the pipeline is empty."""

from collections.abc import Sequence

from crossmesh.emulator.compiler.job import Job
from crossmesh.emulator.config.rates import EpochLoss
from crossmesh.tiles.runtime.program import Span, Sums

SPAN_S = 1.0  # aimed at, of wall clock: so soon are signals, time-outs and the live view served


class Spans:
    """Cuts epochs into spans.

    Where the schedule drains after every round anyway, a span takes about ``SPAN_S`` of wall clock,
    and where it ends changes nothing. An ``asynchronous`` pipeline drains only at the end of an
    epoch and after every ``checkpoint.every_examples``, since that does change the result.

    Args:
        job: The job to train.
    """

    def __init__(self, job: Job) -> None:
        training = job.config.training
        n_round = job.epoch(0).schedule.round
        self._job = job
        self._round = training.examples_together * (n_round or 1)  # examples
        self._drains = n_round is not None
        self._stop_every = job.config.checkpoint.every_examples
        self._next = self._round

    def next(self, epoch: int, done: int, measured: Sums, losses: Sequence[EpochLoss] = ()) -> Span:
        """The span that follows ``done`` examples of an epoch, after epochs with some losses."""
        stop = self.boundary(done)
        if self._drains:
            stop = min(stop, done + self._next)
        return self._job.span(epoch, done, stop, measured, losses)

    def boundary(self, done: int) -> int:
        """The next checkpoint by examples, or end of the epoch, after ``done``."""
        n = self._job.n_train
        if self._stop_every is None:
            return n
        due = (done // self._stop_every + 1) * self._stop_every
        return min(n, -(-due // self._round) * self._round)

    def took(self, span: Span, seconds: float) -> None:
        """Learn how long a span took."""
        rounds = SPAN_S * span.n_examples / max(seconds, 1e-6) / self._round
        fastest = 4 * self._next // self._round  # so that one short measurement does not mislead
        self._next = self._round * int(max(1, min(rounds, fastest)))
