"""Messages of the child process to its supervising parent; without a parent, they do nothing.

Each message is a line: a kind and its text. A message that finds no room is dropped, because
a parent that is stopped must not hold up the run.
"""

import contextlib
import os
import sys
import time
from collections.abc import Collection, Iterator

RAY_S = 45.0  # longest wait for an answer of Ray that takes no computing
_RENEW_S = 1.0

_pipe: int | None = None
_limits: list[tuple[float, str]] = []  # that hold now: end in monotonic seconds, and what for
_said_s = 0.0


def this_command() -> str:
    """The command line as the user typed it."""
    import shlex  # here, because it loads slowly and is seldom needed

    return shlex.join(["crossmesh", *sys.argv[1:]])


def begin(pipe: int) -> None:
    """This process has a parent, at the other end of a pipe."""
    global _pipe
    os.set_blocking(pipe, False)
    _pipe = pipe


def has_parent() -> bool:
    """Whether a parent of ours has the last word."""
    return _pipe is not None


def share_terminal() -> None:
    """Be in the foreground with the parent, so that a program started from here can ask there."""
    if has_parent():
        os.setpgid(0, os.getpgid(os.getppid()))


def asked() -> None:
    """A signal asked this process to terminate."""
    _say("asked", "")


def resumable(command: str) -> None:
    """From here on, ``command`` resumes the work, whatever happens."""
    next_command(f"resume with: {command}")


def next_command(text: str) -> None:
    """Set the hint printed after an abnormal exit; until then, it is to run the same command."""
    _say("next_command", text)


def vital(pids: Collection[int]) -> None:
    """Processes without which the work cannot end well, such as Ray's own; none any more."""
    _say("vital", " ".join(map(str, pids)))


def made(folder: os.PathLike[str]) -> None:
    """A folder to remove after this process, which should do it itself."""
    _say("made", os.fspath(folder))


def claimed(folder: os.PathLike[str]) -> None:
    """A folder to remove after this process if it is empty."""
    _say("claimed", os.fspath(folder))


def done(code: int) -> None:
    """All output is written; the parent may end this process whatever still hangs."""
    _say("done", str(code))


@contextlib.contextmanager
def within(seconds: float, what: str) -> Iterator[None]:
    """Have the parent end the run if the block takes longer, such as a call of Ray that hangs.

    Args:
        seconds: Longest time of the block, or since its last ``renew``.
        what: Name of the work, for the error.
    """
    _limits.append((time.monotonic() + seconds, what))
    _say_limit()
    try:
        yield
    finally:
        _limits.pop()
        _say_limit()


def renew(seconds: float = RAY_S) -> None:
    """The work makes progress: extend the present limit, and a shutdown that was requested."""
    now = time.monotonic()
    if now - _said_s > _RENEW_S:
        if _limits:
            _limits[-1] = (now + seconds, _limits[-1][1])
        _say_limit()


def _say_limit() -> None:
    global _said_s
    _said_s = time.monotonic()
    if _limits:
        end, what = _limits[-1]
        _say("limit", f"{end - _said_s:.1f} {what}")
    else:
        _say("limit", "")


def _say(kind: str, text: str) -> None:
    if _pipe is not None:
        line = f"{kind} {' '.join(text.splitlines())}\n"
        with contextlib.suppress(OSError):
            os.write(_pipe, line.encode("utf-8", "surrogateescape"))
