"""Running a study: what is left to do, side by side, and what it came to."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from crossmesh.common.errors import ConfigError
from crossmesh.common.locked_folders import held
from crossmesh.common.picture_files import PictureKind
from crossmesh.emulator.compiler.fitting import trained_examples
from crossmesh.emulator.config.loading import dumped
from crossmesh.emulator.runs.callbacks import Callbacks, NoCallbacks
from crossmesh.emulator.study.config import Study
from crossmesh.emulator.study.files import write_table, write_text, writing
from crossmesh.emulator.study.fronts import check_fronts
from crossmesh.emulator.study.pareto import fronts_markdown, leave_fronts
from crossmesh.emulator.study.place import Perform, performing
from crossmesh.emulator.study.plan import Trial, trials
from crossmesh.emulator.study.pool import ProcessTask
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
    address: str | None = None,
    callbacks: Callbacks | None = None,
    plot_format: PictureKind = "png",
) -> pa.Table:
    """Run what is left of a study; leave its table and plots.

    Finished runs are not repeated; others are resumed from their newest checkpoint.

    Args:
        study: The study.
        directory: Its folder; by default ``studies/NAME``.
        jobs: Runs at once, each in a process; by default as many as there are CPUs, or one if the
            runs use Ray, as each then spreads over the CPUs.
        address: Address of a Ray cluster on whose nodes the runs are made as Ray tasks; by default
            they are processes of this machine.
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
        found = StudySearch(study, directory, callbacks.note)
        with _held(directory) as lock, performing([found.base], jobs, address, lock) as perform:
            return _searched(found, study, directory, perform, callbacks, plot_format)
    plan = trials(study, directory)
    with _held(directory) as lock, performing(plan, jobs, address, lock) as perform:
        work = _Work(study, directory, plan)
        with writing(directory):
            write_text(directory / "study.yaml", dumped(study))
        work.do(perform, callbacks)
        table = work.write()
        with writing(directory):
            fronts = leave_fronts(table, study.pareto, directory, plot_format)
            text = markdown(study.name, table) + fronts_markdown(fronts)
            write_text(directory / "table.md", text)
        # Imported here, because Matplotlib is slow to load.
        from crossmesh.emulator.study.plot import draw

        with writing(directory):
            draw(plan, table, directory, plot_format)
    return table


def _searched(
    found: StudySearch,
    study: Study,
    directory: Path,
    perform: Perform,
    callbacks: Callbacks,
    plot_format: PictureKind,
) -> pa.Table:
    """Run what is left of a search; the results, best first."""
    with writing(directory):
        write_text(directory / "study.yaml", dumped(study))

    def do(plan: Sequence[Trial], before: Pairs, rule: Rule | None) -> list[TrialOutcome]:
        work = _Work(study, directory, plan, before, rule)
        work.do(perform, callbacks)
        work.write()
        return work.outcomes

    pairs = found.run(do)
    table = results(*zip(*pairs, strict=True))
    with writing(directory):
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
        tasks = [*self._trainings, *self._record.chips()]
        sizes = trained_examples(task.config for task in tasks)
        self._sizes = dict(zip((task.key for task in tasks), sizes, strict=True))

    def do(self, perform: Perform, callbacks: Callbacks) -> None:
        """Do what is left."""
        if not all(trial.is_chip_only for trial in self._plan):
            callbacks.phase("study", sum(self._sizes[task.key] for task in self._trainings))
            self._do(self._trainings, perform, callbacks)
        if chips := list(self._record.chips()):
            callbacks.phase("timing chips", 0)
            self._do(chips, perform, callbacks)

    @property
    def outcomes(self) -> list[TrialOutcome]:
        """What the trials came to, as far as they have."""
        return [self._record.outcome(trial) for trial in self._plan]

    def _do(self, tasks: Sequence[ProcessTask], perform: Perform, callbacks: Callbacks) -> None:
        examples = dict.fromkeys((task.key for task in tasks), 0)
        n_ended = 0
        with contextlib.closing(perform(tasks)) as events:
            for task, kind, value in events:
                if kind == "examples":
                    examples[task.key] = value
                    callbacks.progress(Progress(sum(examples.values())))
                elif kind == "note":
                    callbacks.note(f"{task.name}: {value}")
                else:
                    n_ended += 1
                    examples[task.key] = self._sizes.get(task.key, 0)
                    with writing(self._directory):
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
        with writing(self._directory):
            write_table(self._directory / "results.parquet", table)
            write_text(self._directory / "table.md", markdown(self._study.name, table))
            self._record.write_baselines()
        if any(outcome.summary for outcome in outcomes):  # so that the table has all columns
            check_fronts(table, self._study.pareto)
        return table


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
