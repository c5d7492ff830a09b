"""What is done of a study and what is left, as its folder has it."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from crossmesh.emulator.study.config import Study
from crossmesh.emulator.study.files import read_json, write_text
from crossmesh.emulator.study.plan import Trial
from crossmesh.emulator.study.pool import ProcessTask
from crossmesh.emulator.study.table import TrialOutcome


class StudyRecord:
    """Outcomes of the trials of a study, and the tasks that are left.

    Of trials that differ in their chips alone, which changes no value, one is trained; the chips
    of the others are timed with its pulses.

    Args:
        study: The study.
        directory: Its folder.
        plan: Its trials.
    """

    def __init__(self, study: Study, directory: Path, plan: Sequence[Trial]) -> None:
        self._has_baselines = study.baseline
        self._directory = directory
        self._plan = plan
        trained = [trial for trial in plan if not trial.is_chip_only]
        self._summaries = {trial.folder: trial.summary for trial in trained}
        self._trained: dict[str, Trial] = {}
        for trial in sorted(trained, key=lambda trial: self._summaries[trial.folder] is None):
            self._trained.setdefault(trial.digest, trial)
        self._is_own = {
            trial.folder: self._summaries[trial.folder] is None or trial.has_own_chip
            for trial in self._trained.values()
        }
        self._chips: dict[Path, dict[str, Any]] = {}
        self._baselines = read_json(directory / "baselines.json")
        self._failures: dict[str, str] = {}

    def trainings(self) -> Iterator[ProcessTask]:
        """Networks left to train, each baseline before the first run that it is for."""
        logs = self._directory / "runs"
        known = set(self._baselines)
        for trial in self._trained.values():
            digest = trial.baseline_digest
            if self._has_baselines and digest not in known:
                known.add(digest)
                yield ProcessTask(
                    kind="baseline",
                    key=digest,
                    name=f"float32 network of {trial.name}",
                    config=trial.config,
                    folder=None,
                    log=logs / f"float32-{digest[:12]}.log",
                )
            if self._summaries[trial.folder] is None:
                yield ProcessTask(
                    key=str(trial.folder),
                    name=trial.name,
                    config=trial.config,
                    folder=trial.folder,
                    log=logs / f"{trial.folder.name}.log",
                )

    def chips(self) -> Iterator[ProcessTask]:
        """Chips left to time, once the networks that can be are trained."""
        for trial in self._plan:
            run, summary = self._run_of(trial)
            if (run and summary is None) or self._has_own_chip(trial):
                continue
            if known := trial.known_chip((summary or {}).get("state_digest")):
                self._chips[trial.chip_file] = known
                continue
            yield ProcessTask(
                kind="chip",
                key=str(trial.chip_file),
                name=f"chip of {trial.name}",
                config=trial.config,
                folder=run,
                log=trial.chip_file.with_suffix(".log"),
            )

    def _has_own_chip(self, trial: Trial) -> bool:
        """Whether the chip's figures are those of the trial's own run."""
        return self._is_own.get(trial.folder, False)

    def _run_of(self, trial: Trial) -> tuple[Path | None, dict[str, Any] | None]:
        """The run with the trial's values, and its summary once it has ended."""
        if trial.is_chip_only:
            return None, None
        run = self._trained[trial.digest].folder
        return run, self._summaries[run]

    def ended(self, task: ProcessTask, kind: str, value: Any) -> str:
        """Note what a task came to; in words."""
        if kind == "error":
            self._failures[task.key] = value
            return f"failed: {value}"
        if task.kind == "chip":
            self._note_chip(Path(task.key), value)
            return (
                f"{value['examples_per_s']:,.0f} examples/s, "
                f"{1e9 * value['energy_j_per_example']:,.4g} nJ per example"
            )
        if task.folder is None:
            self._baselines[task.key] = value
        else:
            self._summaries[task.folder] = value
        accuracy = value if task.folder is None else value["test_accuracy"]
        return "ended" if accuracy is None else f"{100 * accuracy:.2f} %"

    def _note_chip(self, path: Path, figures: dict[str, Any]) -> None:
        (trial,) = (trial for trial in self._plan if trial.chip_file == path)
        _, summary = self._run_of(trial)
        self._chips[path] = figures
        trial.write_chip(figures, (summary or {}).get("state_digest"))

    def write_baselines(self) -> None:
        """Leave the accuracies in float32."""
        write_text(self._directory / "baselines.json", json.dumps(self._baselines, indent=2))

    def outcome(self, trial: Trial) -> TrialOutcome:
        """What a trial came to, as far as it has."""
        run, summary = self._run_of(trial)
        digest = trial.baseline_digest
        failure = self._failures.get(str(run)) or self._failures.get(str(trial.chip_file))
        if failure is None and run and digest in self._failures:
            failure = f"float32 network: {self._failures[digest]}"
        return TrialOutcome(
            summary=self._summary(trial, summary),
            baseline=self._baselines.get(digest) if self._has_baselines and run else None,
            failure=failure,
            run=run,
        )

    def _summary(self, trial: Trial, summary: dict[str, Any] | None) -> dict[str, Any] | None:
        """The run's summary, with the figures of the trial's own chip."""
        if self._has_own_chip(trial):
            return summary
        chip = self._chips.get(trial.chip_file)
        if summary is None and chip is None:
            return None
        return {**(summary or {}), "config_digest": trial.digest, "chip": chip}
