"""Files that are read whole: regular ones, of a bounded size, without waiting for anybody."""

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
    # Opened without waiting for whoever writes to a pipe.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError("it is no regular file")
        body = file.read(most + 1)
    if body is None:
        raise OSError("there is nothing to read in it yet")
    return body if len(body) <= most else None
