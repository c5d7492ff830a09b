"""Folders that one process at a time may write to."""

import fcntl
import os
import time
from pathlib import Path

from crossmesh.common.errors import ConfigError
from crossmesh.common.private_folders import make_private


class InUse(ConfigError):  # noqa: N818  because it names what is
    """Another process holds the folder."""


def locked(path: Path, option: str, user: str, wait_s: float = 0.0) -> int:
    """Make and lock a folder, which only its owner may enter unless it is there already.

    Args:
        path: The folder.
        option: Name of the option, for errors.
        user: What else could hold it: a run, a study.
        wait_s: Seconds to wait for it.

    Returns:
        The descriptor that holds the lock.

    Raises:
        InUse: If another process holds it.
        ConfigError: If it cannot be made.
    """
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
            raise InUse(f"{option} must not be in use by another {user}, got {path}")
        time.sleep(0.1)
    if not path.is_dir():  # removed by a user that ended between the two steps above
        os.close(lock)
        return locked(path, option, user, wait_s)
    return lock


def _taken(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass  # some network file systems cannot lock
    return True
