"""Files that are read whole: regular ones, of a bounded size, without waiting."""

import errno
import os
import stat
from pathlib import Path


def read_whole(path: Path, most: int) -> bytes | None:
    """All of a file.

    Args:
        path: The file.
        most: Bytes that are read at most.

    Returns:
        The content; None if it is longer.

    Raises:
        OSError: If it cannot be read, is a folder, a pipe or a device, or has nothing to read yet,
            as the log of the system.
    """
    if not stat.S_ISREG(path.stat().st_mode):  # to open a device may do something
        raise OSError(errno.EINVAL, "It is no regular file")
    with open(path, "rb", opener=_without_waiting) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "It is no regular file")
        body = file.read(most + 1)
    if body is None:
        raise OSError(errno.EAGAIN, "There is nothing to read in it yet")
    return body if len(body) <= most else None


def is_file(path: Path) -> bool:
    """Whether a regular file is there that can be read without waiting; no pipe or device."""
    try:
        read_whole(path, 0)
    except PermissionError:  # reported when it is read
        return os.path.isfile(path)  # noqa: PTH113  because Path's own may fail
    except (OSError, ValueError):  # a name too long; one with a null byte
        return False
    return True


def _without_waiting(path: str, flags: int) -> int:
    """Open a file at once, also a pipe without a writer."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)
