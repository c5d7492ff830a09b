"""What a command says, written to a file as well."""

import contextlib
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO, cast

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@contextlib.contextmanager
def transcribed(path: Path) -> Iterator[TextIO]:
    """Append to a file, line by line, what is written to standard output and error meanwhile.

    Of a line that a terminal overwrites, as progress does, its last state counts. A stream that is
    closed, or that nobody reads any more, ends nothing: the file has it all.
    """
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(number, "w", encoding="utf-8", buffering=1) as log:
        before = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = (cast("TextIO", _Transcribed(stream, log)) for stream in before)
        try:
            yield log
        finally:
            sys.stdout, sys.stderr = before


class _Transcribed:
    """A stream that writes whole lines to a log too, and is the stream in everything else."""

    def __init__(self, stream: TextIO | None, log: TextIO) -> None:
        self._stream, self._log = stream, log
        self._line = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write to both."""
        *whole, self._line = (self._line + text).split("\n")
        with contextlib.suppress(OSError):  # a full disk must not end the training
            for line in whole:
                seen = _CONTROL.sub("", line.rstrip("\r").rpartition("\r")[2])
                self._log.write(f"{seen}\n")
        self._pass(lambda stream: stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Flush the stream; the log has whole lines at once."""
        self._pass(lambda stream: stream.flush())

    def _pass(self, work: Callable[[TextIO], object]) -> None:
        if self._stream is None:
            return
        try:
            work(self._stream)
        except BrokenPipeError:  # as behind `| head`
            with Path(os.devnull).open("wb") as nowhere:
                os.dup2(nowhere.fileno(), self._stream.fileno())
