"""Folders that one process at a time may write to."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from crossmesh.common.errors import ConfigError
from crossmesh.common.private_folders import make_private

_MOST = 1_000_000  # folders of one name


class FolderInUse(ConfigError):  # noqa: N818  because it names what is
    """Another process holds the folder."""


class HeldFolder(NamedTuple):
    """A folder that this process alone writes to.

    Attributes:
        path: The folder.
        lock: The descriptor that holds its lock.
        made: The folder, and those above it that were made for it.
    """

    path: Path
    lock: int
    made: tuple[Path, ...]


@contextlib.contextmanager
def held(
    path: Path,
    option: str,
    user: str,
    *,
    new: bool = False,
    numbered: bool = False,
    wait_s: float = 0.0,
) -> Iterator[HeldFolder]:
    """Hold a folder; it and those made for it are removed if they are left empty.

    It is made if need be, and only its owner may enter it unless it was there before.

    Args:
        path: The folder.
        option: Name of the option, for errors.
        user: What else could hold it: a run, a study.
        new: Whether it must not hold anything yet.
        numbered: Whether a new one is ``path-2`` and so on where ``path`` is taken.
        wait_s: How long to wait for another process that holds it.

    Raises:
        FolderInUse: If another process holds it.
        ConfigError: If it cannot be made, or is not new.
    """
    above = tuple(folder for folder in path.absolute().parents if not folder.exists())
    if new:
        path, lock = _claimed(path, option, user, numbered=numbered)
    else:
        lock = _locked(path, option, user, wait_s)
    made = (path, *above)
    try:
        yield HeldFolder(path, lock, made)
    finally:
        for folder in made:
            with contextlib.suppress(OSError):  # which it is, if something is in it
                folder.rmdir()
        os.close(lock)


def _claimed(first: Path, option: str, user: str, *, numbered: bool) -> tuple[Path, int]:
    """Lock a folder that is new or empty."""
    for number in range(1, _MOST if numbered else 2):
        path = first if number == 1 else first.with_name(f"{first.name}-{number}")
        try:
            lock = _locked(path, option, user)
        except FolderInUse:
            if not numbered:
                raise
            continue
        if not any(path.iterdir()):
            return path, lock
        os.close(lock)
    if numbered:
        where = f"{first.parent} has too many {user}s of this name"
        raise ConfigError(f"{option} must be given: {where}")
    raise ConfigError(f"{option} must be new or empty, got {first}")


def _locked(path: Path, option: str, user: str, wait_s: float = 0.0) -> int:
    """Make and lock a folder; the descriptor that holds the lock."""
    try:
        make_private(path)
        lock = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise ConfigError(
            f"{option} must be a folder that can be written, got {path} ({error.strerror})"
        ) from None
    deadline = time.monotonic() + wait_s
    while not _taken(lock):
        if time.monotonic() >= deadline:
            os.close(lock)
            raise FolderInUse(f"{option} must not be in use by another {user}, got {path}")
        time.sleep(0.1)
    if not path.is_dir():  # removed by a user that ended between the two steps above
        os.close(lock)
        return _locked(path, option, user, wait_s)
    return lock


def _taken(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass  # some network file systems cannot lock
    return True
