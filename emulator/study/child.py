"""A run of a study, or a baseline, in a process of its own.

The first line of standard input says what to do; on standard output every line is a JSON object
that reports progress. When standard input ends, the parent is gone, and it ends
as on Ctrl-C: with what its last checkpoint holds.
"""

import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any

from crossmesh.common.supervision.guard import guarded

Tell = Callable[[dict[str, Any]], None]


def main() -> None:
    """Do what standard input asks for."""
    sys.exit(guarded(_work))


def _work() -> int:
    tell = _teller()
    try:
        task = json.loads(sys.stdin.readline())
        threading.Thread(target=_end_with_the_starter, daemon=True).start()
        tell({"result": _result(task, tell)})
    except BrokenPipeError:
        return 130
    except Exception as error:  # whatever it is, the other runs continue
        tell({"error": _reason(error)})
        return 1
    return 0


def _teller() -> Tell:
    """What writes to standard output, which is then closed to everyone else."""
    number = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def tell(message: dict[str, Any]) -> None:
        os.write(number, json.dumps(message).encode() + b"\n")

    return tell


def _end_with_the_starter() -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _result(task: dict[str, Any], tell: Tell) -> Any:
    # Imported here, so that a signal while they load ends the process in order.
    from crossmesh.emulator.config.loading import validated
    from crossmesh.emulator.study.work import baseline, run

    config = validated(task["config"])
    return baseline(config, tell) if task["folder"] is None else run(config, task["folder"], tell)


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
