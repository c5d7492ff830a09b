"""Searching: batches of candidates from a sampler, trained and told in a fixed order.

What is asked next depends on the batches before alone, and on nothing of how they were run; so a
search that is interrupted is resumed by asking again for what its folder has.
"""

import importlib.util
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow.parquet as pq
from pydantic import Field

from crossmesh.common.errors import ConfigError
from crossmesh.common.frozen import Frozen, Keyed
from crossmesh.emulator.study.domains import Domain

if TYPE_CHECKING:
    from optuna.trial import Trial as Asked

By = Literal["validation_accuracy", "validation_loss", "test_accuracy", "test_loss"]
FIGURES = ("validation_accuracy", "validation_loss", "test_accuracy", "test_loss")
_AT_RANDOM = 8  # candidates before the sampler learns from results
_LEAST_RUNS = 4  # of which a median is taken


class Search(Frozen):
    """A search for the values of fields that give the best figure.

    Attributes:
        fields: Fields, and the range or list of values of each; several fields with ``=`` between
            them have the same value.
        trials: Number of candidates.
        batch: Candidates that are chosen together, from the results of the batches before.
        by: Figure that is to be best; by default the accuracy on the examples that
            ``data.validation`` sets aside, otherwise that of the test; of a regression the loss.
        stop_early: Whether a run stops that after an epoch is worse than the median of the runs of
            the batches before at that epoch.
    """

    fields: Keyed[str, Domain] = Field(min_length=1)
    trials: int = Field(32, ge=1, le=10_000)
    batch: int = Field(4, ge=1, le=1000)
    by: By | None = None
    stop_early: bool = True


@dataclass(frozen=True)
class Told:
    """What is known of a run of a candidate.

    Attributes:
        figures: Figures at its end by name; empty if it failed.
        curves: The same after every epoch.
        stopped: Whether it was stopped early.
    """

    figures: Mapping[str, float | None]
    curves: Mapping[str, Sequence[float]]
    stopped: bool

    @classmethod
    def of(cls, summary: Mapping[str, Any] | None, folder: Path | None) -> "Told":
        """What a finished run has left."""
        if summary is None or folder is None:
            return cls({}, {}, stopped=False)
        table = pq.read_table(folder / "metrics.parquet")
        known = [name for name in FIGURES if name in table.column_names]
        curves = {name: table[name].drop_null().to_pylist() for name in known}
        figures = {name: summary.get(name) for name in FIGURES}
        return cls(figures, curves, stopped=summary.get("stopped") is not None)


Candidate = tuple[int, Mapping[str, Any]]  # its number, and the values of the fields
Rule = dict[str, Any]  # by which runs are stopped: a figure, and its median after each epoch
Train = Callable[[Sequence[Candidate], Rule | None], Sequence[Sequence[Told]]]


@dataclass
class Searching:
    """A search under way.

    Args:
        search: What is searched.
        seed: Seed of the sampler.

    Attributes:
        by: Figure that is to be best, once it is known.
    """

    search: Search
    seed: int
    by: str | None = None
    _curves: list[Sequence[float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if importlib.util.find_spec("optuna") is None:
            raise ConfigError(
                "optuna must be installed for a search, got none: pip install 'crossmesh[search]'"
            )
        import optuna  # an extra, and slow to load

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.by = self.search.by
        sampler = optuna.samplers.TPESampler(n_startup_trials=_AT_RANDOM, seed=self.seed % 2**32)
        # Whether more is better is not known yet: what is told has losses with their sign changed.
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        self._states = optuna.trial.TrialState
        self._space = {
            axis: _distribution(domain, optuna.distributions)
            for axis, domain in self.search.fields.items()
        }

    def ask(self, number: int) -> list[tuple["Asked", dict[str, Any]]]:
        """Candidates of the next batch: the sampler's own, and the values of the fields."""
        asked = [self._study.ask(self._space) for _ in range(number)]
        return [(trial, self._point(trial.params)) for trial in asked]

    def _point(self, sampled: Mapping[str, Any]) -> dict[str, Any]:
        point = {}
        for axis, domain in self.search.fields.items():
            value = sampled[axis]
            if domain.values:
                value = domain.values[value]
            elif not domain.is_whole:
                value = domain.rounded(value)
            point[axis] = value
        return point

    def tell(self, asked: "Asked", runs: Sequence[Told]) -> None:
        """Give the sampler the mean over the seeds; nothing if a run failed."""
        self.by = by = self.by or _best_known(runs)
        values = [run.figures.get(by) for run in runs] if by else []
        known = [value for value in values if value is not None and math.isfinite(value)]
        if by is None or len(known) < len(runs):
            self._study.tell(asked, state=self._states.FAIL)
            return
        value = statistics.fmean(known) * sign(by)
        if any(run.stopped for run in runs):
            asked.report(value, min(len(run.curves[by]) for run in runs))
            self._study.tell(asked, state=self._states.PRUNED)
        else:
            self._study.tell(asked, value)

    def remember(self, runs: Sequence[Told]) -> None:
        """Let runs of a finished batch count for the medians."""
        if (by := self.by) is None:
            return
        worst = -math.inf * sign(by)
        self._curves += [
            [worst if math.isnan(value) else value for value in run.curves[by]]
            for run in runs
            if by in run.curves
        ]

    def stop_rule(self) -> Rule | None:
        """Figure, and its median after each epoch, of the runs so far; None: no run is stopped."""
        if not self.search.stop_early or len(self._curves) < _LEAST_RUNS:
            return None
        epochs = [[v for v in values if v is not None] for values in zip_longest(*self._curves)]
        medians = [statistics.median(known) if len(known) >= _LEAST_RUNS else None
                   for known in epochs]  # fmt: skip
        return {"by": self.by, "medians": medians}


def sign(by: str | None) -> int:
    """1 if more of a figure is better, -1 if less is.

    >>> sign("test_loss")
    -1
    """
    return -1 if by is not None and "loss" in by else 1


def _best_known(runs: Sequence[Told]) -> str | None:
    """The first figure that a run has."""
    return next(
        (name for run in runs for name in FIGURES if run.figures.get(name) is not None), None
    )


def _distribution(domain: Domain, kinds: Any) -> Any:
    if domain.values:  # any values, by their number
        return kinds.CategoricalDistribution(tuple(range(len(domain.values))))
    kind = kinds.IntDistribution if domain.is_whole else kinds.FloatDistribution
    return kind(domain.low, domain.high, log=domain.log)


def search(searching: Searching, train: Train) -> None:
    """Search to the end; a candidate that was tried before is not trained again.

    Args:
        searching: The search.
        train: Trains candidates, whose runs stop by a rule; for each, what its runs came to.
    """
    total, batch = searching.search.trials, searching.search.batch
    known: dict[str, Sequence[Told]] = {}
    for first in range(0, total, batch):
        asked = searching.ask(min(batch, total - first))
        new: dict[str, Candidate] = {}
        for number, (_, point) in enumerate(asked, first + 1):
            if repr(point) not in known:
                new.setdefault(repr(point), (number, point))
        outcomes = train(list(new.values()), searching.stop_rule())
        known.update(zip(new, outcomes, strict=True))
        for trial, point in asked:
            searching.tell(trial, known[repr(point)])
        for runs in outcomes:
            searching.remember(runs)
