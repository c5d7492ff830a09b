"""Work in a child, so that a parent that does not talk to Ray has the last word."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable

from crossmesh.common.supervision import interrupts, raw_stderr, reports
from crossmesh.common.supervision.parent import ENDING_SIGNALS, Parent

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36  # of Linux's prctl


def guarded(work: Callable[[], int]) -> int:
    """Do some work in a child, and see to it that it ends in order whatever happens.

    Args:
        work: Returns the exit code. It should announce by ``reports`` how to resume.

    Returns:
        The exit code; in the parent alone, since the child exits.
    """
    caught = [s for s in (*ENDING_SIGNALS, signal.SIGTSTP) if _is_ours(s)]
    signal.pthread_sigmask(signal.SIG_BLOCK, caught)
    raw = raw_stderr.place()
    listen, say = os.pipe()
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    me = os.getpid()
    child = os.fork()
    if child == 0:
        os.close(listen)
        sys.exit(_as_child(work, me, raw, say, caught))
    os.close(say)
    return Parent(child, listen, raw, caught).run()


def _is_ours(number: signal.Signals) -> bool:
    """Whether a signal means anything: nohup and shells without job control have some ignored."""
    optional = {signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP}
    return number not in optional or signal.getsignal(number) != signal.SIG_IGN


def _as_child(
    work: Callable[[], int], parent: int, raw: int, say: int, blocked: list[signal.Signals]
) -> int:
    os.setpgid(0, 0)  # signals of the terminal reach the parent alone, and never Ray's processes
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before it could be watched
        return 130
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # progress is shown from the background
    signal.signal(signal.SIGTSTP, signal.SIG_DFL)
    raw_stderr.set_aside(raw)
    reports.begin(say)
    try:
        interrupts.install()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, blocked)
        code = _code_of(work)
        _be_deaf(blocked)
    except (interrupts.Interrupted, KeyboardInterrupt):
        code = 130
    except Exception:
        if not interrupts.came():
            raise
        code = 130
    _be_deaf(blocked)
    reports.done(code)
    return code


def _code_of(work: Callable[[], int]) -> int:
    try:
        return work()
    except SystemExit as end:  # so libraries end a command whose output is closed
        if end.code == signal.SIGTERM:  # as Ray's own handler does, until ours is back in place
            return 130
        return end.code if isinstance(end.code, int) else int(end.code is not None)


def _be_deaf(numbers: list[signal.Signals]) -> None:
    """Hear no signals any more, nor have another thread hear one for this one."""
    signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    for number in numbers:
        signal.signal(number, signal.SIG_IGN)
