"""Checkpoints of a run: written aside, made visible at once, and trusted only when whole."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgpack
from pydantic import TypeAdapter, ValidationError

from emulator.config import RunConfig
from emulator.data.config import PLACES
from emulator.errors import ConfigError, RunError
from emulator.job import Job
from tiles.checkpoint import file_name

KEPT = 2
_MANIFEST = "manifest.msgpack"
# Neither changes a bit of the chip's state, so a run may go on with other values.
_FREE: dict[str, Any] = {
    "name": True,
    "engine": True,
    "data": set(PLACES),
    "training": {"epochs", "baseline", "log_every", "test_examples", "evaluation_batch"},
}


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
        pulses: Pulses that were sent to the lines of each tile; empty before the first epoch.
    """

    epoch: int = 0
    examples: int = 0
    wall_s: float = 0.0
    recoveries: int = 0
    rows: list[MetricsRow] = field(default_factory=list)
    pulses: list[int] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a checkpoint says of itself.

    Attributes:
        schema: Version of this format.
        config: Digest of what decides the state, see ``lineage``.
        data: Digest of the examples.
        history: The run so far.
        files: sha256 of each tile's file, by name.
    """

    schema: Literal[1]
    config: str
    data: str
    history: History
    files: dict[str, str]


_MANIFESTS = TypeAdapter(Manifest)


def lineage(config: RunConfig) -> str:
    """sha256 of what decides the chip's state after a number of examples."""
    tree = config.model_dump(mode="json", exclude=_FREE)
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()


class Checkpoints:
    """The checkpoints of one run.

    Args:
        folder: Where they are.
        job: The job that they belong to.
    """

    def __init__(self, folder: Path, job: Job) -> None:
        self._folder = folder
        self._job = job

    def save(self, history: History, write: Callable[[Path], None]) -> None:
        """Have ``write`` leave the tiles' files in a folder, add a manifest, make both visible."""
        aside = self._folder / ".part"
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        write(aside)
        missing = self._names() - {path.name for path in aside.iterdir()}
        if missing:
            raise RunError(
                f"--run-dir must be in a folder that all nodes share, got {aside.parent} without "
                f"{min(missing)} after its tile host had written it"
            )
        manifest = Manifest(
            schema=1,
            config=lineage(self._job.config),
            data=self._job.data_digest,
            history=history,
            files={name: _sha256(aside / name) for name in sorted(self._names())},
        )
        _write_manifest(aside / _MANIFEST, manifest)
        _sync(aside)
        final = self._folder / f"step-{history.examples:012d}"
        # What stands at this step or beyond was not whole when the run went on from before it.
        for stale in (path for path in found(self._folder) if path.name >= final.name):
            shutil.rmtree(stale)
        aside.replace(final)
        _sync(self._folder)
        for old in found(self._folder)[:-KEPT]:
            shutil.rmtree(old)

    def latest(self, warn: Callable[[str], None]) -> tuple[Path, History] | None:
        """The newest whole checkpoint, or None if there has never been one.

        Args:
            warn: Told of each that is damaged.

        Raises:
            ConfigError: If there are checkpoints and none can be used.
        """
        folders = found(self._folder)
        for folder in reversed(folders):
            try:
                manifest = self._verified(folder)
            except ValueError as error:
                warn(f"checkpoint {folder.name} is damaged and not used: {error}")
                continue
            self._check_origin(folder, manifest)
            return folder, manifest.history
        if folders:
            raise ConfigError(
                f"RUN must have a checkpoint that is whole, got {len(folders)} damaged in "
                f"{self._folder}; without that folder the run begins again"
            )
        return None

    def _verified(self, folder: Path) -> Manifest:
        manifest = _read_manifest(folder / _MANIFEST)
        if manifest.files.keys() != self._names() and manifest.config == lineage(self._job.config):
            raise ValueError("its manifest does not name the file of every tile")
        for name, digest in manifest.files.items():
            path = folder / name
            if not path.is_file() or _sha256(path) != digest:
                raise ValueError(f"{name} does not have the checksum that was written")
        return manifest

    def _check_origin(self, folder: Path, manifest: Manifest) -> None:
        if manifest.config != lineage(self._job.config):
            raise ConfigError(
                f"config.yaml must be what {folder.name} was trained with, but for name, engine, "
                "places of data, epochs, logging and tests; got other values"
            )
        if manifest.data != self._job.data_digest:
            raise ConfigError(
                f"data must be the examples that {folder.name} was trained with, "
                f"got others from {self._job.dataset.name}"
            )

    def _names(self) -> set[str]:
        return {file_name(tile) for tile in range(len(self._job.program.blocks))}


def found(folder: Path) -> list[Path]:
    """Folders of the checkpoints, oldest first, whole or not."""
    return sorted(folder.glob("step-*"))


def _write_manifest(path: Path, manifest: Manifest) -> None:
    body = msgpack.packb({**asdict(manifest), "history": _plain(manifest.history)})
    with path.open("wb") as file:
        file.write(msgpack.packb({"sha256": hashlib.sha256(body).hexdigest(), "body": body}))
        file.flush()
        os.fsync(file.fileno())


def _plain(history: History) -> dict[str, Any]:
    return {**asdict(history), "rows": [tuple(row) for row in history.rows]}


def _read_manifest(path: Path) -> Manifest:
    """The manifest in a file; ValueError if it is not one, as it was written."""
    try:
        outer = msgpack.unpackb(path.read_bytes())
        body = outer["body"]
        if hashlib.sha256(body).hexdigest() != outer["sha256"]:
            raise ValueError("its checksum differs")
        return _MANIFESTS.validate_python(msgpack.unpackb(body))
    except ValidationError as error:
        raise ValueError(f"its manifest cannot be read ({error.errors()[0]['msg']})") from None
    except (OSError, ValueError, KeyError, TypeError, msgpack.UnpackException) as error:
        raise ValueError(f"its manifest cannot be read ({error})") from None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(folder: Path) -> None:
    """Have the names in a folder reach the disk."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
