"""Training: a run from its config to its summary, and testing what it has left."""

import contextlib
import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
from threadpoolctl import threadpool_limits

from crossmesh.common.errors import ConfigError, RunLost
from crossmesh.common.supervision.reports import resumable
from crossmesh.emulator.chip.patience import announcement
from crossmesh.emulator.chip.report import ChipReport, check_chip, chip_of
from crossmesh.emulator.chip.rows import links_table, tile_columns
from crossmesh.emulator.chip.trace import trace
from crossmesh.emulator.chip.use import TileUse, uses_of
from crossmesh.emulator.compiler.compile import reach_notice
from crossmesh.emulator.compiler.inputs import Arrays, dataset_of, prepared_for
from crossmesh.emulator.compiler.ir_drop import wires_notice
from crossmesh.emulator.compiler.job import Job, prepare
from crossmesh.emulator.compiler.trained import trained_notice
from crossmesh.emulator.config.run import RunConfig
from crossmesh.emulator.executors.engines import create
from crossmesh.emulator.executors.executor import Executor
from crossmesh.emulator.runs.callbacks import Callbacks, NoCallbacks
from crossmesh.emulator.runs.checkpoints import found
from crossmesh.emulator.runs.directory import (
    PREPARED,
    RunDirectory,
    arrays_table,
    config_digest,
    metrics_table,
    recoveries_table,
    tiles_table,
)
from crossmesh.emulator.runs.history import History
from crossmesh.emulator.runs.result import Emulation, RunResult
from crossmesh.emulator.training.baseline import train_baseline
from crossmesh.emulator.training.calibration.calibrate import calibrated
from crossmesh.emulator.training.estimate import Estimate, estimate
from crossmesh.emulator.training.loop import TrainingLoop, test_network
from crossmesh.tiles.analog.wear import joint_pulses
from crossmesh.tiles.runtime.measure import Measurement, Progress, TileReport


def train(
    config: RunConfig,
    directory: RunDirectory | Path | str | None = None,
    callbacks: Callbacks | None = None,
    *,
    resume: bool = False,
    data: Arrays | None = None,
) -> RunResult:
    """Train a network on emulated tiles.

    Args:
        config: The run.
        directory: Run directory for results and checkpoints; by default none. It must be new or
            empty, unless a run is resumed.
        callbacks: Progress callbacks; by default none.
        resume: Whether to resume from the directory's newest checkpoint.
        data: Arrays to train and test on in place of the config's data, whose section says how they
            are prepared: ``(x, y)``, ``(x, y, x_test, y_test)``, or by the names of an archive.

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
    callbacks = callbacks or NoCallbacks()
    config = calibrated(config, callbacks.note, data)
    job = prepare(config, None if data is None else dataset_of(config, data))
    check_chip(job)
    with contextlib.ExitStack() as stack:
        stack.enter_context(threadpool_limits(1))
        if directory is not None:
            stack.enter_context(directory.held(new=not resume))
            if resume:
                resumable(directory.resume_command)
            if not resume and directory.can_be_resumed(config):
                raise ConfigError(
                    "checkpoint.storage must be new or empty, got one with checkpoints: "
                    f"{directory.storage(config)}"
                )
        run = _Run(job, directory, callbacks, started)
        try:
            return run.result()
        except RunLost as error:
            if directory is None or not directory.has_begun:
                raise
            raise RunLost(f"{error}; resume with: {directory.resume_command}") from error


class _Run:
    def __init__(
        self, job: Job, directory: RunDirectory | None, callbacks: Callbacks, started: float
    ) -> None:
        self._job = job
        self._directory = directory
        self._callbacks = callbacks
        self._started = started
        self._told = ""

    def result(self) -> RunResult:
        job, directory, callbacks = self._job, self._directory, self._callbacks
        self._estimate().check_disk()  # before hosts are started
        callbacks.phase("compiling and starting", 0)
        executor = create(job)
        try:
            self._remark(executor)
            loop = TrainingLoop(job, executor, directory, callbacks)
            loop.begin()
            if directory is not None:
                directory.write_config(job.config)
                directory.write_json(PREPARED, prepared_for(job))
                resumable(directory.resume_command)
            start_s = time.perf_counter() - self._started
            digests, reports = loop.run()
            emulation = self._emulation(executor, loop.history, start_s)
        finally:
            executor.close()
        callbacks.phase("timing the chip", 0)
        chip = self._chip(uses_of(self._on_chip(reports), loop.history.examples))
        result = self._summed_up(loop.history, digests, reports, emulation, chip)
        if directory is not None:
            directory.write_metrics(loop.history.rows)
            directory.write_table("tiles", result.tiles)
            directory.write_table("arrays", result.arrays)
            directory.write_recoveries(loop.history.recoveries)
            if chip is not None:
                directory.write_table("links", result.links)
                directory.write_json("trace", trace(chip.time))
            directory.write_summary(result.summary)
        return result

    def _estimate(self, n_actors: int = 0) -> Estimate:
        job, directory = self._job, self._directory
        if directory is None:
            return estimate(job, None, n_actors)
        storage = directory.storage(job.config)
        return estimate(job, storage, n_actors, len(found(storage)))

    def _remark(self, executor: Executor) -> None:
        """What a user should know before the run."""
        job, needed = self._job, self._estimate(executor.n_actors)
        for part in (executor.notice, wires_notice(job.program), str(needed), needed.warning):
            for line in part.splitlines():
                self._callbacks.note(line)
        examples = len(job.dataset.train) * job.config.training.epochs
        for line in trained_notice(job.program, examples):
            self._callbacks.note(line)
        for line in reach_notice(job.network, job.program, job.given):
            self._callbacks.note(line)

    def _on_chip(self, reports: list[TileReport]) -> list[TileReport]:
        """Those of tiles, without digital memories."""
        blocks = self._job.program.blocks
        return [report for report in reports if blocks[report.tile].home is None]

    def _chip(self, uses: tuple[TileUse, ...]) -> ChipReport | None:
        """The chip's figures, or None: what fails here must not cost the trained network."""
        try:
            chip = chip_of(self._job, uses, watch=self._tell_timing)
            chip.summary, tile_columns(chip), links_table(chip)
        except Exception as error:
            said = str(error) or type(error).__name__
            self._callbacks.note(
                f"timing the chip failed ({said}); the summary has no chip figures"
            )
            return None
        return chip

    def _tell_timing(self, done: int, total: int) -> None:
        """Say once, before it begins, if the timing of the chip takes long."""
        line = announcement(self._job.config.chip, total)
        if line is not None and not done and line != self._told:
            self._callbacks.note(line)
            self._told = line

    def _baseline(self) -> Measurement | None:
        if not self._job.config.training.baseline:
            return None
        callbacks = self._callbacks
        callbacks.phase("baseline", self._job.n_train * self._job.config.training.epochs)
        twin = train_baseline(self._job, lambda examples: callbacks.progress(Progress(examples)))
        return twin.test()

    def _emulation(self, executor: Executor, history: History, start_s: float) -> Emulation:
        return Emulation(
            engine=executor.engine,
            nodes=executor.n_nodes,
            actors=executor.n_actors,
            tiles=len(self._job.program.crossbars),
            wall_s=history.wall_s,
            start_s=start_s,
            examples_per_s=history.examples / history.wall_s,
            recoveries=len(history.recoveries),
        )

    def _summed_up(
        self,
        history: History,
        digests: list[bytes],
        reports: list[TileReport],
        emulation: Emulation,
        chip: ChipReport | None,
    ) -> RunResult:
        config, last, baseline = self._job.config, history.rows[-1], self._baseline()
        has_accuracy, on_chip = self._job.has_accuracy, self._on_chip(reports)
        return RunResult(
            name=config.name,
            seed=config.seed,
            config_digest=config_digest(config),
            state_digest=_joint(digests),
            examples_trained=history.examples,
            epochs=history.epoch,
            train_loss=last.loss,
            test_loss=last.test_loss,
            test_accuracy=last.test_accuracy,
            baseline_test_accuracy=baseline.accuracy if baseline and has_accuracy else None,
            baseline_test_loss=baseline.loss if baseline else None,
            emulation=emulation,
            metrics=metrics_table(history.rows),
            chip=chip.summary if chip else None,
            pulses=joint_pulses(report.wear for report in on_chip),
            tiles=tiles_table(reports, tile_columns(chip) if chip else {}),
            arrays=arrays_table(on_chip),
            links=links_table(chip) if chip else pa.table({}),
            recoveries=recoveries_table(history.recoveries),
            path=self._directory.path if self._directory else None,
        )


def _joint(digests: list[bytes]) -> str:
    """One digest of those of all tiles, in tile order."""
    return hashlib.sha256(b"".join(digests)).hexdigest()


def evaluate(
    directory: RunDirectory | None,
    config: RunConfig,
    warn: Callable[[str], None],
    data: Arrays | None = None,
) -> dict[str, Any]:
    """Test the network of a run's newest checkpoint again, with the same noise as then.

    Args:
        directory: The run; None: the network as it is before training.
        config: Its config.
        warn: Called with a line about each damaged checkpoint, and what a user should know.
        data: Arrays in place of the config's data, as those that it was trained on.

    Returns:
        ``examples_trained``, ``test_examples``, ``test_loss``, ``test_accuracy``, ``state_digest``.
    """
    config = calibrated(config, warn, data)
    job = prepare(config, None if data is None else dataset_of(config, data))
    executor = create(job)
    try:
        if directory is None:
            for line in (
                *wires_notice(job.program).splitlines(),
                *reach_notice(job.network, job.program, job.given),
            ):
                warn(line)
            history = History()
            executor.write_initial_weights()
        else:
            history = directory.restore(job, executor, warn)
        tested = test_network(job, executor, max(0, history.examples - 1) // job.n_train)
        digests = executor.digests()
    finally:
        executor.close()
    return {
        "examples_trained": history.examples,
        "test_examples": len(job.dataset.test),
        "test_loss": tested.loss,
        "test_accuracy": tested.accuracy if job.has_accuracy else None,
        "state_digest": _joint(digests),
    }
