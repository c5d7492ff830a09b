"""A run from its start to its summary: training, the chip's figures, the float twin, the files."""

import hashlib
import math
import time
from collections.abc import Mapping

import pyarrow as pa

from crossmesh.common.errors import CallbackError
from crossmesh.common.supervision.reports import resumable
from crossmesh.emulator.callbacks.calling import CallbackCalls
from crossmesh.emulator.chip.patience import Placing, announcement
from crossmesh.emulator.chip.report import ChipReport, chip_of
from crossmesh.emulator.chip.rows import links_table, tile_columns
from crossmesh.emulator.chip.trace import trace
from crossmesh.emulator.chip.use import TileUse, uses_of
from crossmesh.emulator.compiler.boards import boards_notice, on_boards
from crossmesh.emulator.compiler.compile import reach_notice
from crossmesh.emulator.compiler.inputs import ARCHIVE, Array, prepared_for, with_archive
from crossmesh.emulator.compiler.ir_drop import wires_notice
from crossmesh.emulator.compiler.job import Job
from crossmesh.emulator.compiler.trained import trained_notice
from crossmesh.emulator.config.run import RunConfig
from crossmesh.emulator.executors.engines import create
from crossmesh.emulator.executors.executor import Executor
from crossmesh.emulator.runs.callbacks import Callbacks
from crossmesh.emulator.runs.checkpoints import found
from crossmesh.emulator.runs.directory import (
    RunDirectory,
    config_digest,
)
from crossmesh.emulator.runs.history import BaselineRow, History
from crossmesh.emulator.runs.tables import (
    arrays_table,
    baseline_table,
    metrics_table,
    recoveries_table,
    tiles_table,
)
from crossmesh.emulator.training.baseline import train_baseline
from crossmesh.emulator.training.diagnosis.limits import failure_of
from crossmesh.emulator.training.estimate import Estimate, estimate
from crossmesh.emulator.training.loop import TrainingLoop
from crossmesh.emulator.training.result import Emulation, Result
from crossmesh.tiles.analog.wear import joint_pulses
from crossmesh.tiles.runtime.measure import Progress, TileReport


class WholeRun:
    """A run of a job.

    Args:
        job: The job.
        directory: The run directory, held by this process; None: none.
        callbacks: Progress callbacks.
        calls: Calls what the user's program has to do meanwhile.
        kept: Arrays that the job's examples are made of and the run directory keeps, by name; None:
            the config says where they lie.
        started: When the run began, by ``time.perf_counter``.
    """

    def __init__(
        self,
        job: Job,
        directory: RunDirectory | None,
        callbacks: Callbacks,
        calls: CallbackCalls,
        *,
        kept: Mapping[str, Array] | None,
        started: float,
    ) -> None:
        self._job = job
        self._directory = directory
        self._callbacks = callbacks
        self._calls = calls
        self._kept = kept
        self._started = started
        self._told = ""

    def result(self) -> Result:
        """Train, and leave all files.

        Raises:
            CallbackError: If a callback failed; it holds the result.
        """
        result = self._trained()
        self._calls.end(result.summary)
        if self._calls.failure is not None:
            said, error = self._calls.failure
            where = f"; the run is saved in {result.path}" if result.path else ""
            what = f"{said}, after {result.examples_trained:,} examples{where}"
            raise CallbackError(what, result) from error
        return result

    def _trained(self) -> Result:
        job, directory, callbacks = self._job, self._directory, self._callbacks
        self._estimate().check_disk()  # before hosts are started
        for line in boards_notice(job, examples=job.n_train * job.config.training.epochs):
            callbacks.note(line)
        callbacks.phase("compiling and starting", 0)
        executor = create(job)
        try:
            self._remark(executor)
            loop = TrainingLoop(job, executor, directory, callbacks, self._calls)
            loop.begin()
            if directory is not None:
                directory.describe(self._kept_config(directory), prepared_for(job))
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
            self._leave(directory, loop.history, result, chip)
        return result

    @staticmethod
    def _leave(
        directory: RunDirectory, history: History, result: Result, chip: ChipReport | None
    ) -> None:
        """Write the files of a result."""
        directory.write_metrics(history.rows)
        directory.write_table("tiles", result.tiles)
        directory.write_table("arrays", result.arrays)
        if len(result.baseline):
            directory.write_table("baseline", result.baseline)
        directory.write_recoveries(history.recoveries)
        if chip is not None:
            directory.write_table("links", result.links)
            directory.write_json("trace", trace(chip.time))
        directory.write_summary(result.summary)

    def _kept_config(self, directory: RunDirectory) -> RunConfig:
        """The config as the directory keeps it: arrays that were given lie in an archive there."""
        if self._kept is None:
            return self._job.config
        if self._kept and not (directory.path / ARCHIVE).exists():
            directory.write_arrays(ARCHIVE.stem, self._kept)
        return with_archive(self._job.config, directory.path / ARCHIVE)

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
            placing = Placing(self._callbacks.note)
            chip = chip_of(self._job, uses, watch=self._tell_timing, placing=placing)
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

    def _baseline(self, examples: int) -> list[BaselineRow]:
        """Epochs of the float twin, so many that they have as many examples, if one is wanted."""
        if not self._job.config.training.baseline:
            return []
        callbacks, n_train = self._callbacks, self._job.n_train
        epochs = math.ceil(examples / n_train)
        callbacks.phase("baseline", n_train * epochs)
        twin = train_baseline(
            self._job, lambda examples: callbacks.progress(Progress(examples)), epochs
        )
        return twin.rows

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
            on_boards=len(on_boards(self._job.program)),
        )

    def _summed_up(
        self,
        history: History,
        digests: list[bytes],
        reports: list[TileReport],
        emulation: Emulation,
        chip: ChipReport | None,
    ) -> Result:
        config, last = self._job.config, history.rows[-1]
        baseline = self._baseline(history.examples)
        on_chip = self._on_chip(reports)
        twin = baseline[-1].test_accuracy if baseline else None
        return Result(
            name=config.name,
            seed=config.seed,
            config_digest=config_digest(config),
            state_digest=joint_digest(digests),
            examples_trained=history.examples,
            epochs=history.epoch,
            train_loss=last.loss,
            test_loss=last.test_loss,
            test_accuracy=last.test_accuracy,
            baseline_test_accuracy=twin,
            baseline_test_loss=baseline[-1].test_loss if baseline else None,
            validation_loss=last.validation_loss,
            validation_accuracy=last.validation_accuracy,
            emulation=emulation,
            stopped=self._calls.stopped,
            history=metrics_table(history.rows),
            baseline=baseline_table(baseline),
            chip=chip.summary if chip else None,
            remarks=failure_of(self._job, last.test_accuracy, twin, reports, history.examples),
            pulses=joint_pulses(report.wear for report in on_chip),
            tiles=tiles_table(reports, tile_columns(chip) if chip else {}),
            arrays=arrays_table(on_chip),
            links=links_table(chip) if chip else pa.table({}),
            recoveries=recoveries_table(history.recoveries),
            path=self._directory.path if self._directory else None,
        )


def joint_digest(digests: list[bytes]) -> str:
    """One digest of those of all tiles, in tile order."""
    return hashlib.sha256(b"".join(digests)).hexdigest()
