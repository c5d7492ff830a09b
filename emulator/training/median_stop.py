"""Stopping a run of a search that is worse than the median of those before."""

from collections.abc import Sequence
from dataclasses import dataclass

from crossmesh.emulator.callbacks.callback import Callback, TrainingRun
from crossmesh.emulator.runs.history import MetricsRow


@dataclass(frozen=True, kw_only=True)
class MedianStop(Callback):
    """Stops a run whose figure after an epoch, not its last, is worse than a median.

    Attributes:
        by: The figure, as the metrics have it.
        medians: Median of other runs after each epoch, None where none counts.
    """

    by: str
    medians: Sequence[float | None]

    def on_start(self, run: TrainingRun) -> None:
        """Stop also a run that was interrupted when it had just been stopped."""
        self._check(run)

    def on_epoch(self, run: TrainingRun, row: MetricsRow) -> None:
        """Stop if the epoch is worse than the median."""
        self._check(run)

    def _check(self, run: TrainingRun) -> None:
        sign = -1 if "loss" in self.by else 1
        others = self.medians[: run.config.training.epochs - 1]
        for epoch, (row, median) in enumerate(zip(run.epochs, others, strict=False), 1):
            figure = getattr(row, self.by)
            if figure is None or median is None:
                continue
            if not sign * figure >= sign * median:  # nor if it is not a number
                run.stop(
                    f"{self.by} {figure:.4g} after epoch {epoch} is worse than the median "
                    f"{median:.4g} of the runs before"
                )
                return
