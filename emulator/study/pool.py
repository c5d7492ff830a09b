"""Work done side by side by processes, each of which trains one network or times many chips."""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from crossmesh.common.supervision.interrupts import deferred
from crossmesh.common.supervision.reports import renew
from crossmesh.emulator.config.run import RunConfig

_ROOT = Path(__file__).parents[3]  # of the package
ENDS = {"result", "error"}  # messages that are the last of a task
_LOOK_S = 1.0  # between two words to our parent while a process ends


@dataclass(frozen=True, kw_only=True)
class ProcessTask:
    """Task of one process.

    Attributes:
        kind: What is done: a network is trained on tiles or in float32, or its chip is timed.
        key: Unique key.
        name: Name in messages.
        config: The run.
        folder: The run directory; of a chip, the run whose pulses count, if there is one.
        log: File for what a process that begins with it says besides; removed if it says nothing.
        stop: Fields of ``MedianStop``, which may stop a run; None: nothing does.
    """

    kind: Literal["run", "baseline", "chip"] = "run"
    key: str
    name: str
    config: RunConfig
    folder: Path | None
    log: Path
    stop: Mapping[str, Any] | None = None


def perform(
    tasks: Sequence[ProcessTask], jobs: int, kept: int
) -> Generator[tuple[ProcessTask, str, Any]]:
    """Run tasks, ``jobs`` at a time, and report their progress.

    Args:
        tasks: Tasks, in order.
        jobs: Most processes at a time.
        kept: File descriptor that every process holds until its end.

    Yields:
        The task and ``examples`` with how many are done, ``note`` with a text, and last either
        ``result`` or ``error``, with the reason.
    """
    waiting, running = deque(tasks), dict[int, _Child]()
    with selectors.DefaultSelector() as selector:
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    with deferred():  # a process that is started is one that is known
                        child = _Child(waiting.popleft(), kept)
                        running[child.output] = child
                        selector.register(child.output, selectors.EVENT_READ)
                for key, _ in selector.select():
                    child = running[key.fd]
                    for kind, value in child.messages():
                        yield child.task, kind, value
                        if kind in ENDS:
                            child.go_on(waiting)
                    if child.ended:
                        selector.unregister(key.fd)
                        del running[key.fd]
                        child.close()
        finally:
            with deferred():
                _stop(running.values())


class _Child:
    """A process at work on a task, and on another one once it has ended."""

    def __init__(self, task: ProcessTask, kept: int) -> None:
        self.ended = False
        self._rest = b""
        self._log = task.log
        task.log.parent.mkdir(parents=True, exist_ok=True)
        before = os.environ.get("PYTHONPATH")
        paths = [str(_ROOT), *([before] if before else [])]
        with task.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "crossmesh.emulator.study.child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
                pass_fds=(kept,),
                start_new_session=True,  # Ctrl-C reaches this process alone, which ends the others
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input, self._stream = self._process.stdin, self._process.stdout
        self.output = self._stream.fileno()
        self._begin(task)

    def _begin(self, task: ProcessTask) -> None:
        self.task = task
        self._has_ended = False  # what the task came to
        wanted = {
            "kind": task.kind,
            "config": task.config.model_dump(mode="json"),
            "folder": None if task.folder is None else str(task.folder),
            "stop": task.stop,
        }
        self._send(json.dumps(wanted))

    def _send(self, line: str) -> None:
        with contextlib.suppress(BrokenPipeError):  # of a process that has ended already
            self._input.write(line.encode() + b"\n")
            self._input.flush()

    def go_on(self, waiting: deque[ProcessTask]) -> None:
        """Time the next chip, which takes less time than to start a process; or end."""
        if self.task.kind == "chip" and waiting and waiting[0].kind == "chip":
            self._begin(waiting.popleft())
        else:
            self._send("")

    def messages(self) -> Iterator[tuple[str, Any]]:
        """Messages of the process since the last call; call it when there are any."""
        received = os.read(self.output, 1 << 16)
        *lines, self._rest = (self._rest + received).split(b"\n")
        for line in lines:
            ((kind, value),) = json.loads(line).items()
            self._has_ended |= kind in ENDS
            yield kind, value
        if not received:
            self.ended = True
            code = self._process.wait()
            if not self._has_ended:
                yield "error", self._silent_end(code)

    def _silent_end(self, code: int) -> str:
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        said = self._log.read_text("utf-8", errors="replace").split("\n")
        last = next((line for line in reversed(said) if line.strip()), "")
        return f"its process was {how}" + (f": {last}" if last else "")

    def terminate(self) -> None:
        """Ask the process to end in order."""
        self._process.terminate()

    def finish(self) -> None:
        """Wait for its end, which its own parent sees to, however long it saves its state."""
        while True:
            try:
                self._process.wait(_LOOK_S)
                break
            except subprocess.TimeoutExpired:
                renew()
        self.close()

    def close(self) -> None:
        """Give back what belongs to a process that has ended."""
        with contextlib.suppress(BrokenPipeError):
            self._input.close()
        self._stream.close()
        with contextlib.suppress(OSError):  # which it is, if someone has removed it
            if self._log.stat().st_size == 0:
                self._log.unlink()


def _stop(children: Collection[_Child]) -> None:
    for child in children:
        child.terminate()
    for child in children:
        child.finish()
