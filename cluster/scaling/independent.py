"""Independent processes that train at the same time, each a network of its own, in one process.

What they reach together is the most that a machine gives: no messages, no waiting for each other,
but shared caches, memory and clock. They are this very module, which takes its orders over pipes.
"""

import json
import subprocess
import sys
import time
from contextlib import closing
from typing import Any

from crossmesh.cluster.scaling.spans import spans
from crossmesh.common.errors import RunError
from crossmesh.emulator.config.run import RunConfig

CLOSE_S = 10.0  # longest wait for a process to end by itself


class Independent:
    """So many processes with the same config; they are ready once one was asked for a turn.

    Args:
        config: The run that each process trains; its engine must be local.
        n: Number of processes.
    """

    def __init__(self, config: RunConfig, n: int) -> None:
        here = config.model_copy(update={"data": config.data.absolute})
        line = json.dumps(here.model_dump(mode="json"))
        self._processes = [_started(line) for _ in range(n)]

    def turn(self, examples: int) -> float:
        """Wall seconds until all have trained so many examples each, from initial weights."""
        self._all("warm", examples)
        started = time.perf_counter()
        self._all("timed", examples)
        return time.perf_counter() - started

    def _all(self, what: str, examples: int) -> None:
        for process in self._processes:
            _tell(process.stdin, {"do": what, "examples": examples})
        for process in self._processes:
            assert process.stdout is not None
            answer = json.loads(process.stdout.readline() or '{"error": "the process died"}')
            if "error" in answer:
                raise RunError(f"an independent process failed: {answer['error']}")

    def close(self) -> None:
        """End the processes."""
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.close()  # which makes it end
        for process in self._processes:
            try:
                process.wait(CLOSE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            assert process.stdout is not None
            process.stdout.close()


def _started(line: str) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "crossmesh.cluster.scaling.independent"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is the starter's, which then ends the others
    )
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()
    return process


def _tell(stream: Any, message: dict[str, Any]) -> None:
    try:
        stream.write(json.dumps(message) + "\n")
        stream.flush()
    except BrokenPipeError:
        pass  # its answer will be missing


def main() -> None:
    """Be one of the processes: do what each line of standard input asks, and answer it."""
    try:
        _serve()
    except Exception as error:  # whatever it is, the starter says it
        _tell(sys.stdout, {"error": f"{type(error).__name__}: {error}"})
        sys.exit(1)


def _serve() -> None:
    from crossmesh.emulator.compiler.job import prepare
    from crossmesh.emulator.config.loading import validated
    from crossmesh.emulator.executors.local import LocalExecutor

    job = prepare(validated(json.loads(sys.stdin.readline())))
    with closing(LocalExecutor(job)) as executor:
        for line in sys.stdin:
            request = json.loads(line)
            warm, timed = spans(job, request["examples"])
            if request["do"] == "warm":
                executor.write_initial_weights()
            executor.run(warm if request["do"] == "warm" else timed, lambda progress: None)
            _tell(sys.stdout, {})


if __name__ == "__main__":
    main()
