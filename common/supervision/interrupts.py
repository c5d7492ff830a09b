"""Ending a command in order when a signal asks for it, also from within Ray's calls.

An exception out of a signal handler breaks Ray's calls half-way, so they are made inside
``deferred``, where a signal is only noted, and ``requested`` is looked at between them.
"""

import contextlib
import signal
from collections.abc import Iterator

from crossmesh.common.supervision import reports

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
