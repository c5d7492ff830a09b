"""The runs of a folder, newest first."""

import datetime
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.reporting.record import RunRecord

_DEPTH = 3  # folders below the one that is given


def runs_in(folder: Path) -> list[RunRecord]:
    """Every run in a folder and some levels below it, newest first.

    Raises:
        ConfigError: If the folder cannot be read, or holds no run.
    """
    if not folder.is_dir():
        raise ConfigError(f"DIR must be a folder with runs, got {folder}")
    found = sorted(_found(folder, _DEPTH), key=lambda record: -record.changed)
    if not found:
        raise ConfigError(f"DIR must be a folder with runs, got none in {folder}")
    return found


def as_json(record: RunRecord) -> dict[str, Any]:
    """The figures of a run as numbers."""
    return {
        "path": str(record.path),
        "name": record.config.get("name"),
        "seed": record.config.get("seed"),
        "state": record.state,
        "test_accuracy": record.figure("test_accuracy"),
        "baseline_test_accuracy": record.figure("baseline_test_accuracy"),
        "test_loss": record.figure("test_loss"),
        "epochs": record.epochs,
        "wall_s": record.trained_s,
        "changed": record.date.isoformat(timespec="seconds"),
    }


def readable(records: Sequence[RunRecord]) -> tuple[list[RunRecord], list[ConfigError]]:
    """The runs whose files can be read, and why those of others cannot.

    Raises:
        ConfigError: If there are runs, of which none can be read.
    """
    found, damaged = [], []
    for record in records:
        try:
            as_json(record)
            found.append(record)
        except ConfigError as error:
            damaged.append(error)
    if damaged and not found:
        raise damaged[0]
    return found, damaged


HEAD = ("run", "accuracy", "twin", "loss", "epochs", "state", "time", "date")


def cells(record: RunRecord, folder: Path) -> tuple[str, ...]:
    """A run under ``HEAD``."""
    figures = as_json(record)
    return (
        str(record.path.relative_to(folder)) if record.path != folder else str(folder),
        _percent(figures["test_accuracy"]),
        _percent(figures["baseline_test_accuracy"]),
        "-" if figures["test_loss"] is None else f"{figures['test_loss']:.4g}",
        f"{record.epochs}/{record.wanted_epochs}",
        record.state,
        _duration(figures["wall_s"]),
        f"{record.date:%Y-%m-%d %H:%M}",
    )


def _found(folder: Path, depth: int) -> Iterator[RunRecord]:
    if (folder / "config.yaml").is_file():
        yield RunRecord(folder)
    elif depth:
        try:
            below = sorted(path for path in folder.iterdir() if path.is_dir())
        except OSError:
            return
        for path in below:
            if not path.name.startswith(".") and not path.is_symlink():
                yield from _found(path, depth - 1)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f} %"


def _duration(seconds: float | None) -> str:
    """Seconds below a minute, else hours, minutes and seconds."""
    if seconds is None:
        return "-"
    return f"{seconds:.1f} s" if seconds < 60 else str(datetime.timedelta(seconds=round(seconds)))
