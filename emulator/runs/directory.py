"""The run directory: what a run leaves, written aside and renamed, so that no file is ever half."""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from crossmesh.common.bounded_yaml import read_mapping
from crossmesh.common.errors import ConfigError, RunLost
from crossmesh.common.hints import command
from crossmesh.common.locked_folders import held
from crossmesh.common.storage import Storage
from crossmesh.common.summaries import summary_of
from crossmesh.common.supervision.reports import claimed
from crossmesh.common.whole_files import read_whole
from crossmesh.emulator.compiler.job import Job
from crossmesh.emulator.config.engine import CheckpointConfig
from crossmesh.emulator.config.layers import Layer
from crossmesh.emulator.config.loading import dumped, load_config
from crossmesh.emulator.config.run import DATA_PATHS, Imported, RunConfig
from crossmesh.emulator.runs.checkpoints import Checkpoints, TileStates, found
from crossmesh.emulator.runs.history import History, MetricsRow, Recovery
from crossmesh.emulator.runs.manifest import digest
from crossmesh.tiles.analog.wear import Wear
from crossmesh.tiles.runtime.measure import TileReport

PREPARED = "inputs"  # how examples were prepared, for inputs that come later
_MOST_BYTES = 1 << 20  # of a JSON file that is read


def config_digest(config: RunConfig) -> str:
    """sha256 of what decides the result: no name, no time, not where it runs or finds its data."""
    places = {"name": True, "engine": True, "checkpoint": True, "data": set(DATA_PATHS)}
    return digest(config, {**places, "chip": True})


class NotSaved(RunLost):
    """A file of the run directory could not be written."""


class RunDirectory:
    """The folder of one run.

    Args:
        path: Path of the directory.
        numbered: Whether a new run takes ``path-2`` and so on where ``path`` is taken.
    """

    def __init__(self, path: Path | str, *, numbered: bool = False) -> None:
        self.path = Path(path)
        self._numbered = numbered

    def __repr__(self) -> str:
        return summary_of("RunDirectory", [(None, str(self.path))])

    @classmethod
    def existing(cls, path: Path) -> "RunDirectory":
        """The folder of a run that was started before."""
        try:
            is_run = (path / "config.yaml").is_file()
        except OSError:  # such as a name too long
            is_run = False
        if not is_run:
            raise ConfigError(f"RUN must be a run directory with a config.yaml, got {path}")
        return cls(path)

    @contextlib.contextmanager
    def held(self, *, new: bool) -> Iterator[None]:
        """Keep other runs out of the folder; it is made if need be, and removed if left empty.

        Args:
            new: Whether the folder must not hold anything yet.

        Raises:
            ConfigError: If the folder cannot be had.
        """
        numbered = self._numbered
        with held(self.path, "--run-dir", "run", new=new, numbered=numbered) as folder:
            self.path = folder.path
            for path in folder.made:
                claimed(path.absolute())
            yield

    def config(self, overrides: Sequence[str] = ()) -> RunConfig:
        """The run's config; one of before there was ``tile.bias`` has its biases on lines."""
        path = self.path / "config.yaml"
        tile = read_mapping(path).get("tile")
        is_old = isinstance(tile, dict) and "bias" not in tile
        return load_config(path, [*(["tile.bias=line"] if is_old else []), *overrides])

    def write_config(self, config: RunConfig) -> None:
        """Leave the resolved config, which loads again in any folder."""
        here = {
            "data": config.data.absolute,
            "network": _found(config.network),
            "weights": config.weights and config.weights.absolute(),
            "checkpoint": self._absolute(config),
        }
        text = dumped(config.model_copy(update=here))
        if (self.path / "config.yaml").is_file() and self.config().training == config.training:
            return  # resumed, perhaps elsewhere: where is no part of the run
        self._replace("config.yaml", lambda path: path.write_text(text, "utf-8"))

    @staticmethod
    def _absolute(config: RunConfig) -> CheckpointConfig:
        """Where checkpoints lie, seen from any folder."""
        checkpoint = config.checkpoint
        if checkpoint.storage is None:
            return checkpoint
        return checkpoint.model_copy(update={"storage": Storage(checkpoint.storage).where})

    def write_metrics(self, rows: Sequence[MetricsRow]) -> None:
        """Leave the metrics."""
        table = metrics_table(rows)
        self._replace("metrics.parquet", lambda path: pq.write_table(table, path))

    def recoveries(self) -> list[Recovery]:
        """What the run has survived, as far as ``write_recoveries`` has recorded."""
        try:
            rows = pq.read_table(self.path / "recoveries.parquet").to_pylist()
            return [Recovery(**row) for row in rows]
        except (OSError, pa.ArrowInvalid, TypeError):
            return []

    def write_recoveries(self, recoveries: Sequence[Recovery]) -> None:
        """Leave what the run has survived."""
        self.write_table("recoveries", recoveries_table(recoveries))

    def write_table(self, name: str, table: pa.Table) -> None:
        """Leave a table."""
        self._replace(f"{name}.parquet", lambda path: pq.write_table(table, path))

    def write_json(self, name: str, value: Mapping[str, Any]) -> None:
        """Leave a JSON file in one line."""
        text = json.dumps(value, separators=(",", ":")) + "\n"
        self._replace(f"{name}.json", lambda path: path.write_text(text, "utf-8"))

    def read_json(self, name: str) -> dict[str, Any] | None:
        """What a JSON file holds; None if it is not there or something else."""
        try:
            text = read_whole(self.path / f"{name}.json", _MOST_BYTES)
            tree = json.loads(text or b"")
        except (OSError, ValueError, RecursionError):
            return None
        return tree if isinstance(tree, dict) else None

    def write_live(self, value: Mapping[str, Any]) -> None:
        """Say how a running run goes, for ``crossmesh watch``; a full disk is no reason to stop."""
        with contextlib.suppress(NotSaved):
            self.write_json("live", value)

    def remove_live(self) -> None:
        """The run no longer runs."""
        for name in ("live.json", ".live.json.part"):
            with contextlib.suppress(OSError):
                (self.path / name).unlink(missing_ok=True)

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Leave the summary."""
        text = json.dumps(summary, indent=2) + "\n"
        self._replace("summary.json", lambda path: path.write_text(text, "utf-8"))

    def _replace(self, name: str, write: Callable[[Path], object]) -> None:
        aside = self.path / f".{name}.part"
        with self.writing():
            write(aside)
            aside.replace(self.path / name)

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Report failures to write in one line."""
        try:
            yield
        except OSError as error:
            reason = error.strerror or error
            raise NotSaved(f"{self.path} cannot be written: {reason}") from None

    def storage(self, config: RunConfig) -> Storage:
        """Where the run's checkpoints lie.

        Raises:
            ConfigError: If there is no such file system.
        """
        where = config.checkpoint.storage
        try:
            return Storage(where or str(self.path / "checkpoints"))
        except (ValueError, OSError) as error:
            reason = str(error).partition(". ")[0]
            raise ConfigError(
                f"checkpoint.storage must be a folder or an address such as s3://bucket/folder, "
                f"got {where} ({reason})"
            ) from None

    def checkpoints(self, job: Job) -> Checkpoints:
        """The run's checkpoints."""
        return Checkpoints(self.storage(job.config), job)

    def restore(self, job: Job, tiles: TileStates, warn: Callable[[str], None]) -> History:
        """Load the newest whole checkpoint to be read, and give its history.

        Raises:
            ConfigError: If there is none.
        """
        history = self.checkpoints(job).restore(tiles, warn, to_train=False)
        if history is None:
            raise ConfigError(f"RUN must have a checkpoint, got {self.path}")
        return history

    @property
    def has_begun(self) -> bool:
        """Whether there is a run to resume, perhaps from its first example."""
        return (self.path / "config.yaml").is_file()

    @property
    def resume_command(self) -> str:
        """The command that resumes the run."""
        return command("resume", self.path)

    def can_be_resumed(self, config: RunConfig) -> bool:
        """Whether there is a checkpoint, whole or not."""
        return bool(found(self.storage(config)))


def _found(network: tuple[Layer, ...] | Imported) -> tuple[Layer, ...] | Imported:
    """The network, its file seen from any folder."""
    if isinstance(network, Imported):
        return network.model_copy(update={"onnx": network.onnx.absolute()})
    return network


def metrics_table(rows: Sequence[MetricsRow]) -> pa.Table:
    """The metrics as an Arrow table."""
    real = pa.float64()
    types = [pa.int64(), pa.int64(), real, real, real, real, real, real]
    return _table(rows, MetricsRow._fields, types)


def recoveries_table(recoveries: Sequence[Recovery]) -> pa.Table:
    """What a run has survived as an Arrow table."""
    real, whole = pa.float64(), pa.int64()
    return _table(recoveries, Recovery._fields, [real, real, whole, whole, pa.string()])


def tiles_table(reports: Sequence[TileReport], columns: Mapping[str, pa.Array]) -> pa.Table:
    """The tiles as an Arrow table, with more columns behind."""
    whole, real = pa.int64(), pa.float64()
    types = [whole, pa.string(), *[whole] * 5, *[real] * 5, whole, whole, real]
    names = [name for name in TileReport._fields if name != "wear"]
    table = _table(reports, names, types)
    for name, column in columns.items():
        table = table.append_column(name, column)
    return table


def arrays_table(reports: Sequence[TileReport]) -> pa.Table:
    """The arrays of tiles as an Arrow table: how often each has been pulsed and written."""
    rows = [
        (report.tile, report.layer, name, *wear)
        for report in reports
        for name, wear in report.wear.items()
    ]
    whole, text = pa.int64(), pa.string()
    names = ("tile", "layer", "array", *Wear._fields)
    return _table(rows, names, [whole, text, text, whole, whole])


def _table(rows: Sequence[tuple[Any, ...]], names: Sequence[str], types: list[Any]) -> pa.Table:
    columns = [[row[i] for row in rows] for i in range(len(names))]
    return pa.table(
        [pa.array(column, kind) for column, kind in zip(columns, types, strict=True)],
        names=list(names),
    )
