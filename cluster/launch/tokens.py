"""The token that keeps strangers out of a Ray cluster."""

import errno
import secrets
import stat
from pathlib import Path

from crossmesh.common.errors import ConfigError
from crossmesh.common.private_folders import write_private
from crossmesh.common.whole_files import read_whole

_MOST_BYTES = 4096  # of a token, whatever the file is


def write_token(path: Path) -> None:
    """Make a file with a fresh token that only its owner may read; one that is there stays."""
    try:
        write_private(path, secrets.token_hex(32))
    except FileExistsError:
        checked_token(path, "token")


def checked_token(path: Path, field: str) -> Path:
    """A file with a token, which no other user may read.

    Raises:
        ConfigError: If it is none.
    """
    try:
        body, state = read_whole(path, _MOST_BYTES), path.stat()
        if body is None:
            raise OSError(errno.EFBIG, f"More than {_MOST_BYTES} bytes")
        text = body.decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = (
            "no text" if isinstance(error, UnicodeDecodeError) else error.strerror or str(error)
        )
        rule = "must be a readable file with the cluster's token"
        raise ConfigError(f"{field} {rule}, got {path} ({reason.lower()})") from None
    if not text:
        raise ConfigError(f"{field} must hold the cluster's token, got an empty file {path}")
    mode = stat.S_IMODE(state.st_mode)
    if mode & 0o077:
        rule = "must be readable by its owner alone (chmod 600)"
        raise ConfigError(f"{field} {rule}, got {path} with mode {mode:04o}")
    return path


def token_variables(path: Path | str) -> dict[str, str]:
    """Environment variables that make Ray demand, and present, the token in a file."""
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(path)}
