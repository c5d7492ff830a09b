"""Ending a command in order when a signal asks for it, also from within Ray's calls.

An exception out of a signal handler breaks Ray's calls half-way, so they are made inside
``deferred``, where a signal is only noted, and ``requested`` is looked at between them.
"""

import concurrent.futures
import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import TypeVar

from crossmesh.common.supervision import reports

T = TypeVar("T")
_LOOK_S = 0.2
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_installed = False
_deferred = False
_requested = False
_came = False


class Interrupted(BaseException):
    """A signal asks the command to end."""


def install() -> None:
    """Turn SIGINT and SIGTERM into ``Interrupted``."""
    global _installed
    _installed = True
    for number in _SIGNALS:
        signal.signal(number, _note)


def reinstall() -> None:
    """The same again, if a library has put its own handlers in place of ours."""
    if _installed:
        install()


def requested() -> bool:
    """Whether a signal came inside ``deferred``."""
    return _requested


def came() -> bool:
    """Whether a signal came at all; libraries turn ``Interrupted`` into errors of their own."""
    return _came


def check() -> None:
    """Raise ``Interrupted`` if a signal came, also inside ``deferred``."""
    if _requested:
        _raise()


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Let a signal wait until the end of the block, which then raises ``Interrupted``."""
    global _deferred
    outer, _deferred = _deferred, True
    try:
        yield
    finally:
        _deferred = outer
    if _requested and not _deferred:
        _raise()


def answering(work: Callable[[], T]) -> T:
    """Do some work in another thread, so that this one answers signals meanwhile.

    A compiler runs for up to a minute without looking at signals, and drops what a handler raises
    in its callbacks. After a signal the thread is left to itself: it ends with the process.
    """
    return beside(work)()


def beside(work: Callable[[], T]) -> Callable[[], T]:
    """Begin some work in another thread; what is given back waits for its result as ``answering``.

    So this thread can do something else meanwhile.
    """
    result: Future[T] = Future()

    def worked() -> None:
        try:
            result.set_result(work())
        except BaseException as error:
            result.set_exception(error)

    def waited() -> T:
        while not result.done():
            concurrent.futures.wait([result], _LOOK_S)
        return result.result()

    threading.Thread(target=worked, daemon=True).start()
    return waited


def _note(number: int, frame: object) -> None:
    global _requested, _came
    _requested = _came = True
    reports.asked()
    if not _deferred:
        _raise()


def _raise() -> None:
    global _requested
    _requested = False
    raise Interrupted
