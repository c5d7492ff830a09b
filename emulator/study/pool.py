"""Work done side by side by processes, each of which does one task of a kind after the other."""

import contextlib
import json
import os
import selectors
import subprocess
from collections import deque
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

from crossmesh.common.supervision.interrupts import deferred
from crossmesh.common.supervision.reports import renew
from crossmesh.emulator.config.run import RunConfig
from crossmesh.emulator.executors.child_process import ENDS, child_process, silent_end

CHILD = "crossmesh.emulator.study.child"  # what processes run
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
        log: File for what its process says besides; removed if that is nothing.
        stop: Fields of ``MedianStop``, which may stop a run; None: nothing does.
    """

    kind: Literal["run", "baseline", "chip"] = "run"
    key: str
    name: str
    config: RunConfig
    folder: Path | None
    log: Path
    stop: Mapping[str, Any] | None = None

    def line(self) -> str:
        """The line of JSON that its process reads."""
        wanted = {
            "kind": self.kind,
            "config": self.config.model_dump(mode="json"),
            "folder": None if self.folder is None else str(self.folder),
            "log": str(self.log),
            "stop": self.stop,
        }
        return json.dumps(wanted)


Messages = Generator[tuple[ProcessTask, str, Any]]


def perform(tasks: Sequence[ProcessTask], jobs: int, kept: int) -> Messages:
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
                            child.go_on(waiting, has_failed=kind == "error")
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
        with _opened(task.log) as log:
            self._process = child_process(CHILD, log, (kept,))
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input, self._stream = self._process.stdin, self._process.stdout
        self.output = self._stream.fileno()
        self._begin(task)

    def _begin(self, task: ProcessTask) -> None:
        self.task = task
        self._has_ended = False  # what the task came to
        self._send(task.line())

    def _send(self, line: str) -> None:
        with contextlib.suppress(BrokenPipeError):  # of a process that has ended already
            self._input.write(line.encode() + b"\n")
            self._input.flush()

    def go_on(self, waiting: deque[ProcessTask], *, has_failed: bool) -> None:
        """Do the next task, which takes less time than to start a process; or end.

        What fails may leave the process without what the next run needs; a chip needs little.
        """
        is_fit = not has_failed or self.task.kind == "chip"
        if is_fit and waiting and waiting[0].kind == self.task.kind:
            self._leave_log()
            _opened(waiting[0].log).close()
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
                said = self.task.log.read_text("utf-8", errors="replace")
                yield "error", silent_end(code, said)

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
        self._leave_log()

    def _leave_log(self) -> None:
        """Remove the log of a task whose process said nothing."""
        with contextlib.suppress(OSError):  # which it is, if someone has removed it
            if self.task.log.stat().st_size == 0:
                self.task.log.unlink()


def _opened(log: Path) -> IO[bytes]:
    """An empty log."""
    log.parent.mkdir(parents=True, exist_ok=True)
    return log.open("wb")


def _stop(children: Collection[_Child]) -> None:
    for child in children:
        child.terminate()
    for child in children:
        child.finish()
