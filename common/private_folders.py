"""Folders that no other user may enter, with names short enough for sockets.

A folder is locked as long as its process lives. What a killed process has left is no longer locked,
and the next folder that is made removes it.
"""

import contextlib
import fcntl
import os
import shutil
import socket
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

PREFIX = "crossmesh-p-"
# Paths of sockets are limited to 107 bytes, of which Ray's take up to 68 below a folder of ours.
MOST_BYTES = 38
_REMOVE_S = 2.0  # longest wait for processes that still write into a folder to end
_PLACES = ("/tmp", "/var/tmp", "/dev/shm")  # where TMPDIR will not do


class NoPrivateFolder(OSError):  # noqa: N818  because it names what is
    """No place is fit for a private folder; the message says what to do."""


class PrivateFolder:
    """A new folder of mode 0700, until ``remove`` or the end of this process.

    Attributes:
        path: Its path, at most ``MOST_BYTES`` long.

    Raises:
        NoPrivateFolder: If there is no place for it.
    """

    def __init__(self) -> None:
        places = _places()
        for place in places:
            _sweep(place)
        self.path, self._lock = _made(places)

    def remove(self) -> None:
        """Remove the folder with everything in it; more calls do nothing."""
        if self._lock is not None:
            deadline = time.monotonic() + _REMOVE_S
            shutil.rmtree(self.path, ignore_errors=True)
            while self.path.exists() and time.monotonic() < deadline:
                time.sleep(0.05)
                shutil.rmtree(self.path, ignore_errors=True)
            os.close(self._lock)
            self._lock = None


def make_private(path: Path) -> None:
    """Make a folder that only its owner may enter, and those above it; one that is there stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=0o700, exist_ok=True)


def write_private(path: Path, text: str) -> None:
    """Make a file that only its owner may read; it is never readable to others meanwhile.

    Raises:
        FileExistsError: If there is one, or a link.
    """
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(number, "w", encoding="utf-8") as file:
        file.write(text)


def check_unchangeable(folder: Path) -> None:
    """Refuse a folder whose entries other users could rename or replace.

    A folder that others may write is fit only with the sticky bit, as ``/tmp`` has it; so are all
    folders above it.

    Args:
        folder: The folder.

    Raises:
        PermissionError: If others could; the message names the folder that lets them.
        OSError: If it is not there.
    """
    # Where users are mapped, as in some containers, the system's own files are another user's.
    trusted = {0, os.geteuid(), Path("/").stat().st_uid}
    real = folder.resolve(strict=True)
    for each in (real, *real.parents):
        state = each.stat()
        is_open = state.st_mode & 0o022 and not state.st_mode & stat.S_ISVTX
        if is_open or state.st_uid not in trusted:
            raise PermissionError(
                f"{each} must belong to this user or the system and be writable by no other user, "
                f"got user {state.st_uid} and mode {stat.S_IMODE(state.st_mode):04o}"
            )


def _places() -> list[Path]:
    """Folders for temporary files that are short enough and safe, the preferred one first."""
    runtime = f"/run/user/{os.geteuid()}"
    return [place for place in map(Path, (_temporary(), *_PLACES, runtime)) if _is_fit(place)]


def _temporary() -> str:
    """What TMPDIR and the like name."""
    try:
        return tempfile.gettempdir()
    except FileNotFoundError:  # none can be written
        return os.sep


def _is_fit(place: Path) -> bool:
    longest = place / (PREFIX + 8 * "x")
    if len(os.fsencode(longest)) > MOST_BYTES or not os.access(place, os.W_OK | os.X_OK):
        return False
    try:
        check_unchangeable(place)
    except OSError:
        return False
    return True


def _made(places: list[Path]) -> tuple[Path, int | None]:
    """A new folder in the first place that has room and sockets, and the lock on it."""
    for place in places:
        with contextlib.suppress(OSError):
            return _made_in(place)
    room = MOST_BYTES - len(PREFIX) - 9
    raise NoPrivateFolder(
        f"TMPDIR must be a folder of at most {room} bytes that only this user can change, with "
        f"room in it, got {_temporary()}; /tmp, /var/tmp and /dev/shm will not do either"
    )


def _made_in(place: Path) -> tuple[Path, int]:
    while True:
        path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
        lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        with contextlib.suppress(OSError):  # some file systems cannot lock: nothing is swept there
            fcntl.flock(lock, fcntl.LOCK_EX)
        if path.is_dir():  # otherwise swept before it was locked
            break
        os.close(lock)
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.bind(str(path / "probe"))
        (path / "probe").unlink()
    except OSError:
        path.rmdir()
        os.close(lock)
        raise
    return path, lock


def _sweep(place: Path) -> None:
    """Remove folders of this user whose process has ended."""
    for path in _left(place):
        with contextlib.suppress(OSError):
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                if os.fstat(lock).st_uid == os.geteuid():
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(lock)


def _left(place: Path) -> Iterator[Path]:
    with contextlib.suppress(OSError), os.scandir(place) as entries:
        for entry in entries:
            if entry.name.startswith(PREFIX):
                yield Path(entry.path)
