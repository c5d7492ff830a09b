"""Runs of a study, baselines or chips, one after the other, in a process of a study.

Each line of standard input says what to do next, an empty one that there is no more; on standard
output every line is a JSON object that reports progress. When standard input ends, the parent is
gone, and it ends as on Ctrl-C: with what its last checkpoint holds.
"""

import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from queue import Queue
from typing import Any

from crossmesh.common.supervision.guard import guarded

Tell = Callable[[dict[str, Any]], None]


def main() -> None:
    """Do what standard input asks for."""
    sys.exit(guarded(_work))


def _work() -> int:
    tell = _teller()
    lines: Queue[bytes] = Queue()
    threading.Thread(target=_receive, args=(lines,), daemon=True).start()
    while line := lines.get():
        try:
            task = json.loads(line)
            _say_into(task["log"])
            tell({"result": _result(task, tell)})
        except BrokenPipeError:
            return 130
        except Exception as error:  # whatever it is, the other runs continue
            tell({"error": _reason(error)})
    return 0


def _teller() -> Tell:
    """What writes to standard output, which is then closed to everyone else."""
    number = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def tell(message: dict[str, Any]) -> None:
        os.write(number, json.dumps(message).encode() + b"\n")

    return tell


def _say_into(log: str) -> None:
    """Write what is said besides into the log of a task."""
    with Path(log).open("ab") as file:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(file.fileno(), stream.fileno())


def _receive(lines: Queue[bytes]) -> None:
    """Pass on the lines of standard input, and end the process with them."""
    rest = b""
    while received := os.read(sys.stdin.fileno(), 1 << 16):
        *whole, rest = (rest + received).split(b"\n")
        for line in whole:
            lines.put(line)
    os.kill(os.getpid(), signal.SIGTERM)


def _result(task: dict[str, Any], tell: Tell) -> Any:
    # Imported here, so that a signal while they load ends the process in order.
    from crossmesh.emulator.config.loading import validated
    from crossmesh.emulator.study.work import WORKS

    work = WORKS[task["kind"]]
    return work(validated(task["config"]), task["folder"], tell, **(task["stop"] or {}))


def _reason(error: Exception) -> str:
    from crossmesh.common.errors import ConfigError, DataError, RunError, in_our_words

    if (words := in_our_words(error)) is not None:
        return words
    if isinstance(error, ConfigError | DataError | RunError):
        return " ".join(str(error).split())
    traceback.print_exc()
    return f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    main()
