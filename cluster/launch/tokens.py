"""The token that keeps strangers out of a Ray cluster."""

import os
import secrets
import stat
from pathlib import Path

from emulator.errors import ConfigError


def write_token(path: Path) -> None:
    """Make a file with a fresh token that only its owner may read; one that is there stays."""
    try:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        checked_token(path, "token")
        return
    with os.fdopen(number, "w") as file:
        file.write(secrets.token_hex(32))


def checked_token(path: Path, field: str) -> Path:
    """A file with a token, which nobody else may read.

    Raises:
        ConfigError: If it is none.
    """
    try:
        text, state = path.read_text("utf-8").strip(), path.stat()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "no text"
        law = "must be a readable file with the cluster's token"
        raise ConfigError(f"{field} {law}, got {path} ({reason.lower()})") from None
    if not text:
        raise ConfigError(f"{field} must hold the cluster's token, got an empty file {path}")
    mode = stat.S_IMODE(state.st_mode)
    if mode & 0o077:
        law = "must be readable by its owner alone (chmod 600)"
        raise ConfigError(f"{field} {law}, got {path} with mode {mode:04o}")
    return path


def token_variables(path: Path | str) -> dict[str, str]:
    """What tells Ray to demand, and to show, the token of a file."""
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(path)}
