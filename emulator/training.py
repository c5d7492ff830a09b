"""Training: epochs as spans, tests between them, checkpoints, and the summary of a run."""

import contextlib
import hashlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from emulator.baseline import accuracy, train_baseline
from emulator.checkpoints import History, MetricsRow
from emulator.chip.report import ChipReport, check_chip, chip_of
from emulator.chip.rows import links_table, tile_columns
from emulator.chip.trace import trace
from emulator.config import RunConfig
from emulator.errors import ConfigError, RunLost
from emulator.executors import Executor, create
from emulator.job import Job, prepare
from emulator.listener import Listener, Silence
from emulator.result import Emulation, RunResult
from emulator.rundir import RunDirectory, config_digest, metrics_table, tiles_table
from tiles.measure import Measurement, Progress, TileReport
from tiles.tile import warm_up


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Loss and accuracy on the test set."""

    loss: float
    accuracy: float


def train(
    config: RunConfig,
    directory: RunDirectory | Path | str | None = None,
    listener: Listener | None = None,
    *,
    resume: bool = False,
) -> RunResult:
    """Train a network on emulated tiles.

    Args:
        config: The run.
        directory: Where to leave results and checkpoints; by default nowhere. It must be new or
            empty, unless a run is resumed.
        listener: Who shows progress; by default nobody.
        resume: Whether to go on from the directory's newest checkpoint.

    Returns:
        The result.

    Raises:
        ConfigError: If config, data and directory do not fit.
        DataError: If the data cannot be had.
        RunError: If a tile or the cluster fails.
    """
    started = time.perf_counter()
    if isinstance(directory, Path | str):
        directory = RunDirectory(directory)
    job = prepare(config)
    check_chip(job)
    with contextlib.ExitStack() as stack:
        stack.enter_context(threadpool_limits(1))
        if directory is not None:
            stack.enter_context(directory.held(new=not resume))
        run = _Run(job, directory, listener or Silence(), started)
        try:
            return run.result(resume=resume)
        except RunLost as error:
            if directory is None or not directory.can_be_resumed:
                raise
            raise RunLost(f"{error}; go on with: crossmesh resume {directory.path}") from error


def test_network(job: Job, executor: Executor, number: int) -> Evaluation:
    """Test a network; ``number`` keys the noise of the reads."""
    rows = executor.run(job.evaluation(number), lambda progress: None)
    return Evaluation(loss=rows[-1].loss, accuracy=rows[-1].accuracy)


class _Run:
    def __init__(
        self, job: Job, directory: RunDirectory | None, listener: Listener, started: float
    ) -> None:
        self._job = job
        self._directory = directory
        self._listener = listener
        self._started = started
        self._is_class = job.dataset.has_classes
        self._history = History()
        self._start_s = 0.0
        self._pulses_before: list[int] = []  # of each tile, in the run that is resumed

    def result(self, *, resume: bool) -> RunResult:
        job, directory = self._job, self._directory
        self._listener.phase("compiling", 0)
        warm_up(job.config.tile)
        self._listener.phase("starting", 0)
        executor = create(job)
        try:
            if executor.notice:
                self._listener.note(executor.notice)
            self._begin(executor, resume=resume)
            if directory is not None:
                directory.write_config(job.config)
            self._start_s = time.perf_counter() - self._started
            self._listener.phase("training", job.n_train * job.config.training.epochs)
            for epoch in range(self._history.epoch, job.config.training.epochs):
                self._epoch(executor, epoch)
            digests, reports = executor.digests(), self._reports(executor)
            emulation = self._emulation(executor)
        finally:
            executor.close()
        self._listener.phase("timing the chip", 0)
        chip = chip_of(self._job, self._pulses(reports))
        result = self._summed_up(digests, reports, emulation, chip)
        if directory is not None:
            directory.write_table("tiles", result.tiles)
            directory.write_table("links", result.links)
            directory.write_json("trace", trace(chip))
            directory.write_summary(result.summary)
        return result

    def _reports(self, executor: Executor) -> list[TileReport]:
        """Rows of the tiles table; pulses are those of the whole run."""
        reports = executor.reports()
        before = self._pulses_before or [0] * len(reports)
        return [
            report._replace(pulses=report.pulses + earlier)
            for report, earlier in zip(reports, before, strict=True)
        ]

    def _pulses(self, reports: list[TileReport]) -> tuple[float, ...] | None:
        """Pulses of each tile per example, where any were counted."""
        counted = any(report.pulses for report in reports)
        per_example = (report.pulses / self._history.examples for report in reports)
        return tuple(per_example) if counted else None

    def _begin(self, executor: Executor, *, resume: bool) -> None:
        found = None
        if resume and self._directory is not None:
            found = self._directory.checkpoints(self._job).latest(self._listener.note)
        if found is None:
            executor.write_initial_weights()
        else:
            folder, self._history = found
            if self._history.epoch > self._job.config.training.epochs:
                raise ConfigError(
                    f"training.epochs must be at least {self._history.epoch}, which {folder.name} "
                    f"has done already, got {self._job.config.training.epochs}"
                )
            executor.load(folder)
            self._pulses_before = self._history.pulses
            self._listener.note(f"resumed after {self._history.examples} examples")

    def _epoch(self, executor: Executor, epoch: int) -> None:
        history, before = self._history, self._history.examples

        def watch(progress: Progress) -> None:
            accuracy = progress.accuracy if self._is_class else math.nan
            self._listener.progress(Progress(before + progress.examples, progress.loss, accuracy))

        started = time.perf_counter()
        measured = executor.run(self._job.epoch(epoch), watch)
        wall_s = time.perf_counter() - started
        tested = test_network(self._job, executor, epoch)
        rows = self._rows(measured, epoch, tested)
        for row in rows:
            self._listener.row(row)
        history.rows.extend(rows)
        history.epoch = epoch + 1
        history.examples += self._job.n_train
        history.wall_s += wall_s
        history.pulses = [report.pulses for report in self._reports(executor)]
        end = rows[-1]
        known = math.nan if end.train_accuracy is None else end.train_accuracy
        self._listener.progress(Progress(history.examples, end.loss, known))
        if self._directory is not None:
            self._directory.write_metrics(history.rows)
            with self._directory.writing():
                self._directory.checkpoints(self._job).save(history, executor.save)

    def _rows(
        self, measured: list[Measurement], epoch: int, tested: Evaluation
    ) -> list[MetricsRow]:
        rows, last = [], Measurement(0, 0.0, 0.0, 0.0)
        for m in measured:
            is_end = m is measured[-1]
            rows.append(
                MetricsRow(
                    epoch=epoch + 1,
                    examples=self._history.examples + m.examples,
                    loss=m.loss,
                    train_accuracy=m.accuracy if self._is_class else None,
                    test_loss=tested.loss if is_end else None,
                    test_accuracy=tested.accuracy if is_end and self._is_class else None,
                    wall_s=self._history.wall_s + m.wall_s,
                    examples_per_s=(m.examples - last.examples) / max(m.wall_s - last.wall_s, 1e-9),
                )
            )
            last = m
        return rows

    def _baseline(self) -> float | None:
        if not self._job.config.training.baseline:
            return None
        listener = self._listener
        listener.phase("baseline", self._job.n_train * self._job.config.training.epochs)
        network = train_baseline(self._job, lambda examples: listener.progress(Progress(examples)))
        return accuracy(self._job, network)

    def _emulation(self, executor: Executor) -> Emulation:
        history = self._history
        return Emulation(
            engine=executor.engine,
            nodes=executor.n_nodes,
            actors=executor.n_actors,
            tiles=len(self._job.program.blocks),
            wall_s=history.wall_s,
            start_s=self._start_s,
            examples_per_s=history.examples / history.wall_s,
            recoveries=history.recoveries,
        )

    def _summed_up(
        self,
        digests: list[bytes],
        reports: list[TileReport],
        emulation: Emulation,
        chip: ChipReport,
    ) -> RunResult:
        config, last = self._job.config, self._history.rows[-1]
        return RunResult(
            name=config.name,
            seed=config.seed,
            config_digest=config_digest(config),
            state_digest=_joint(digests),
            examples_trained=self._history.examples,
            epochs=self._history.epoch,
            train_loss=last.loss,
            test_loss=last.test_loss,
            test_accuracy=last.test_accuracy,
            baseline_test_accuracy=self._baseline(),
            emulation=emulation,
            metrics=metrics_table(self._history.rows),
            chip=chip.summary,
            tiles=tiles_table(reports, tile_columns(chip)),
            links=links_table(chip),
            path=self._directory.path if self._directory else None,
        )


def _joint(digests: list[bytes]) -> str:
    """One digest of those of all tiles, in tile order."""
    return hashlib.sha256(b"".join(digests)).hexdigest()


def evaluate(
    directory: RunDirectory, config: RunConfig, warn: Callable[[str], None]
) -> dict[str, Any]:
    """Test the network of a run's newest checkpoint again, with the same noise as then.

    Returns:
        ``examples_trained``, ``test_examples``, ``test_loss``, ``test_accuracy``, ``state_digest``.
    """
    job = prepare(config)
    folder, history = directory.newest(job, warn)
    executor = create(job)
    try:
        executor.load(folder)
        tested = test_network(job, executor, history.epoch - 1)
        digests = executor.digests()
    finally:
        executor.close()
    return {
        "examples_trained": history.examples,
        "test_examples": len(job.dataset.test),
        "test_loss": tested.loss,
        "test_accuracy": tested.accuracy if job.dataset.has_classes else None,
        "state_digest": _joint(digests),
    }
