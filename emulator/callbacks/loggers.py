"""Loggers: callbacks that write the metrics for other programs."""

import csv
import importlib.util
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TextIO

from crossmesh.common.errors import ConfigError
from crossmesh.common.refusals import nearest
from crossmesh.emulator.callbacks.callback import Callback, TrainingRun
from crossmesh.emulator.config.run import RunConfig
from crossmesh.emulator.runs.history import MetricsRow

_UNUSUAL = re.compile(r"[^\w./-]+")  # letters in names, of which MLflow refuses some
_MOST_PARAMETERS = 100  # that MLflow takes at once


class Logger(Callback):
    """A callback that writes the metrics; if it fails, training goes on without it.

    Attributes:
        package: What must be installed for it, which is also the name of the extra.
    """

    vital: ClassVar[bool] = False
    package: ClassVar[str | None] = None

    def __post_init__(self) -> None:
        if self.package is not None and importlib.util.find_spec(self.package) is None:
            raise ConfigError(
                f"{self.package} must be installed for {type(self).__name__}, got none: "
                f"pip install 'crossmesh[{self.package}]'"
            )

    def place(self, run: TrainingRun, given: Path | str | None, default: str) -> Path:
        """A file or folder that was given, by default one of the run directory."""
        if given is not None:
            return Path(given)
        if run.path is None:
            raise ConfigError(f"a place must be given for {type(self).__name__}, got none")
        return run.path / default


@dataclass
class CsvLogger(Logger):
    """Writes all rows of the metrics to a CSV file, each as it comes.

    Attributes:
        file: The file; by default ``metrics.csv`` in the run directory.
    """

    file: Path | str | None = None
    _open: TextIO | None = field(default=None, init=False, repr=False)

    def on_start(self, run: TrainingRun) -> None:
        """Begin the file, with the rows of before a resume."""
        path = self.place(run, self.file, "metrics.csv")
        self._open = path.open("w", newline="", encoding="utf-8")
        self._write([MetricsRow._fields, *run.rows])

    def on_row(self, run: TrainingRun, row: MetricsRow) -> None:
        """Add a row."""
        self._write([row])

    def close(self) -> None:
        """Close the file."""
        if self._open is not None:
            self._open.close()

    def _write(self, rows: list[tuple[Any, ...]]) -> None:
        assert self._open is not None  # since on_start
        csv.writer(self._open).writerows(rows)
        self._open.flush()


@dataclass
class TensorBoardLogger(Logger):
    """Writes event files of TensorBoard, over examples.

    Attributes:
        folder: Where; by default ``tensorboard`` in the run directory.
    """

    package: ClassVar[str | None] = "tensorboard"
    folder: Path | str | None = None
    _writer: Any = field(default=None, init=False, repr=False)

    def on_start(self, run: TrainingRun) -> None:
        """Begin a file."""
        from tensorboard.summary import Writer

        self._writer = Writer(str(self.place(run, self.folder, "tensorboard")))

    def on_row(self, run: TrainingRun, row: MetricsRow) -> None:
        """Write its figures."""
        for name, value in figures_of(row).items():
            self._writer.add_scalar(name, value, step=row.examples)
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()


@dataclass
class MLflowLogger(Logger):
    """Logs to an MLflow server, or to a folder: the config, the metrics, and figures at the end.

    Attributes:
        experiment: Name of the experiment.
        tracking_uri: Where; by default as ``MLFLOW_TRACKING_URI`` says.
    """

    package: ClassVar[str | None] = "mlflow"
    experiment: str = "crossmesh"
    tracking_uri: str | None = None
    _client: Any = field(default=None, init=False, repr=False)
    _run_id: str = field(default="", init=False, repr=False)

    def on_start(self, run: TrainingRun) -> None:
        """Begin a run with the config as its parameters."""
        from mlflow import MlflowClient
        from mlflow.entities import Param

        self._client = MlflowClient(tracking_uri=self.tracking_uri)
        known = self._client.get_experiment_by_name(self.experiment)
        number = known.experiment_id if known else self._client.create_experiment(self.experiment)
        self._run_id = self._client.create_run(number, run_name=run.config.name).info.run_id
        parameters = [Param(name, str(value)) for name, value in parameters_of(run.config).items()]
        for first in range(0, len(parameters), _MOST_PARAMETERS):
            some = parameters[first : first + _MOST_PARAMETERS]
            self._client.log_batch(self._run_id, params=some)

    def on_row(self, run: TrainingRun, row: MetricsRow) -> None:
        """Log its figures, by examples."""
        for name, value in figures_of(row).items():
            self._client.log_metric(self._run_id, name, value, step=row.examples)

    def on_end(self, run: TrainingRun, summary: Mapping[str, Any]) -> None:
        """Log the figures of the result, and finish."""
        for name, value in numbers_of(summary):
            self._client.log_metric(self._run_id, f"result.{name}", value, step=run.examples)
        self._client.set_terminated(self._run_id)
        self._run_id = ""

    def close(self) -> None:
        """Mark a run that has not come to its end."""
        if self._run_id:
            self._client.set_terminated(self._run_id, status="FAILED")


@dataclass
class WandbLogger(Logger):
    """Logs to Weights & Biases: the config, the metrics, and figures at the end.

    Attributes:
        project: Name of the project.
        options: More for ``wandb.init``, such as ``{"mode": "offline", "tags": ["analog"]}``.
    """

    package: ClassVar[str | None] = "wandb"
    project: str = "crossmesh"
    options: Mapping[str, Any] = field(default_factory=dict)
    _run: Any = field(default=None, init=False, repr=False)

    def on_start(self, run: TrainingRun) -> None:
        """Begin a run with the config."""
        import wandb

        given = {"project": self.project, "name": run.config.name, "dir": run.path}
        self._run = wandb.init(**{**given, "config": parameters_of(run.config), **self.options})

    def on_row(self, run: TrainingRun, row: MetricsRow) -> None:
        """Log its figures, by examples."""
        self._run.log(figures_of(row), step=row.examples)

    def on_end(self, run: TrainingRun, summary: Mapping[str, Any]) -> None:
        """Log the figures of the result."""
        self._run.summary.update(dict(numbers_of(summary)))

    def close(self) -> None:
        """Finish the run."""
        if self._run is not None:
            self._run.finish()


LOGGERS: dict[str, type[Logger]] = {
    "csv": CsvLogger,
    "tensorboard": TensorBoardLogger,
    "mlflow": MLflowLogger,
    "wandb": WandbLogger,
}


def loggers_of(names: str | None) -> list[Logger]:
    """Loggers by their names, with commas between.

    Raises:
        ConfigError: If there is none of a name, or its package is not installed.
    """
    loggers = []
    for name in filter(None, (names or "").split(",")):
        if name not in LOGGERS:
            hint = nearest(name, LOGGERS)
            raise ConfigError(f"log must be of {', '.join(LOGGERS)}, got {name}{hint}")
        loggers.append(LOGGERS[name]())
    return loggers


def figures_of(row: MetricsRow) -> dict[str, float]:
    """The figures of a row that there are, by name."""
    figures = row._asdict()
    return {name: float(value) for name, value in figures.items() if value is not None}


def parameters_of(config: RunConfig) -> dict[str, Any]:
    """Fields of a config that differ from their defaults, by dotted names."""
    return dict(_flat(config.model_dump(mode="json", exclude_defaults=True)))


def numbers_of(summary: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """The numbers of a summary by dotted names."""
    for name, value in _flat(summary):
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield name, float(value)


def _flat(tree: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        entries = dict(enumerate(value)) if isinstance(value, list | tuple) else value
        if isinstance(entries, Mapping):
            yield from _flat(entries, f"{prefix}{key}.")
        else:
            yield _UNUSUAL.sub("_", f"{prefix}{key}"), value
