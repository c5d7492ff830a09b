"""Running a study: what is left to do, side by side, and what it came to."""

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from crossmesh.common.errors import ConfigError, RunLost
from crossmesh.common.locked_folders import held
from crossmesh.emulator.config.loading import dumped
from crossmesh.emulator.data import DataConfig, load
from crossmesh.emulator.runs.callbacks import Callbacks, NoCallbacks
from crossmesh.emulator.study.config import Study
from crossmesh.emulator.study.plan import Trial, trials
from crossmesh.emulator.study.pool import ProcessTask, perform
from crossmesh.emulator.study.table import TrialOutcome, markdown, results
from crossmesh.tiles.runtime.measure import Progress

PlotFormat = Literal["png", "svg"]
_LOCK_S = 15.0  # that the last processes of a study that was killed may take to end


def run_study(
    study: Study,
    directory: Path | str | None = None,
    *,
    jobs: int | None = None,
    callbacks: Callbacks | None = None,
    plot_format: PlotFormat = "png",
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
    plan = trials(study, directory)
    with _held(directory) as lock:
        work = _Work(study, directory, plan)
        with _writing(directory):
            _replace(directory / "study.yaml", dumped(study))
        work.do(jobs or _jobs(plan), lock, callbacks or NoCallbacks())
        table = work.write()
        # Imported here, because Matplotlib is slow to load.
        from crossmesh.emulator.study.plot import draw

        with _writing(directory):
            draw(plan, table, directory, plot_format)
    return table


class _Work:
    """What is done of a study and what is left.

    Args:
        study: The study.
        directory: Its folder.
        plan: Its trials.
    """

    def __init__(self, study: Study, directory: Path, plan: Sequence[Trial]) -> None:
        self._name = study.name
        self._has_baselines = study.baseline
        self._directory = directory
        self._plan = plan
        self._summaries = {str(trial.folder): trial.summary for trial in plan}
        self._baselines = _read_json(directory / "baselines.json")
        self._failures: dict[str, str] = {}
        self._tasks = list(self._left())
        self._sizes = dict(
            zip((task.key for task in self._tasks), _sizes(self._tasks), strict=True)
        )

    def do(self, jobs: int, lock: int, callbacks: Callbacks) -> None:
        """Do what is left, with ``jobs`` processes at once that hold ``lock``."""
        tasks, totals = self._tasks, self._sizes
        examples = dict.fromkeys(totals, 0)
        callbacks.phase("study", sum(totals.values()))
        n_ended = 0
        with contextlib.closing(perform(tasks, jobs, lock)) as events:
            for task, kind, value in events:
                if kind == "examples":
                    examples[task.key] = value
                elif kind == "note":
                    callbacks.note(f"{task.name}: {value}")
                else:
                    n_ended += 1
                    examples[task.key] = totals[task.key]
                    came_to = self._ended(task, kind, value)
                    callbacks.note(f"{task.name}: {came_to} ({n_ended} of {len(tasks)})")
                callbacks.progress(Progress(sum(examples.values())))

    def _left(self) -> Iterator[ProcessTask]:
        """What is left, each baseline before the first run that it is for."""
        logs = self._directory / "runs"
        known = set(self._baselines)
        for trial in self._plan:
            digest = trial.baseline_digest
            if self._has_baselines and digest not in known:
                known.add(digest)
                yield ProcessTask(
                    key=digest,
                    name=f"float32 network of {trial.name}",
                    config=trial.config,
                    folder=None,
                    log=logs / f"float32-{digest[:12]}.log",
                )
            if self._summaries[str(trial.folder)] is None:
                yield ProcessTask(
                    key=str(trial.folder),
                    name=trial.name,
                    config=trial.config,
                    folder=trial.folder,
                    log=logs / f"{trial.folder.name}.log",
                )

    def _ended(self, task: ProcessTask, kind: str, value: Any) -> str:
        """Note what a task came to; in words."""
        if kind == "error":
            self._failures[task.key] = value
        elif task.folder is None:
            self._baselines[task.key] = value
        else:
            self._summaries[task.key] = value
        self.write()
        if kind == "error":
            return f"failed: {value}"
        accuracy = value if task.folder is None else value["test_accuracy"]
        return "ended" if accuracy is None else f"{100 * accuracy:.2f} %"

    def write(self) -> pa.Table:
        """Leave the table as far as it is known."""
        table = results(self._plan, [self._outcome(trial) for trial in self._plan])
        with _writing(self._directory):
            aside = self._directory / ".results.parquet.part"
            pq.write_table(table, aside)
            aside.replace(self._directory / "results.parquet")
            _replace(self._directory / "table.md", markdown(self._name, table))
            _replace(self._directory / "baselines.json", json.dumps(self._baselines, indent=2))
        return table

    def _outcome(self, trial: Trial) -> TrialOutcome:
        run, digest = str(trial.folder), trial.baseline_digest
        failure = self._failures.get(run)
        if failure is None and digest in self._failures:
            failure = f"float32 network: {self._failures[digest]}"
        return TrialOutcome(
            summary=self._summaries[run],
            baseline=self._baselines.get(digest) if self._has_baselines else None,
            failure=failure,
        )


def _sizes(tasks: Sequence[ProcessTask]) -> Iterator[int]:
    """Examples that each task trains; data that cannot be had is found out here, at once."""
    sizes: dict[DataConfig, int] = {}
    for config in (task.config for task in tasks):
        if config.data not in sizes:
            sizes[config.data] = len(load(config.data).train)
        n = sizes[config.data]
        yield config.training.epochs * min(config.training.examples or n, n)


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


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError):
        return {}


def _replace(path: Path, text: str) -> None:
    aside = path.with_name(f".{path.name}.part")
    aside.write_text(text, "utf-8")
    aside.replace(path)
