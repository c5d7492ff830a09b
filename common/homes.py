"""The user's home, which not every process has: containers run accounts that no file knows."""

from pathlib import Path


def user_home() -> Path:
    """The user's home; where nothing says which that is, a folder that is not there.

    As Debian does for accounts without one.
    """
    try:
        return Path.home()
    except RuntimeError:
        return Path("/nonexistent")


def at_home(path: str) -> Path:
    """A path, in which ``~/`` at the beginning means the user's home, and nothing else is read.

    >>> at_home("~somebody/runs"), at_home("a/~/b")
    (PosixPath('~somebody/runs'), PosixPath('a/~/b'))
    """
    return user_home() / path[2:] if path.startswith("~/") else Path(path)
