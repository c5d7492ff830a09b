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
