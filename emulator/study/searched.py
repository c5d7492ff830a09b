"""A search of a study: its candidates trained batch after batch, and what is left of it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.config.loading import dumped
from crossmesh.emulator.study.config import Study
from crossmesh.emulator.study.files import write_text
from crossmesh.emulator.study.plan import Trial, candidate_trials
from crossmesh.emulator.study.ranking import Ranked, cells_of, head, ranked
from crossmesh.emulator.study.search import Candidate, Rule, Searching, Told, search
from crossmesh.emulator.study.table import TrialOutcome, failures, markdown_rows

BEST = "best.yaml"
Pairs = list[tuple[Trial, TrialOutcome]]
# Trains runs, in the order of what was trained before, by a rule by which they stop.
Do = Callable[[Sequence[Trial], Pairs, Rule | None], Sequence[TrialOutcome]]


class StudySearch:
    """The search of a study.

    Args:
        study: The study.
        directory: Its folder.
        note: Called with what a user should know.

    Raises:
        ConfigError: If the sampler is not installed, or the ends of the ranges give wrong configs.
    """

    def __init__(self, study: Study, directory: Path, note: Callable[[str], None]) -> None:
        assert study.search is not None
        self._study, self._directory, self._note = study, directory, note
        self._search = study.search
        self._searching = Searching(study.search, study.seeds[0])
        ends = {axis: domain.ends for axis, domain in self._search.fields.items()}
        for end in (0, 1):
            point = {axis: values[end] for axis, values in ends.items()}
            trials = candidate_trials(study, end, point, directory)
        self._check_figure(trials[0])
        self.base = trials[0]

    @property
    def by(self) -> str | None:
        """The figure that is searched by, once it is known."""
        return self._searching.by

    def _check_figure(self, trial: Trial) -> None:
        """Say by what the search chooses, or refuse a figure that there will not be."""
        by, has_validation = self._search.by, trial.config.data.validation is not None
        if by is not None and "validation" in by and not has_validation:
            raise ConfigError(
                f"search.by must be of the test where data.validation sets no examples aside, "
                f"got {by}; data.validation=0.1 does"
            )
        if has_validation and (by is None or "validation" in by):
            self._note("the search chooses by the examples that data.validation sets aside")
        else:
            self._note(
                "warning: the search chooses by the test set, so the best run's figure there is "
                "too good; data.validation=0.1 sets examples aside to choose by"
            )

    def run(self, do: Do) -> Pairs:
        """Train all candidates; the trials and what they came to."""
        pairs: Pairs = []

        def train(candidates: Sequence[Candidate], rule: Rule | None) -> list[list[Told]]:
            plans = [self._trials(number, point) for number, point in candidates]
            batch = [trial for plan in plans for trial in plan]
            outcomes = do(batch, pairs, rule) if batch else []
            pairs.extend(zip(batch, outcomes, strict=True))
            told = iter([Told.of(outcome.summary, outcome.run) for outcome in outcomes])
            return [[next(told) for _ in plan] or [_NOTHING] for plan in plans]

        search(self._searching, train)
        if not pairs:
            raise ConfigError("search.fields must have values that make a config, got none that do")
        return pairs

    def _trials(self, number: int, point: Mapping[str, Any]) -> list[Trial]:
        """Runs of a candidate; none if it is no config, which its ends alone do not show."""
        try:
            return candidate_trials(self._study, number, point, self._directory)
        except ConfigError as error:
            self._note(f"left out: {error}")
            return []

    def leave(self, table: pa.Table, pairs: Pairs, kind: str) -> tuple[pa.Table, str]:
        """Leave the best config and a picture; the results sorted, and a table for people."""
        candidates = ranked(table, self.by)
        order = [i for one in candidates for i in one.rows]
        best = candidates[0] if candidates and candidates[0].is_whole else None
        if best:
            write_text(self._directory / BEST, dumped(pairs[best.rows[0]][0].config))
        # Imported here, because Matplotlib is slow to load.
        from crossmesh.emulator.study.search_plot import draw_search

        points = [(one, pairs[one.rows[0]][0].varied) for one in candidates]
        draw_search(points, self._search, self.by, self._directory / f"search.{kind}")
        return table.take(order), self._markdown(candidates, table)

    def _markdown(self, candidates: Sequence[Ranked], table: pa.Table) -> str:
        by = (self.by or "no figure").replace("_", " ")
        lines = [
            f"# {self._study.name}",
            "",
            f"Searched by {by}, mean over the seeds; best first. `stopped`: after an epoch it was "
            "worse than the median of the runs of earlier batches.",
            "",
            *markdown_rows([head(self.by), *cells_of(candidates, table, self.by)]),
        ]
        if failed := failures(table):
            lines += ["", "Failed:", "", *(f"* {line}" for line in failed)]
        return "\n".join([*lines, ""])


_NOTHING = Told({}, {}, stopped=False)
