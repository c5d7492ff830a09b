"""Import of Ray, with environment variables that it reads then; the user's are never overruled."""

import os
import stat
from pathlib import Path

from crossmesh.common.errors import ConfigError
from crossmesh.common.homes import user_home
from crossmesh.emulator.executors.ray_internals import import_ray

_TOKEN = user_home() / ".ray" / "auth_token"  # where Ray keeps the user's token


def prepare(address: str | None) -> None:
    """Import Ray, kept from reporting usage, and showing the user's token to a running cluster.

    Ray does not turn tokens on by itself for an address. It looks at the environment when it is
    imported, so later calls change nothing. An instance of our own has a token of its own.

    Raises:
        ConfigError: If a token is demanded and there is none, which would abort the process.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # A loss fails several calls; one is reported, in our words, and Ray would print the others.
    os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")
    _protect_token()
    # Ray ends this process when its GCS is lost for so long; by default a minute.
    os.environ.setdefault("RAY_gcs_rpc_server_reconnect_timeout_s", "30")
    if address is not None:
        _check_token()
        if _TOKEN.is_file() or {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys():
            os.environ.setdefault("RAY_AUTH_MODE", "token")
    import_ray()


def _check_token() -> None:
    if os.environ.get("RAY_AUTH_MODE", "").lower() != "token" or os.environ.get("RAY_AUTH_TOKEN"):
        return
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or _TOKEN)
    try:
        is_there = bool(path.read_text("utf-8").strip())
    except (OSError, UnicodeError):
        is_there = False
    if not is_there:
        raise ConfigError(
            "RAY_AUTH_MODE=token must come with a token in RAY_AUTH_TOKEN, or in the file of "
            f"RAY_AUTH_TOKEN_PATH, got none in {path}"
        )


def _protect_token() -> None:
    """Let only its owner read the user's token: Ray has written it readable to all."""
    try:
        state = _TOKEN.stat()
        if state.st_uid == os.geteuid() and stat.S_IMODE(state.st_mode) & 0o077:
            _TOKEN.chmod(0o600)
    except OSError:
        pass  # no token there, or not ours to change
