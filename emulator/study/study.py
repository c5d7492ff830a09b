"""Running a study: what is left to do, side by side, and what it came to."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from crossmesh.common.errors import ConfigError, RunLost
from crossmesh.common.locked_folders import held
from crossmesh.common.picture_files import PictureKind
from crossmesh.emulator.config.loading import dumped
from crossmesh.emulator.data import DataConfig, load
from crossmesh.emulator.runs.callbacks import Callbacks, NoCallbacks
from crossmesh.emulator.study.config import Study
from crossmesh.emulator.study.files import write_table, write_text
from crossmesh.emulator.study.fronts import check_fronts
from crossmesh.emulator.study.pareto import fronts_markdown, leave_fronts
from crossmesh.emulator.study.plan import Trial, trials
from crossmesh.emulator.study.pool import ProcessTask, perform
from crossmesh.emulator.study.record import StudyRecord
from crossmesh.emulator.study.search import Rule
from crossmesh.emulator.study.searched import Pairs, StudySearch
from crossmesh.emulator.study.table import TrialOutcome, markdown, results
from crossmesh.tiles.runtime.measure import Progress

_LOCK_S = 15.0  # that the last processes of a study that was killed may take to end


def run_study(
    study: Study,
    directory: Path | str | None = None,
    *,
    jobs: int | None = None,
    callbacks: Callbacks | None = None,
    plot_format: PictureKind = "png",
) -> pa.Table:
    """Run what is left of a study; leave its table and plots.

    Finished runs are not repeated; others are resumed from their newest checkpoint.

    Args:
        study: The study.
        directory: Its folder; by default ``studies/NAME``.
        jobs: Runs at once, each a process; by default as many as there are CPUs, or one if the
            runs use Ray, as each then spreads over the CPUs.
        callbacks: Progress callbacks; by default none.
        plot_format: Format of the plots.

    Returns:
        A row for every title and seed; where a run failed, ``failure`` says why.

    Raises:
        ConfigError: If study and directory do not fit, or a config is wrong.
        DataError: If data cannot be had.
        RunError: If the folder cannot be written.
    """
    directory = Path("studies") / study.name if directory is None else Path(directory)
    callbacks = callbacks or NoCallbacks()
    if study.search is not None:
        return _searched(study, directory, jobs, callbacks, plot_format)
    plan = trials(study, directory)
    with _held(directory) as lock:
        work = _Work(study, directory, plan)
        with _writing(directory):
            write_text(directory / "study.yaml", dumped(study))
        work.do(jobs or _jobs(plan), lock, callbacks)
        table = work.write()
        with _writing(directory):
            found = leave_fronts(table, study.pareto, directory, plot_format)
            write_text(directory / "table.md", markdown(study.name, table) + fronts_markdown(found))
        # Imported here, because Matplotlib is slow to load.
        from crossmesh.emulator.study.plot import draw

        with _writing(directory):
            draw(plan, table, directory, plot_format)
    return table


def _searched(
    study: Study,
    directory: Path,
    jobs: int | None,
    callbacks: Callbacks,
    plot_format: PictureKind,
) -> pa.Table:
    """Run what is left of a search; the results, best first."""
    found = StudySearch(study, directory, callbacks.note)
    with _held(directory) as lock:
        with _writing(directory):
            write_text(directory / "study.yaml", dumped(study))

        def do(plan: Sequence[Trial], before: Pairs, rule: Rule | None) -> list[TrialOutcome]:
            work = _Work(study, directory, plan, before, rule)
            work.do(jobs or _jobs(plan), lock, callbacks)
            work.write()
            return work.outcomes

        pairs = found.run(do)
        table = results(*zip(*pairs, strict=True))
        with _writing(directory):
            table, text = found.leave(table, pairs, plot_format)
            write_table(directory / "results.parquet", table)
            fronts = leave_fronts(table, study.pareto, directory, plot_format)
            write_text(directory / "table.md", text + fronts_markdown(fronts))
    return table


class _Work:
    """What is left of a study, done by processes side by side.

    Args:
        study: The study.
        directory: Its folder.
        plan: Its trials.
        before: Trials of earlier batches, and what they came to.
        rule: Rule by which runs are stopped early.
    """

    def __init__(
        self,
        study: Study,
        directory: Path,
        plan: Sequence[Trial],
        before: Pairs | None = None,
        rule: Rule | None = None,
    ) -> None:
        self._study = study
        self._before = before or []
        self._directory = directory
        self._plan = plan
        self._record = StudyRecord(study, directory, plan)
        self._trainings = [
            replace(task, stop=rule) if task.kind == "run" else task
            for task in self._record.trainings()
        ]
        self._sizes = dict(_sizes([*self._trainings, *self._record.chips()]))

    def do(self, jobs: int, lock: int, callbacks: Callbacks) -> None:
        """Do what is left, with ``jobs`` processes at once that hold ``lock``."""
        if not all(trial.is_chip_only for trial in self._plan):
            callbacks.phase("study", sum(self._sizes[task.key] for task in self._trainings))
            self._perform(self._trainings, jobs, lock, callbacks)
        if chips := list(self._record.chips()):
            callbacks.phase("timing chips", 0)
            self._perform(chips, jobs, lock, callbacks)

    @property
    def outcomes(self) -> list[TrialOutcome]:
        """What the trials came to, as far as they have."""
        return [self._record.outcome(trial) for trial in self._plan]

    def _perform(
        self, tasks: Sequence[ProcessTask], jobs: int, lock: int, callbacks: Callbacks
    ) -> None:
        examples = dict.fromkeys((task.key for task in tasks), 0)
        n_ended = 0
        with contextlib.closing(perform(tasks, jobs, lock)) as events:
            for task, kind, value in events:
                if kind == "examples":
                    examples[task.key] = value
                    callbacks.progress(Progress(sum(examples.values())))
                elif kind == "note":
                    callbacks.note(f"{task.name}: {value}")
                else:
                    n_ended += 1
                    examples[task.key] = self._sizes.get(task.key, 0)
                    with _writing(self._directory):
                        came_to = self._record.ended(task, kind, value)
                    self.write()
                    callbacks.note(f"{task.name}: {came_to} ({n_ended} of {len(tasks)})")

    def write(self) -> pa.Table:
        """Leave the table as far as it is known.

        Raises:
            ConfigError: If a front is asked for by what is no column.
        """
        before, known = zip(*self._before, strict=True) if self._before else ((), ())
        outcomes = [*known, *self.outcomes]
        table = results([*before, *self._plan], outcomes)
        with _writing(self._directory):
            write_table(self._directory / "results.parquet", table)
            write_text(self._directory / "table.md", markdown(self._study.name, table))
            self._record.write_baselines()
        if any(outcome.summary for outcome in outcomes):  # so that the table has all columns
            check_fronts(table, self._study.pareto)
        return table


def _sizes(tasks: Sequence[ProcessTask]) -> Iterator[tuple[str, int]]:
    """Examples that each task trains; data that cannot be had is found out here, at once."""
    sizes: dict[DataConfig, int] = {}
    for task in tasks:
        config = task.config
        if config.data not in sizes:
            sizes[config.data] = len(load(config.data).train)
        n = sizes[config.data]
        yield task.key, config.training.epochs * min(config.training.examples or n, n)


def _jobs(plan: Sequence[Trial]) -> int:
    """Runs at once by default."""
    on_ray = any(trial.config.engine.kind == "ray" for trial in plan)
    return 1 if on_ray else len(os.sched_getaffinity(0))


@contextlib.contextmanager
def _held(directory: Path) -> Iterator[int]:
    """Keep other studies out of a folder; yields the descriptor of its lock.

    Raises:
        ConfigError: If the folder cannot be had.
    """
    with held(directory, "--output", "study", wait_s=_LOCK_S) as folder:
        if any(directory.iterdir()) and not (directory / "study.yaml").is_file():
            raise ConfigError(
                f"--output must be new, empty or the folder of a study, got {directory}"
            )
        yield folder.lock


@contextlib.contextmanager
def _writing(directory: Path) -> Iterator[None]:
    """Report failures to write in one line."""
    try:
        yield
    except OSError as error:
        reason = f"{directory} cannot be written: {error.strerror or error}"
        raise RunLost(f"{reason}; run the same command again to resume") from None
