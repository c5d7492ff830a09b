"""What the files of a run say: its state, figures, tables and config, without its network."""

import datetime
import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from crossmesh.common.bounded_yaml import read_mapping
from crossmesh.common.errors import ConfigError
from crossmesh.common.whole_files import read_whole
from crossmesh.emulator.runs.directory import RunDirectory
from crossmesh.emulator.runs.tables import baseline_table, metrics_table

_MOST_BYTES = 64 << 20  # of a timeline
_ALWAYS = ("epoch", "examples", "loss", "test_loss", "wall_s")  # columns of metrics, as ever
_ALIVE_S = 60.0  # since live.json was written, after which its run has ended without a word


@dataclass(frozen=True)
class RunRecord:
    """A run directory as it is now.

    Attributes:
        path: The directory.
    """

    path: Path

    @classmethod
    def existing(cls, path: Path) -> "RunRecord":
        """The record of a run.

        Raises:
            ConfigError: If the folder is no run.
        """
        return cls(RunDirectory.existing(path).path)

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """The config as it was written, not validated: that of an older version is shown too."""
        return read_mapping(self.path / "config.yaml")

    @cached_property
    def summary(self) -> Mapping[str, Any]:
        """``summary.json``; nothing where the run has not ended."""
        return RunDirectory(self.path).read_json("summary") or {}

    @cached_property
    def trace(self) -> Mapping[str, Any]:
        """``trace.json``; nothing where the chip could not be timed."""
        try:
            tree = json.loads(read_whole(self.path / "trace.json", _MOST_BYTES) or b"")
        except (OSError, ValueError, RecursionError):
            return {}
        return tree if isinstance(tree, dict) else {}

    @cached_property
    def metrics(self) -> pa.Table:
        """``metrics.parquet``; without rows where nothing was written yet.

        Columns that an older version did not write are empty.

        Raises:
            ConfigError: If it is no table of metrics.
        """
        return self._figures("metrics", metrics_table([]).schema)

    @cached_property
    def baseline(self) -> pa.Table:
        """``baseline.parquet``; without rows where there is no twin, or only its end is known."""
        return self._figures("baseline", baseline_table([]).schema)

    def _figures(self, name: str, schema: pa.Schema) -> pa.Table:
        """A table of figures of epochs with the columns of ``schema``."""
        table = self.table(name)
        if table is None:
            return schema.empty_table()
        path = self.path / f"{name}.parquet"
        if lacking := [name for name in _ALWAYS
                      if name in schema.names and name not in table.column_names]:  # fmt: skip
            raise ConfigError(f"{path} must have a column {lacking[0]}, got {table.column_names}")
        columns = [table[field.name] if field.name in table.column_names
                   else pa.nulls(len(table), field.type) for field in schema]  # fmt: skip
        try:
            return pa.table(columns, names=schema.names).cast(schema)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            reason = str(error).partition("\n")[0]
            raise ConfigError(f"{path} must hold numbers: {reason}") from None

    @property
    def name(self) -> str:
        """The folder's name, which differs between runs of one config."""
        return self.path.resolve().name

    @property
    def title(self) -> str:
        """The config's name and the seed."""
        return f"{self.config.get('name', self.name)}, seed {self.config.get('seed', '?')}"

    @cached_property
    def state(self) -> str:
        """``done``, ``running`` or ``interrupted``."""
        live = RunDirectory(self.path).read_json("live")
        if live and time.time() - (number(live, "updated") or 0.0) < _ALIVE_S:
            return "running"
        return "done" if self.summary else "interrupted"

    @property
    def changed(self) -> float:
        """When its newest file was written, in seconds since 1970."""
        names = ("summary.json", "metrics.parquet", "live.json", "config.yaml")
        paths = (self.path / name for name in names)
        return max(path.stat().st_mtime for path in paths if path.is_file())

    @property
    def date(self) -> datetime.datetime:
        """The same as a date in the time zone of this machine."""
        return datetime.datetime.fromtimestamp(self.changed).astimezone()

    def figure(self, name: str) -> float | None:
        """A number of the summary; of a run that has not ended, of its last test."""
        if not self.summary and name in {"test_accuracy", "test_loss"}:
            return self._last(name)
        return number(self.summary, name)

    @property
    def epochs(self) -> int:
        """Epochs finished."""
        tested = self.metrics.filter(self.metrics["test_loss"].is_valid())
        return max(tested["epoch"].to_pylist(), default=0)

    @property
    def wanted_epochs(self) -> int:
        """Epochs of the config."""
        return int(number(section(self.config, "training"), "epochs") or 1)

    @property
    def trained_s(self) -> float | None:
        """Seconds of training so far; None: not known yet."""
        seconds = self.metrics["wall_s"].to_pylist()
        return seconds[-1] if seconds else None

    def table(self, name: str) -> pa.Table | None:
        """A table of the run; None if it is not there."""
        path = self.path / f"{name}.parquet"
        if not path.is_file():
            return None
        try:
            return pq.read_table(path)
        except (OSError, pa.ArrowInvalid) as error:
            reason = str(error).partition("\n")[0]
            raise ConfigError(f"{path} must be a table that can be read: {reason}") from None

    def _last(self, name: str) -> float | None:
        known: list[float] = [
            value for value in self.metrics[name].to_pylist() if value is not None
        ]
        return known[-1] if known else None


def number(tree: Mapping[str, Any], name: str) -> float | None:
    """A finite number of a section; None where there is none."""
    value = tree.get(name)
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def section(tree: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A section of a section; nothing where there is none."""
    part = tree.get(name)
    return part if isinstance(part, Mapping) else {}
