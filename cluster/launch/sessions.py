"""The processes of a session, which is what one command has started: found and ended exactly."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

_POLL_S = 0.05


def members(session: int) -> dict[int, str]:
    """Ids and programs of the processes of a session."""
    return dict(_members(session))


def _members(session: int) -> Iterator[tuple[int, str]]:
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        with contextlib.suppress(OSError):  # gone meanwhile
            fields = (folder / "stat").read_text().rpartition(") ")[2].split()
            if int(fields[3]) == session and fields[0] != "Z":
                program = (folder / "cmdline").read_bytes().split(b"\0")[0]
                yield int(folder.name), program.decode(errors="replace")


def end(leaders: list[subprocess.Popen[bytes]], within_s: float) -> None:
    """End sessions: their leaders are asked to, and what is left after a while is killed.

    A leader is waited for last: until then, its number cannot come to mean another process.
    """
    for leader in leaders:
        leader.terminate()
    deadline = time.monotonic() + within_s
    while any(members(leader.pid) for leader in leaders):
        if time.monotonic() > deadline:
            for leader in leaders:
                _kill(leader.pid)
        time.sleep(_POLL_S)
    for leader in leaders:
        leader.wait()


def _kill(session: int) -> None:
    for pid in members(session):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
