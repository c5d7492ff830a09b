"""A launch: its name, its folder, its log, and what is known of it later.

The folder of a launch holds its generated files, ``launch.json`` (what was launched, and what its
kind must know to follow it), ``log``, and ``ended.json`` once this machine's part has ended. A link
in the user's state folder leads from its name to the folder.
"""

import contextlib
import json
import os
import secrets
import socket
import string
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from crossmesh.cluster.launch.order import Order
from crossmesh.cluster.launch.transcript import transcribed
from crossmesh.common.errors import ConfigError, masked
from crossmesh.common.homes import user_home
from crossmesh.common.private_folders import make_private, write_private
from crossmesh.common.supervision import interrupts, reports
from crossmesh.common.supervision.processes import started_at
from crossmesh.common.whole_files import is_file, read_whole

RECORD, ENDED, LOG = "launch.json", "ended.json", "log"
FOLDERS = Path("launched")  # of launches, in the folder where they were started

_MOST_BYTES = 1 << 24  # of a record, whoever has written it
_LETTERS = string.ascii_lowercase + string.digits

Kind = Literal["queued", "starting", "running", "done", "failed", "cancelled", "lost"]
OVER: frozenset[Kind] = frozenset({"done", "failed", "cancelled", "lost"})


@dataclass(frozen=True)
class JobState:
    """How a launched training stands.

    Attributes:
        kind: ``lost``: what ran it has gone without a word.
        detail: What else there is to say, in one line, or nothing.
        exit_code: Of the training, once it is known.
    """

    kind: Kind
    detail: str = ""
    exit_code: int | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing runs any more."""
        return self.kind in OVER


class LaunchRecord(BaseModel):
    """What ``launch.json`` holds.

    Attributes:
        name: The launch's name.
        cluster: The cluster's fields.
        source: CONFIG, as a path from any folder or a shipped name.
        options: The options behind it.
        run_dir: The run directory, as seen from where the training is started.
        began: Seconds since 1970.
        host: Machine of the process that launched.
        pid: Its id there.
        pid_began: When that process started, in ticks of its machine.
        known: What the kind of cluster has noted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    name: str
    cluster: dict[str, Any]
    source: str
    options: tuple[str, ...]
    run_dir: str
    began: float
    host: str
    pid: int
    pid_began: int
    known: Mapping[str, Any] = Field(default_factory=dict)


class Launched:
    """One launch.

    Args:
        folder: Its folder.

    Raises:
        ConfigError: If that is none.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.log = self.folder / LOG
        try:
            text = read_whole(self.folder / RECORD, _MOST_BYTES) or b""
            owners = {path.stat().st_uid for path in (self.folder, self.folder / RECORD)}
            self.record = LaunchRecord.model_validate_json(text)
        except (OSError, ValidationError):
            raise ConfigError(
                f"JOB must be a launch, in a folder with a {RECORD}, got {folder}"
            ) from None
        if owners != {os.geteuid()}:  # what it says of ssh would be run as this user
            raise ConfigError(f"JOB must be a launch of this user, got {folder}")

    @classmethod
    def new(cls, order: Order, folder: Path, run_dir: str) -> "Launched":
        """Begin a launch in a folder, which must hold none yet, with the place of its run.

        Raises:
            ConfigError: If it cannot be made, or holds one.
        """
        began_by = os.getppid() if reports.has_parent() else os.getpid()
        is_path = Path(order.source).exists()
        record = LaunchRecord(
            name=order.name,
            cluster=order.cluster.model_dump(mode="json"),
            source=str(Path(order.source).absolute()) if is_path else order.source,
            options=order.options,
            run_dir=run_dir,
            began=time.time(),
            host=socket.gethostname(),
            pid=began_by,
            pid_began=started_at(began_by) or 0,
        )
        try:
            make_private(folder)
            write_private(folder / RECORD, record.model_dump_json(indent=1))
        except FileExistsError:
            raise ConfigError(f"--files must hold no launch yet, got {folder}") from None
        except OSError as error:
            raise ConfigError(
                f"--files must be a folder that can be written, got {folder} "
                f"({(error.strerror or str(error)).lower()})"
            ) from None
        _link(order.name, folder.absolute())
        return cls(folder)

    @property
    def name(self) -> str:
        """By which it is followed."""
        return self.record.name

    @property
    def run_dir(self) -> str:
        """The run directory, as seen from where the training is started."""
        return self.record.run_dir

    def remember(self, **known: Any) -> None:
        """Note what following the launch will need, as the number of its job."""
        whole = {**self.record.known, **known}
        self.record = self.record.model_copy(update={"known": whole})
        _replace(self.folder / RECORD, self.record.model_dump_json(indent=1))

    def remembered(self, key: str) -> Any:
        """What was noted, or None."""
        return self.record.known.get(key)

    @property
    def has_machines(self) -> bool:
        """Whether machines are its own after its end, as far as is known: kept, or left behind."""
        is_left = self.remembered("phase") is not None and self.exit_code is None
        return is_left or bool(self.remembered("kept"))

    @contextlib.contextmanager
    def going(self) -> Iterator[None]:
        """Write what is said meanwhile to the log too, and at the end how it ended."""
        with transcribed(self.log) as log:
            code = 1
            try:
                yield
                code = 0
            except BaseException as error:
                code, text = _ending(error)
                if text:
                    log.write(f"{text}\n")
                raise
            finally:
                with contextlib.suppress(OSError):  # the folder was deleted, or the disk is full
                    self.end(code)

    def end(self, code: int) -> None:
        """Note that this machine's part has ended, with an exit code."""
        _replace(self.folder / ENDED, json.dumps({"exit_code": code, "time": time.time()}))

    @property
    def exit_code(self) -> int | None:
        """With which this machine's part ended; None: not yet, or without a word."""
        try:
            code = json.loads((self.folder / ENDED).read_text("utf-8"))["exit_code"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return code if isinstance(code, int) else None

    @property
    def process(self) -> int | None:
        """Id of the process that launched, while it lives on this machine."""
        record = self.record
        is_here = record.host == socket.gethostname()
        return record.pid if is_here and started_at(record.pid) == record.pid_began else None


def fresh_name(cluster: str, run: str) -> str:
    """A name for a launch, fit for jobs and folders: at most 47 characters."""
    known = "".join(letter if letter in _LETTERS else "-" for letter in f"{cluster}-{run.lower()}")
    words = "-".join(filter(None, known.split("-")))
    return f"{words[:42].rstrip('-')}-{''.join(secrets.choice(_LETTERS) for _ in range(4))}"


def launches() -> list[Launched]:
    """All launches of this user that still have their folder, the oldest first."""
    found = {}
    for path in (*_names().glob("*"), *FOLDERS.glob("*")):
        with contextlib.suppress(ConfigError, OSError):
            launched = Launched(path.resolve(strict=True))
            found[launched.folder] = launched
    return sorted(found.values(), key=lambda launched: launched.record.began)


def find(job: str) -> Launched:
    """A launch by its name or its folder.

    Raises:
        ConfigError: If there is none.
    """
    for path in (Path(job), FOLDERS / job, _names() / job):
        if is_file(path / RECORD):
            return Launched(path.resolve())
    raise ConfigError(
        f"JOB must be a name that crossmesh jobs lists, or a launch's folder, got {job}"
    )


def _names() -> Path:
    """Where links lead from names to folders."""
    state = os.environ.get("XDG_STATE_HOME") or user_home() / ".local" / "state"
    return Path(state) / "crossmesh" / "launches"


def _link(name: str, folder: Path) -> None:
    with contextlib.suppress(OSError):  # without a home that can be written, the folder names it
        make_private(_names())
        (_names() / name).symlink_to(folder)
        for link in _names().iterdir():  # some may lead where nobody can look just now
            if link.is_symlink() and not link.exists():
                link.unlink()


def _replace(path: Path, text: str) -> None:
    aside = path.with_name(f".{path.name}-{os.getpid()}")
    aside.unlink(missing_ok=True)
    write_private(aside, text)
    aside.replace(path)


def _ending(error: BaseException) -> tuple[int, str]:
    """The exit code to which an error leads, and its line for the log."""
    if isinstance(error, SystemExit):
        return (error.code if isinstance(error.code, int) else 1), ""
    if isinstance(error, (interrupts.Interrupted, KeyboardInterrupt)) or interrupts.came():
        return 130, "interrupted"
    exit_code = getattr(error, "exit_code", None)  # typer's
    if isinstance(exit_code, int):
        return exit_code, ""
    code = 2 if isinstance(error, ConfigError) else 1
    return code, f"error: {masked(str(error))}"
