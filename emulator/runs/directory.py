"""The run directory: what a run leaves, written aside and renamed, so that no file is ever half."""

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from crossmesh.common.bounded_yaml import read_mapping
from crossmesh.common.errors import ConfigError, RunLost
from crossmesh.common.hints import command
from crossmesh.common.locked_folders import held
from crossmesh.common.storage import Storage
from crossmesh.common.summaries import summary_of
from crossmesh.common.supervision.reports import claimed
from crossmesh.common.whole_files import read_whole
from crossmesh.emulator.compiler.carried import carried, relocated
from crossmesh.emulator.compiler.job import Job
from crossmesh.emulator.config.engine import CheckpointConfig
from crossmesh.emulator.config.loading import dumped, load_config
from crossmesh.emulator.config.overriding import Overrides, assignments
from crossmesh.emulator.config.run import DATA_PATHS, RunConfig
from crossmesh.emulator.runs.checkpoints import Checkpoints, TileStates, found
from crossmesh.emulator.runs.environment import environment
from crossmesh.emulator.runs.history import History, MetricsRow, Recovery
from crossmesh.emulator.runs.manifest import digest
from crossmesh.emulator.runs.tables import metrics_table, recoveries_table

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
        with held(self.path, "directory", "run", new=new, numbered=numbered) as folder:
            self.path = folder.path
            for path in folder.made:
                claimed(path.absolute())
            yield

    def config(
        self, overrides: Overrides = (), checkpoint: str | None = None, **sections: Any
    ) -> RunConfig:
        """The run's config; one of before there was ``tile.bias`` has its biases on lines.

        Args:
            overrides: Fields of it, as ``load_config`` takes them.
            checkpoint: Name of the checkpoint that is to be read; by default the newest.
            sections: Fields of the top level, as ``load_config`` takes them.
        """
        path = self.path / "config.yaml"
        tile = read_mapping(path).get("tile")
        is_old = isinstance(tile, dict) and "bias" not in tile
        old = {"tile.bias": "line"} if is_old else {}
        config = load_config(path, {**old, **dict(assignments(overrides))}, **sections)
        if checkpoint is None:
            return config
        storage = self.storage(config)
        named = [name for name in storage.folders() if not name.startswith((".", "step-"))]
        if checkpoint not in named:
            there = ", ".join(named) or "none"
            raise ConfigError(
                f"checkpoint must be one that {self.path} has ({there}), got {checkpoint}"
            )
        where = config.checkpoint.model_copy(update={"storage": storage.folder(checkpoint).where})
        return config.model_copy(update={"checkpoint": where})

    def describe(self, config: RunConfig, prepared: Mapping[str, Any]) -> None:
        """Leave what a run is resumed, read and reported by.

        Args:
            config: Its config.
            prepared: How its examples were prepared.
        """
        self.write_config(config)
        self.write_json(PREPARED, prepared)
        self.write_json("environment", environment())

    def write_config(self, config: RunConfig) -> None:
        """Leave the resolved config and the network and weights that it names, copied.

        So a run is whole wherever its folder goes.
        """
        if (self.path / "config.yaml").is_file() and self.config().training == config.training:
            return  # resumed, perhaps elsewhere: where is no part of the run
        parts = carried(config, None)
        for part in parts:
            for name, file in part.files.items():
                self._keep(name, file)
        data, folder = config.data.absolute, self.path.absolute()
        if data.file is not None and data.file.is_relative_to(folder):  # it moves with the folder
            data = data.model_copy(update={"file": data.file.relative_to(folder)})
        here = {"data": data, "checkpoint": self._absolute(config)}
        text = dumped(relocated(config, parts, "").model_copy(update=here))
        self._replace("config.yaml", lambda path: path.write_text(text, "utf-8"))

    def _keep(self, name: str, file: Path) -> None:
        """Copy a file into the run's folder, unless it is there."""
        copy = self.path / name
        with self.writing():
            if copy.exists() and copy.samefile(file):
                return
            copy.parent.mkdir(parents=True, exist_ok=True)
            aside = copy.with_name(f".{copy.name}.part")
            shutil.copyfile(file, aside)
            aside.replace(copy)

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

    def write_arrays(self, name: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Leave arrays in an NPZ archive, for the owner alone."""

        def write(path: Path) -> None:
            with path.open("wb") as file:
                path.chmod(0o600)
                np.savez(file, **arrays)  # type: ignore[arg-type]  # no array is called allow_pickle

        self._replace(f"{name}.npz", write)

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

    def named_checkpoint(self, job: Job, name: str) -> Checkpoints:
        """The one checkpoint that is kept under a name, such as ``best``."""
        return Checkpoints(self.storage(job.config).folder(name), job, keep=1)

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
