"""The folder that a measurement leaves its files in."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from crossmesh.common.errors import ConfigError
from crossmesh.common.locked_folders import InUse, locked
from crossmesh.emulator.runs.directory import RunDirectory

_MOST = 1_000_000  # folders of one name


@contextlib.contextmanager
def claimed(output: Path | None, name: str) -> Iterator[RunDirectory]:
    """A new folder, which no other process writes to; removed if it is left empty.

    Args:
        output: The folder, new or empty; by default the first of ``runs/NAME-scale``,
            ``runs/NAME-scale-2`` and so on that is.
        name: NAME.

    Raises:
        ConfigError: If it cannot be had.
    """
    made = [path for path in (output or Path("runs") / name).absolute().parents
            if not path.exists()]  # fmt: skip
    path, lock = _given(output) if output else _numbered(Path("runs") / f"{name}-scale")
    try:
        yield RunDirectory(path)
    finally:
        for folder in (path, *made):
            with contextlib.suppress(OSError):  # which it is, if something is in it
                folder.rmdir()
        os.close(lock)


def _given(path: Path) -> tuple[Path, int]:
    lock = _locked(path)
    if any(path.iterdir()):
        os.close(lock)
        raise ConfigError(f"--output must be new or empty, got {path}")
    return path, lock


def _numbered(first: Path) -> tuple[Path, int]:
    for number in range(1, _MOST):
        path = first if number == 1 else first.with_name(f"{first.name}-{number}")
        with contextlib.suppress(InUse):
            lock = _locked(path)
            if not any(path.iterdir()):
                return path, lock
            os.close(lock)
    raise ConfigError(f"--output must be given: {first.parent} has too many measurements")


def _locked(path: Path) -> int:
    return locked(path, "--output", "measurement")
