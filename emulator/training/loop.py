"""The training loop: spans, tests between them, checkpoints, and recovery after a loss."""

import contextlib
import math
import time
from collections.abc import Callable
from typing import TypeVar

from crossmesh.common.errors import HostLost
from crossmesh.common.storage import NotWritten
from crossmesh.common.supervision import interrupts
from crossmesh.emulator.callbacks.callback import TrainingRun
from crossmesh.emulator.callbacks.calling import CallbackCalls
from crossmesh.emulator.compiler.job import Job
from crossmesh.emulator.executors.executor import Executor, Figures
from crossmesh.emulator.runs.callbacks import Callbacks
from crossmesh.emulator.runs.directory import NotSaved, RunDirectory
from crossmesh.emulator.runs.history import History, MetricsRow, Recovery
from crossmesh.emulator.runs.live import LiveFile
from crossmesh.emulator.training.estimate import time_line
from crossmesh.emulator.training.recovery_limit import RecoveryLimit
from crossmesh.emulator.training.spans import Spans
from crossmesh.emulator.training.tested import figures_of
from crossmesh.tiles.runtime.measure import Outcome, Progress, TileReport
from crossmesh.tiles.runtime.program import Span

T = TypeVar("T")
TOLD_AFTER_S = 0.5  # of a span, so that its pace says that of the run


class TrainingLoop:
    """Trains the network of a job on an executor, from the newest checkpoint to the last epoch.

    Args:
        job: The job.
        executor: Holder of the tiles.
        directory: Run directory for checkpoints and metrics; None: none, so a loss restarts it.
        callbacks: Progress callbacks.
        calls: Calls what the user's program has to do meanwhile.

    Attributes:
        history: The run so far.
    """

    def __init__(
        self,
        job: Job,
        executor: Executor,
        directory: RunDirectory | None,
        callbacks: Callbacks,
        calls: CallbackCalls | None = None,
    ) -> None:
        self.history = History()
        self._job = job
        self._executor = executor
        self._directory = directory
        self._checkpoints = directory.checkpoints(job) if directory else None
        self._callbacks = callbacks
        self._calls = calls or CallbackCalls([], callbacks.note)
        self._live = LiveFile(directory, job.config.training.epochs)
        self._has_accuracy = job.has_accuracy
        self._spans = Spans(job)
        self._total = job.n_train * job.config.training.epochs
        self._limit = RecoveryLimit(job.config.engine.recoveries_per_hour)
        self._saved = time.monotonic()
        self._is_told = False  # whether the time was said that the training takes
        self._checkpoints_written, self._checkpoint_s = 0, 0.0
        self._is_full = False  # whether the last checkpoint could not be written

    def begin(self) -> None:
        """Load the newest checkpoint, or the initial weights."""
        self._surviving(self._restore)
        if self._directory is not None and self.history.examples:
            survived = self._directory.recoveries()  # also since the checkpoint
            self.history.recoveries = max(self.history.recoveries, survived, key=len)
        if self.history.examples:
            self._callbacks.note(f"resumed after {self.history.examples:,} examples")

    def run(self) -> tuple[list[bytes], list[TileReport]]:
        """Train to the end; digest and report of every tile."""
        n, epochs = self._job.n_train, self._job.config.training.epochs
        if epochs > 1 and not self.history.examples:
            self._callbacks.note(f"{epochs} epochs x {n:,} examples")
        self._call_first()
        self._callbacks.phase("training", self._total)
        self._live.phase("training", self._total)
        try:
            return self._surviving(self._trained)
        finally:
            self._live.close()

    def _call_first(self) -> None:
        """Tell the callbacks that training begins."""
        path = None if self._directory is None else self._directory.path
        note = self._callbacks.note
        run = TrainingRun(self._job.config, path, self.history, save=self._save_as, note=note)
        self._calls.begin(run)

    # Surviving

    def _surviving(self, work: Callable[[], T]) -> T:
        """Do some work to its end, going back to the last checkpoint whenever a host is lost."""
        while True:
            try:
                return work()
            except HostLost as error:
                self._recover(error)

    def _recover(self, error: HostLost) -> None:
        interrupts.check()  # what asks for the end may have ended the hosts as well
        noticed_s, before = time.time(), self.history.examples
        self._callbacks.note(f"{error}; recovering")
        while True:
            self._limit.count(error)
            try:
                self._executor.recover()
                self._restore()
                break
            except HostLost as again:
                interrupts.check()
                error = again
        lost = max(0, before - self.history.examples)
        recovery = Recovery(noticed_s, time.time(), before, lost, " ".join(str(error).split()))
        self.history.recoveries.append(recovery)
        if self._directory is not None:
            with contextlib.suppress(NotSaved):
                self._directory.write_recoveries(self.history.recoveries)
        self._callbacks.note(f"recovered; {self.history.examples} examples are trained")

    def _restore(self) -> None:
        """Take the state of the newest checkpoint, or that before the first example."""
        earlier = None
        if self._checkpoints is not None:
            earlier = self._checkpoints.restore(self._executor, self._callbacks.note)
            self._live.checkpoint = earlier.examples if earlier else None
        if earlier is None:
            self._executor.write_initial_weights()
        self.history.restored(earlier or History())

    # Training

    def _trained(self) -> tuple[list[bytes], list[TileReport]]:
        while self.history.epoch < self._job.config.training.epochs and not self._calls.stopped:
            self._advance()
        if self.history.rows[-1].test_loss is None:  # stopped within an epoch, after its checkpoint
            self._test()
        return self._executor.digests(), self._executor.reports()

    def _advance(self) -> None:
        """Train a span; test and save where that is due."""
        history = self.history
        done = history.examples - history.epoch * self._job.n_train
        losses = history.losses() if self._job.config.training.watches_losses else ()
        span = self._spans.next(history.epoch, done, history.measured, losses)
        with contextlib.ExitStack() as stack:
            if span.schedule.round is not None:  # it ends soon: a signal waits for the checkpoint
                stack.enter_context(interrupts.deferred())
            started = time.perf_counter()
            outcome = self._executor.run(span, self._watch())
            seconds = time.perf_counter() - started
            stack.enter_context(interrupts.deferred())
            self._spans.took(span, seconds)
            self._tell_time(span, seconds)
            self._count(span, outcome, seconds)
            if span.is_last:
                self._end_epoch()
            is_due = done + span.n_examples == self._spans.boundary(done) or self._is_late
            self._calls.report()
            self._rearrange(span.n_examples, seconds)
            if is_due or self._calls.stopped or interrupts.requested():
                self._save()

    def _rearrange(self, examples: int, seconds: float) -> None:
        """Let the executor put tiles elsewhere after a span of some examples and seconds."""
        left = self._total - self.history.examples
        if left and not (interrupts.requested() or self._calls.stopped):
            if said := self._executor.rearrange(left, examples, seconds):
                self._callbacks.note(said)
            self._live.moves = self._executor.moves

    def _tell_time(self, span: Span, seconds: float) -> None:
        """Say once how long the training takes, by the first span that is no warming up."""
        if self._is_told or seconds < TOLD_AFTER_S:
            return
        self._is_told = True
        left = self._job.n_train * self._job.config.training.epochs - self.history.examples
        if line := time_line(left * seconds / span.n_examples):
            self._callbacks.note(line)

    def _watch(self) -> Callable[[Progress], None]:
        before = self.history.examples

        def watch(progress: Progress) -> None:
            accuracy = progress.accuracy if self._has_accuracy else math.nan
            state = Progress(before + progress.examples, progress.loss, accuracy)
            self._callbacks.progress(state)
            self._say(state)

        return watch

    def _say(self, progress: Progress) -> None:
        """Say how far the run is to all who watch it, now and then."""
        live = self._live.update(progress, self.history, self._executor.hosts())
        if live is not None:
            self._executor.export(
                Figures(
                    examples=live.examples,
                    examples_per_second=live.examples_per_s,
                    loss=live.loss,
                    accuracy=live.accuracy,
                    recoveries=live.recoveries,
                    moves=live.moves,
                    checkpoints=self._checkpoints_written,
                    checkpoint_seconds=self._checkpoint_s,
                )
            )

    def _count(self, span: Span, outcome: Outcome, seconds: float) -> None:
        """Add a span to the history."""
        history = self.history
        before = len(history.rows)
        history.add(outcome.rows, span.epoch + 1, has_accuracy=self._has_accuracy)
        history.measured = outcome.rest
        history.examples += span.n_examples
        history.wall_s += seconds
        rows = history.rows[before:]
        for row in rows if not span.is_last else rows[:-1]:
            self._callbacks.row(row)

    def _test(self) -> MetricsRow:
        """Test the network, which completes the last row of the metrics."""
        history = self.history
        row = history.rows[-1]._replace(
            **figures_of(self._job, self._executor, history.epoch)  # type: ignore[arg-type]  # names of fields
        )
        history.rows[-1] = row
        self._callbacks.row(row)
        return row

    def _end_epoch(self) -> None:
        history = self.history
        row = self._test()
        history.epoch += 1
        known = math.nan if row.train_accuracy is None else row.train_accuracy
        state = Progress(history.examples, row.loss, known)
        self._callbacks.progress(state)
        self._say(state)

    # Saving

    @property
    def _is_late(self) -> bool:
        """Whether the last checkpoint is older than it may be."""
        every_s = self._job.config.checkpoint.every_s
        return every_s is not None and time.monotonic() - self._saved >= every_s

    def _save(self) -> None:
        """Write a checkpoint and the metrics; if that fails, the training continues."""
        if self._directory is None or self._checkpoints is None:
            return
        self._saved = time.monotonic()
        try:
            self._checkpoints.save(self.history, self._executor)
            self._directory.write_metrics(self.history.rows)
        except (NotWritten, NotSaved) as error:
            if not self._is_full:
                self._callbacks.note(
                    f"no checkpoint after {self.history.examples} examples: {error}; "
                    "training continues and the next checkpoint is tried"
                )
            self._is_full = True
        else:
            if self._is_full:
                self._callbacks.note("checkpoints can be written again")
            self._is_full = False
            self._live.checkpoint = self.history.examples
            self._checkpoints_written += 1
            self._checkpoint_s += time.monotonic() - self._saved

    def _save_as(self, name: str) -> None:
        """Write a checkpoint under a name; if that fails, the training continues."""
        assert self._directory is not None  # a run without one refuses names
        try:
            self._directory.named_checkpoint(self._job, name).save(self.history, self._executor)
        except NotWritten as error:
            self._callbacks.note(f"no checkpoint {name}: {error}; training continues")
