"""A process that does tasks, one for each line of its input, and reports by lines of JSON."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO

_ROOT = Path(__file__).parents[3]  # of the package
ENDS = {"result", "error"}  # messages that are the last of a task


def child_process(
    module: str, log: IO[bytes], kept: tuple[int, ...] = (), folder: Path | None = None
) -> "subprocess.Popen[bytes]":
    """Start a process that does a task for each line of its input; an empty line ends it.

    Args:
        module: Module that it runs.
        log: File for what it says besides its messages.
        kept: File descriptors that it holds until its end.
        folder: Its working directory; by default that of this process.
    """
    before = os.environ.get("PYTHONPATH")
    paths = [str(_ROOT), *([before] if before else [])]
    return subprocess.Popen(
        [sys.executable, "-P", "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        pass_fds=kept,
        cwd=folder,
        start_new_session=True,  # Ctrl-C reaches this process alone, which ends the others
    )


def silent_end(code: int, said: str) -> str:
    """The reason why a process ended without a result, from its exit code and its log."""
    how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
    last = next((line for line in reversed(said.split("\n")) if line.strip()), "")
    return f"its process was {how}" + (f": {last}" if last else "")
