"""Callbacks that watch a figure of every epoch: early stopping, and the best checkpoint."""

from dataclasses import dataclass

from crossmesh.common.errors import ConfigError
from crossmesh.common.refusals import nearest
from crossmesh.emulator.callbacks.callback import Callback, TrainingRun
from crossmesh.emulator.compiler.job import Job
from crossmesh.emulator.config.run import RunConfig
from crossmesh.emulator.runs.history import MetricsRow, compared_by

BEST = "best"  # name of the checkpoint


def check_monitor(monitor: str | None) -> None:
    """Refuse a figure that no epoch has."""
    known = [name for name in MetricsRow._fields if "loss" in name or "accuracy" in name]
    if monitor is not None and monitor not in known:
        hint = nearest(monitor, known)
        raise ConfigError(f"monitor must be of {', '.join(known)}, got {monitor}{hint}")


def gains_of(run: TrainingRun, monitor: str | None) -> list[float]:
    """The watched figure after each epoch, with losses negated: the larger, the better."""
    if monitor is None:
        monitor = compared_by(run.epochs[-1])
    values = [getattr(row, monitor) for row in run.epochs]
    if None in values:
        raise ConfigError(f"monitor must be a figure that the run has, got {monitor}")
    sign = -1 if "loss" in monitor else 1
    return [sign * value for value in values]


@dataclass(frozen=True)
class EarlyStopping(Callback):
    """Stops a run that has ceased to improve.

    Attributes:
        patience: Epochs without improvement after which the run stops.
        monitor: What must improve, such as ``validation_accuracy``, ``test_loss`` or ``loss``; by
            default the accuracy on the examples that ``data.validation`` sets aside, otherwise
            that of the test; of a regression the loss.
        min_delta: Smallest change that counts as an improvement.
    """

    patience: int = 3
    monitor: str | None = None
    min_delta: float = 0.0

    def __post_init__(self) -> None:
        if self.patience < 1:
            raise ConfigError(f"patience must be at least 1, got {self.patience}")
        if self.min_delta < 0:
            raise ConfigError(f"min_delta must be at least 0, got {self.min_delta}")
        check_monitor(self.monitor)

    def on_epoch(self, run: TrainingRun, row: MetricsRow) -> None:
        """Stop if the last epochs are no better than the best before them."""
        since, best = 0, None
        for gain in gains_of(run, self.monitor):
            if best is None or gain > best + self.min_delta:
                since, best = 0, gain
            else:
                since += 1
        if since >= self.patience:
            epochs = "epoch" if since == 1 else f"{since} epochs"
            run.stop(f"early stopping: no improvement in the last {epochs}")


@dataclass(frozen=True)
class BestCheckpoint(Callback):
    """Keeps the checkpoint of the best epoch, beside those that the run resumes from.

    ``Result.predict(..., checkpoint="best")`` reads it, and so do ``crossmesh evaluate``,
    ``predict`` and ``export`` with ``--checkpoint best``.

    Attributes:
        monitor: What is best, as of ``EarlyStopping``.
    """

    monitor: str | None = None

    def __post_init__(self) -> None:
        check_monitor(self.monitor)

    def on_start(self, run: TrainingRun) -> None:
        """Refuse a run without a directory."""
        if run.path is None:
            raise ConfigError("directory must be given for BestCheckpoint, got none")

    def on_epoch(self, run: TrainingRun, row: MetricsRow) -> None:
        """Save a checkpoint if the epoch is better than all before."""
        *before, last = gains_of(run, self.monitor)
        if not before or last > max(before):
            run.save(BEST)


def stopping(config: RunConfig) -> list[Callback]:
    """Early stopping as the config says, if it does."""
    rule = config.training.stop_early
    return [] if rule is None else [EarlyStopping(rule.patience, rule.monitor, rule.min_delta)]


def check_stopping(job: Job) -> None:
    """Refuse early stopping by a figure that the run will not have, before anything is trained.

    Raises:
        ConfigError: If the monitor is such a figure.
    """
    rule = job.config.training.stop_early
    monitor = (rule and rule.monitor) or ""
    if monitor.startswith("validation") and not job.dataset.validation:
        raise ConfigError(
            "training.stop_early.monitor must be a figure that the run has, got "
            f"{monitor}; data.validation=0.1 sets examples aside"
        )
    if monitor.endswith("accuracy") and not job.has_accuracy:
        raise ConfigError(
            "training.stop_early.monitor must be a loss where outputs are not right or wrong, got "
            f"{monitor}"
        )
