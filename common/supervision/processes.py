"""The processes below this one: found in /proc, and ended by their ids."""

import contextlib
import os
import signal
import time

_POLL_S = 0.02
_KILL_S = 10.0  # a process that outlives SIGKILL so long waits for hardware


def descendants() -> dict[int, str]:
    """Ids of all processes below this one and their states, as in ``/proc/PID/stat``."""
    names = os.listdir("/proc")  # noqa: PTH208  because pathlib loads slowly
    table = dict(filter(None, map(_row, filter(str.isdigit, names))))
    below: dict[int, str] = {}
    found = {os.getpid()}
    while found:
        found = {pid for pid, (parent, _) in table.items() if parent in found and pid not in below}
        below |= {pid: table[pid][1] for pid in found}
    return {pid: state for pid, state in below.items() if state not in "ZX"}


def _row(name: str) -> tuple[int, tuple[int, str]] | None:
    try:
        with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123  because pathlib loads slowly
            state, parent = file.read().rpartition(b") ")[2].split()[:2]
    except OSError:  # gone meanwhile
        return None
    return int(name), (int(parent), state.decode())


def started_at(pid: int) -> int | None:
    """When a process started, in ticks since the machine did: tells it from another of its id."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123  because pathlib loads slowly
            fields = file.read().rpartition(b") ")[2].split()
    except OSError:
        return None
    return None if fields[0] in b"ZX" else int(fields[19])


def send(pids: "set[int] | dict[int, str]", number: int) -> None:
    """Send a signal to each of some processes, if it is still there."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def end_all(grace_s: float) -> None:
    """End all processes below this one: after a while with SIGKILL, which also ends stopped ones.

    This process must be their subreaper, so that orphans stay below it.
    """
    start = time.monotonic()
    while _has_children():
        now = time.monotonic()
        if now > start + grace_s + _KILL_S:
            return
        if now >= start + grace_s:
            send(descendants(), signal.SIGKILL)
        time.sleep(_POLL_S)


def _has_children() -> bool:
    """Whether there is anything below this process, dead or alive; the dead are buried."""
    reap()
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def reap() -> dict[int, int]:
    """Wait status of each child that has ended since, by its id."""
    ended = {}
    with contextlib.suppress(ChildProcessError):  # there is none left
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                break
            ended[pid] = status
    return ended
