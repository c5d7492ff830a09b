"""Checkpoints of a run: written aside, made visible at once, and trusted only when whole."""

import contextlib
import math
import re
from collections.abc import Callable, Mapping
from typing import Protocol

from crossmesh.common.errors import ConfigError, RunError, RunLost
from crossmesh.common.storage import NotRead, NotShared, NotWritten, Storage
from crossmesh.common.version import PHYSICS, changes_since
from crossmesh.emulator.compiler.job import Job
from crossmesh.emulator.config.run import Imported
from crossmesh.emulator.runs.history import History
from crossmesh.emulator.runs.manifest import MANIFEST, Manifest, lineage, read_manifest
from crossmesh.tiles.runtime.tile_file import Damaged, Misfit, file_name

_NAME = re.compile(r"step-\d{12,}")


class TileStates(Protocol):
    """Holder of the tiles, whose hosts write and read them."""

    def save(self, folder: str) -> dict[str, str]:
        """Have the state of every tile written to a folder; sha256 of each file by its name."""
        ...

    def load(self, folder: str, files: Mapping[str, str]) -> None:
        """Have the state of every tile read; ``Damaged`` if a file is not what was written."""
        ...


class Checkpoints:
    """The checkpoints of one run.

    Args:
        storage: Storage of the checkpoints.
        job: The job that they belong to.
        keep: How many are kept; by default as the config says.
    """

    def __init__(self, storage: Storage, job: Job, keep: int | None = None) -> None:
        self._storage = storage
        self._job = job
        self._keep = keep or job.config.checkpoint.keep

    def save(self, history: History, tiles: TileStates) -> None:
        """Have the tiles written, add a manifest, and make both visible.

        Raises:
            NotWritten: If there is no room, or no permission; those before are still there.
            RunError: If the folder is not the same one for all tile hosts.
        """
        try:
            self._save(f"step-{history.examples:012d}", history, tiles)
        except NotWritten:
            raise
        except NotShared as error:
            raise RunError(str(error)) from None
        except OSError as error:  # of looking into the folder
            raise NotWritten(f"{self._storage} cannot be written: {error}") from None

    def _save(self, name: str, history: History, tiles: TileStates) -> None:
        # What stands at this step or beyond was not whole when the run went on from before it.
        for old in (
            *_unpublished(self._storage),
            *(n for n in published(self._storage) if n >= name),
        ):
            self._storage.folder(old).remove()
        aside = self._storage.begin(name)
        try:
            files = tiles.save(aside.where)
            self._check_shared(aside)
            manifest = Manifest(
                schema=2,
                config=lineage(self._job.config),
                data=self._job.data_digest,
                history=history,
                files=dict(sorted(files.items())),
                physics=PHYSICS,
                backend=self._job.config.engine.backend,
            )
            aside.write(MANIFEST, manifest.packed())
            self._storage.publish(aside, name)
        except BaseException:
            with contextlib.suppress(NotWritten):
                aside.remove()
            raise
        with contextlib.suppress(NotWritten):  # tried again with the next
            for old in published(self._storage)[: -self._keep]:
                self._storage.folder(old).remove()

    def restore(
        self, tiles: TileStates, warn: Callable[[str], None], *, to_train: bool = True
    ) -> History | None:
        """Load the newest whole checkpoint, or None if there has never been one.

        Args:
            tiles: Holder of the tiles to load it into.
            warn: Called for each that is damaged, and for one of another physics.
            to_train: Whether training continues from it, which takes the same physics.

        Raises:
            ConfigError: If there are checkpoints and none can be used.
            RunLost: If they cannot be read just now.
        """
        names, unread = found(self._storage), ""
        for name in _strays(self._storage):
            warn(f"ignoring {name}: not a checkpoint folder")
        for name in reversed(names):
            try:
                return self._restored(name, tiles, warn, to_train=to_train)
            except Damaged as error:
                warn(f"checkpoint {name} is damaged and ignored: {error}")
            except NotRead as error:
                warn(f"checkpoint {name} cannot be read and is ignored: {error}")
                unread = str(error)
        if unread:  # which may be otherwise the next time
            raise RunLost(unread)
        if names:
            raise ConfigError(
                f"RUN must have an intact checkpoint, got {len(names)} damaged in "
                f"{self._storage}; without that folder the run starts from the beginning"
            )
        return None

    def _restored(
        self, name: str, tiles: TileStates, warn: Callable[[str], None], *, to_train: bool
    ) -> History:
        """Load a checkpoint, if it is whole."""
        folder = self._storage.folder(name)
        manifest = read_manifest(folder)
        if manifest.physics != PHYSICS:
            _allow_foreign(name, manifest.physics, warn, to_train=to_train)
        self._check(folder, manifest)
        try:
            tiles.load(folder.where, manifest.files)
        except Misfit as error:
            raise ConfigError(
                f"RUN must hold the arrays that this version gives its tiles, got {name} of "
                f"physics {manifest.physics}: {error}; train again from its config.yaml"
            ) from None
        return manifest.history

    def _check(self, folder: Storage, manifest: Manifest) -> None:
        """Refuse a checkpoint that does not belong to the job.

        Under another physics the config has other fields, so its digest says nothing.
        """
        backend = self._job.config.engine.backend
        if manifest.backend != backend:
            raise ConfigError(
                f"engine.backend must be {manifest.backend}, whose tiles wrote {folder.name}, "
                f"got {backend}"
            )
        is_other = manifest.config != lineage(self._job.config)
        if is_other and manifest.physics == PHYSICS:
            raise ConfigError(
                f"config.yaml must be the one {folder.name} was trained with, got another (only "
                "name, engine, checkpoint, paths of data, epochs, logging and tests may change)"
            )
        if self._job.dataset.has_targets:
            self._check_data(folder, manifest)
        epochs = self._job.config.training.epochs
        if manifest.history.epoch > epochs:
            raise ConfigError(
                f"training.epochs must be at least {manifest.history.epoch}, which {folder.name} "
                f"has already completed, got {epochs}"
            )
        if manifest.files.keys() != self._names():
            raise Damaged("its manifest does not name the file of every tile")

    def _check_data(self, folder: Storage, manifest: Manifest) -> None:
        """Refuse a checkpoint of a network that was trained on other examples."""
        if manifest.data != self._job.data_digest:
            imported = isinstance(self._job.config.network, Imported) or self._job.given
            what = ", network and weights" if imported else ""
            raise ConfigError(
                f"data{what} must be those that {folder.name} was trained with, "
                f"got others from {self._job.dataset.name}"
            )
        _check_history(manifest.history, self._job.n_train)

    def _check_shared(self, aside: Storage) -> None:
        missing = self._names() - set(aside.names())
        if missing:
            raise NotShared(
                "checkpoint.storage must be a folder that all nodes share, got "
                f"{self._storage} without {min(missing)} after its tile host had written it"
            )

    def _names(self) -> set[str]:
        return {file_name(tile) for tile in range(len(self._job.program.blocks))}


def found(storage: Storage) -> list[str]:
    """Names of the checkpoints, oldest first, whole or not.

    Raises:
        ConfigError: If the folder cannot be read.
    """
    try:
        return published(storage)
    except OSError as error:
        reason = str(error.strerror or error).partition("; ")[0]
        raise ConfigError(
            f"checkpoint.storage must be a folder that can be read, got {storage} ({reason})"
        ) from None


def published(storage: Storage) -> list[str]:
    """Names of the checkpoints that were made visible, oldest first; OSError if unreadable."""
    names = [name for name in storage.folders() if _NAME.fullmatch(name)]
    if storage.renames:
        return names
    return [name for name in names if MANIFEST in storage.folder(name).names()]


def _unpublished(storage: Storage) -> list[str]:
    """Names of folders in which a checkpoint was begun and never made visible."""
    names = storage.names()
    if storage.renames:
        return [name for name in names if name.startswith(".step-")]
    return sorted({*filter(_NAME.fullmatch, storage.folders())} - {*published(storage)})


def _strays(storage: Storage) -> list[str]:
    """Names of what is called like a checkpoint and is none: files, links to nothing, pipes."""
    folders = storage.folders()
    return [
        name
        for name in storage.names()
        if name.startswith("step-") and (name not in folders or not _NAME.fullmatch(name))
    ]


def _check_history(history: History, n_train: int) -> None:
    """Refuse a history that no run has."""
    first = history.epoch * n_train
    counts = [history.epoch, history.wall_s, history.examples - first]
    counts += [n for row in history.rows for n in (row.epoch, row.examples)]
    is_possible = min(counts) >= 0 and history.examples <= first + n_train
    if not is_possible or not math.isfinite(history.wall_s):
        raise Damaged(
            f"its manifest cannot be read (epoch {history.epoch} and {history.examples} examples "
            f"of {n_train} each)"
        )


def _allow_foreign(name: str, physics: int, warn: Callable[[str], None], *, to_train: bool) -> None:
    """Refuse to train on under another physics; to read the weights, say what differs."""
    if physics > PHYSICS:
        changed = "which this version of crossmesh does not know"
    else:
        changed = f"since which: {changes_since(physics)}"
    if to_train:
        raise ConfigError(
            f"RUN must have been started under physics {PHYSICS} to be resumed, got {name} of "
            f"physics {physics}, {changed}; train again from its config.yaml"
        )
    warn(
        f"{name} was trained under physics {physics}, {changed}; its weights are read as they "
        f"are, and tested under physics {PHYSICS}"
    )
