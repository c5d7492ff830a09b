"""State of a run: its latest ``live.json``, and whether it is still running."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.runs.live_state import SCHEMA, LiveState

STALE_S = 10.0  # without an update, from which on a run may have ended


@dataclass(frozen=True, kw_only=True)
class RunState:
    """State of a run as seen from outside.

    Attributes:
        kind: ``running``; ``stale``: it no longer says how it goes; ``quiet``: it says nothing, but
            its process is there; ``over``: it has left its summary; ``gone``: it left nothing.
        live: Its latest ``live.json``.
        age_s: Seconds since then.
        is_held: Whether a process of this machine holds the directory.
    """

    kind: Literal["running", "stale", "quiet", "over", "gone"]
    live: LiveState | None
    age_s: float
    is_held: bool


class RunWatcher:
    """Looks at a run directory, and knows since when it has not changed.

    Clocks of two machines may differ, so the age of a change that was seen is measured by this
    one's clock.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last: LiveState | None = None
        self._changed: float | None = None

    def look(self) -> RunState:
        """The present state."""
        live = read(self._path / "live.json")
        if live is None:
            return self._without_file()
        if self._last is not None and live.updated != self._last.updated:
            self._changed = time.monotonic()
        self._last = live
        age_s = time.time() - live.updated
        if self._changed is not None:
            age_s = time.monotonic() - self._changed
        kind: Literal["stale", "running"] = "stale" if age_s > STALE_S else "running"
        held = kind == "stale" and is_held(self._path)
        return RunState(kind=kind, live=live, age_s=max(0.0, age_s), is_held=held)

    def _without_file(self) -> RunState:
        held = is_held(self._path)
        kind: Literal["quiet", "over", "gone"] = "quiet" if held else "gone"
        if not held and (self._path / "summary.json").is_file():
            kind = "over"
        return RunState(kind=kind, live=self._last, age_s=0.0, is_held=held)


def read(path: Path) -> LiveState | None:
    """Contents of the file, or None if it does not exist.

    Raises:
        ConfigError: If it says something else.
    """
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"{path} must be readable: {error.strerror}") from None
    try:
        tree = json.loads(text)
        schema = tree.get("schema")
        if schema != SCHEMA:
            raise ConfigError(f"{path} must be of schema {SCHEMA}, got {schema}")
        return LiveState.model_validate(tree)
    except (ValidationError, json.JSONDecodeError, AttributeError):
        raise ConfigError(
            f"{path} must be a live.json that a run has written, got something else"
        ) from None


def is_held(path: Path) -> bool:
    """Whether a process of this machine has locked the directory, as runs do."""
    try:
        number = path.stat().st_ino
        locks = Path("/proc/locks").read_text("utf-8").splitlines()
    except OSError:
        return False
    # Such as "1: FLOCK  ADVISORY  WRITE 4711 fe:00:1234 0 EOF"; the device is that of the disk,
    # which differs from what ``stat`` says where file systems lie on top of each other.
    return any("FLOCK" in lock and f":{number} " in lock for lock in locks)
