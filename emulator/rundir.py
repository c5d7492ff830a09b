"""The run directory: what a run leaves, written aside and renamed, so that no file is ever half."""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import msgpack
import pyarrow as pa
import pyarrow.parquet as pq

from emulator.config import RunConfig
from emulator.errors import ConfigError
from emulator.loading import dumped, load_config
from tiles.measure import TileReport

KEPT_CHECKPOINTS = 2
_SCHEMA = 1


class MetricsRow(NamedTuple):
    """A row of ``metrics.parquet``.

    Attributes:
        epoch: Epochs begun.
        examples: Examples trained so far.
        loss: Mean training loss since the row before.
        train_accuracy: Share of training examples right since the row before.
        test_loss: Mean loss of the test set, where it was tested.
        test_accuracy: Accuracy on the test set, where it was tested.
        wall_s: Seconds of training so far, without tests.
        examples_per_s: Examples per second since the row before.
    """

    epoch: int
    examples: int
    loss: float
    train_accuracy: float | None
    test_loss: float | None
    test_accuracy: float | None
    wall_s: float
    examples_per_s: float


@dataclass
class History:
    """What a run knows of its past, saved with every checkpoint.

    Attributes:
        epoch: Epochs finished.
        examples: Examples trained.
        wall_s: Seconds of training.
        recoveries: Failures survived.
        rows: Rows of the metrics.
    """

    epoch: int = 0
    examples: int = 0
    wall_s: float = 0.0
    recoveries: int = 0
    rows: list[MetricsRow] = field(default_factory=list)


def config_digest(config: RunConfig) -> str:
    """sha256 of what decides the result: neither the name nor where it runs or finds its data."""
    tree = config.model_dump(
        mode="json", exclude={"name": True, "engine": True, "data": {"directory"}}
    )
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()


class RunDirectory:
    """The folder of one run.

    Args:
        path: Where; made when first written to.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def new(cls, parent: Path, name: str) -> "RunDirectory":
        """A folder that does not exist yet: ``name``, or ``name-2`` and so on."""
        for number in range(1, 1_000_000):
            path = parent / (name if number == 1 else f"{name}-{number}")
            if not path.exists():
                return cls(path)
        raise ConfigError(f"run-dir must have room for another run, got {parent}")

    @classmethod
    def existing(cls, path: Path) -> "RunDirectory":
        """The folder of a run that was started before."""
        if not (path / "config.yaml").is_file():
            raise ConfigError(f"RUN must be a run directory with a config.yaml, got {path}")
        return cls(path)

    def config(self, overrides: Sequence[str] = ()) -> RunConfig:
        """The run's config."""
        return load_config(self.path / "config.yaml", overrides)

    def write_config(self, config: RunConfig) -> None:
        """Leave the resolved config."""
        self.path.mkdir(parents=True, exist_ok=True)
        self._replace("config.yaml", lambda path: path.write_text(dumped(config), "utf-8"))

    def write_metrics(self, rows: Sequence[MetricsRow]) -> None:
        """Leave the metrics."""
        table = metrics_table(rows)
        self._replace("metrics.parquet", lambda path: pq.write_table(table, path))

    def write_tiles(self, reports: Sequence[TileReport]) -> None:
        """Leave the tiles table."""
        table = tiles_table(reports)
        self._replace("tiles.parquet", lambda path: pq.write_table(table, path))

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Leave the summary."""
        text = json.dumps(summary, indent=2) + "\n"
        self._replace("summary.json", lambda path: path.write_text(text, "utf-8"))

    def _replace(self, name: str, write: Callable[[Path], object]) -> None:
        aside = self.path / f".{name}.part"
        write(aside)
        aside.replace(self.path / name)

    # Checkpoints

    def save_checkpoint(
        self, config: RunConfig, history: History, save: Callable[[Path], None]
    ) -> Path:
        """Save the tiles by ``save``, then a manifest; visible at once, or not at all."""
        folder = self.path / "checkpoints"
        aside = folder / ".part"
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        save(aside)
        files = {path.name: _sha256(path) for path in sorted(aside.iterdir())}
        state = {**asdict(history), "rows": [tuple(row) for row in history.rows]}
        manifest = {
            "schema": _SCHEMA,
            "config_digest": config_digest(config),
            "history": state,
            "files": files,
        }
        (aside / "manifest.msgpack").write_bytes(msgpack.packb(manifest))
        final = folder / f"step-{history.examples:012d}"
        shutil.rmtree(final, ignore_errors=True)
        aside.replace(final)
        for old in self.checkpoints()[:-KEPT_CHECKPOINTS]:
            shutil.rmtree(old)
        return final

    def checkpoints(self) -> list[Path]:
        """Folders of the checkpoints, oldest first."""
        return sorted((self.path / "checkpoints").glob("step-*"))

    def latest(self, config: RunConfig, warn: Callable[[str], None]) -> tuple[Path, History] | None:
        """The newest checkpoint that is whole; ``warn`` is told of each that is not."""
        for folder in reversed(self.checkpoints()):
            try:
                return folder, _verified(folder, config)
            except ValueError as error:
                warn(f"checkpoint {folder.name} is damaged and not used: {error}")
        return None


def _verified(folder: Path, config: RunConfig) -> History:
    try:
        manifest = msgpack.unpackb((folder / "manifest.msgpack").read_bytes())
        files, history = manifest["files"], manifest["history"]
    except (OSError, ValueError, KeyError, TypeError, msgpack.UnpackException) as error:
        raise ValueError(f"its manifest cannot be read ({error})") from None
    if manifest.get("config_digest") != config_digest(config):
        raise ValueError("it belongs to another config")
    for name, digest in files.items():
        path = folder / name
        if not path.is_file() or _sha256(path) != digest:
            raise ValueError(f"{name} does not have the checksum that was written")
    history["rows"] = [MetricsRow(*row) for row in history["rows"]]
    return History(**history)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def metrics_table(rows: Sequence[MetricsRow]) -> pa.Table:
    """The metrics as an Arrow table."""
    real = pa.float64()
    types = [pa.int64(), pa.int64(), real, real, real, real, real, real]
    return _table(rows, MetricsRow._fields, types)


def tiles_table(reports: Sequence[TileReport]) -> pa.Table:
    """The tiles as an Arrow table."""
    whole, real = pa.int64(), pa.float64()
    types = [whole, pa.string(), *[whole] * 5, *[real] * 5, whole]
    return _table(reports, TileReport._fields, types)


def _table(rows: Sequence[tuple[Any, ...]], names: Sequence[str], types: list[Any]) -> pa.Table:
    columns = [[row[i] for row in rows] for i in range(len(names))]
    return pa.table(
        [pa.array(column, kind) for column, kind in zip(columns, types, strict=True)],
        names=list(names),
    )
