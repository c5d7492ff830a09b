"""The processes of a session, which is what one command has started: found and ended exactly.

Run by its path it needs nothing but Python, and leads a session that ends with the process
that started it, also if that is killed: sessions.py PARENT SECONDS [--remove FOLDER] COMMAND.
"""

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

_POLL_S = 0.05
_PR_SET_PDEATHSIG = 1  # of Linux's prctl


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
                _kill(members(leader.pid))
        time.sleep(_POLL_S)
    for leader in leaders:
        leader.wait()


def _kill(pids: Iterable[int]) -> None:
    for pid in pids:
        _send(pid, signal.SIGKILL)


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def lead(parent: int, within_s: float, command: list[str]) -> int:
    """Run a command in this session until it, or the parent, ends or this process is asked to.

    Then the command is asked to end, and what is left of the session after a while is killed:
    ``ray start`` may hang for ever if it is asked while it starts.

    Returns:
        The command's exit code, as a shell has it.
    """
    awaited = {signal.SIGTERM, signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it ended before it could be watched
        return 1
    child = os.posix_spawn(command[0], command, os.environ, setsigmask=[])
    while signal.sigwait(awaited) == signal.SIGCHLD and _is_running(child):
        pass
    _send(child, signal.SIGTERM)
    deadline = time.monotonic() + within_s
    while others := members(os.getpid()).keys() - {os.getpid()}:
        if time.monotonic() > deadline:
            _kill(others)
        time.sleep(_POLL_S)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code if code >= 0 else 128 - code


def _is_running(child: int) -> bool:
    """Whether it has not ended; one that has stays a process, so that its number means it."""
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def main() -> None:
    """``PARENT SECONDS [--remove FOLDER] COMMAND``: the folder goes if the parent cannot do it."""
    parent, within_s, *command = sys.argv[1:]
    folder = None
    if command[0] == "--remove":
        _, folder, *command = command
    code = lead(int(parent), float(within_s), command)
    if folder is not None and os.getppid() != int(parent):
        shutil.rmtree(folder, ignore_errors=True)  # the last of several sessions finds it at rest
    sys.exit(code)


if __name__ == "__main__":
    main()
