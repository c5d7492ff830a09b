"""The parent of a command: it holds the terminal and has the last word.

It imports nothing that takes time, never talks to Ray, and knows of the run only what the child
has said. See docs/decisions/0015-a-parent-has-the-last-word.md.
"""

import contextlib
import os
import select
import signal
import time

from crossmesh.common.supervision import processes, raw_stderr, reports

ENDING_S = 45.0  # longest time from a signal, or from a renewal after it, to the end
DONE_S = 3.0  # a child that has said its last word may take so long to exit, and Ray after it
FROZEN_S = 10.0  # a process that is stopped for so long is ended
_LOOK_S = 5.0  # between two looks for stopped processes
_TICK_S = 1.0
_TWICE_S = 0.5  # signals that come closer together are one: to the process, and to its group
ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_LOST_S = 5.0  # Ray may take so long to end the child itself
_LOST = "Ray's raylet or its GCS is lost, which ends the run"
_CLEAN = b"\r\x1b[2K\x1b[?25h"  # a line with half a bar on it, and a hidden cursor


class Parent:
    """Waits for the end of a child, and brings it about where need be.

    Args:
        child: Its id.
        listen: Pipe of what it says.
        raw: File with what was written to its standard error, but not by us.
        caught: Signals to look after; they are blocked still.
    """

    def __init__(self, child: int, listen: int, raw: int, caught: list[signal.Signals]) -> None:
        self._child = child
        self._listen = listen
        self._raw = raw
        self._rest = b""
        self._status: int | None = None  # of the child's end
        self._done: tuple[int, float] | None = None  # exit code, and when it was said
        self._next_command = ""
        self._has_used_ray = False
        self._vital: set[int] = set()  # without these processes the child cannot end well
        self._made: list[str] = []
        self._claimed: list[str] = []
        self._limit: tuple[float, str] | None = None
        self._asked_s: float | None = None  # when a signal asked for the end
        self._free_s = 0.0  # when a limit last began, was renewed or ended
        self._reason = ""  # why the child was ended
        self._stopped: dict[int, int] = {}  # how often each process was seen stopped in a row
        self._lost_s = self._looked_s = self._now = time.monotonic()
        self._wake = self._watch_signals(caught)

    @staticmethod
    def _watch_signals(caught: list[signal.Signals]) -> int:
        wake, write = os.pipe()
        os.set_blocking(wake, False)
        os.set_blocking(write, False)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        for number in (*caught, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, caught)
        return wake

    def run(self) -> int:
        """Wait for the end; the exit code."""
        while self._status is None:
            ready, _, _ = select.select([self._wake, *self._open], [], [], _TICK_S)
            self._pass_time()
            if self._listen in ready:
                self._hear()
            if self._wake in ready:
                for number in os.read(self._wake, 512):
                    self._take(number)
            self._status = processes.reap().get(self._child)
            if self._status is None:
                self._look()
        return self._last_word()

    @property
    def _open(self) -> list[int]:
        return [self._listen] if self._listen >= 0 else []

    def _pass_time(self) -> None:
        """What was stopped together with this process has not used up its time."""
        now = time.monotonic()
        gap = now - self._now
        self._now = now
        if gap > 3 * _TICK_S:
            self._free_s += gap
            if self._asked_s is not None:
                self._asked_s += gap
            if self._limit:
                self._limit = (self._limit[0] + gap, self._limit[1])

    # What comes in

    def _hear(self) -> None:
        """Read the messages of the child."""
        received = os.read(self._listen, 1 << 16)
        if not received:
            os.close(self._listen)
            self._listen = -1
        *lines, self._rest = (self._rest + received).split(b"\n")
        for line in lines:
            kind, _, text = line.decode("utf-8", "surrogateescape").partition(" ")
            self._learn(kind, text)

    def _learn(self, kind: str, text: str) -> None:
        if kind == "next_command":
            self._next_command = text
        elif kind == "vital":
            self._has_used_ray = True
            self._vital = {int(pid) for pid in text.split()}
        elif kind == "asked":
            self._asked_s = self._asked_s or self._now
        elif kind == "made":
            self._made.append(text)
        elif kind == "claimed":
            self._claimed.append(text)
        elif kind == "done":
            self._done = (int(text), self._now)
        elif kind == "limit":
            seconds, _, what = text.partition(" ")
            self._limit = (self._now + float(seconds), what) if seconds else None
            self._free_s = self._now

    def _take(self, number: int) -> None:
        """Pass a signal on; the second one does not wait, and none counts after the last word."""
        if number == signal.SIGTSTP:
            self._pause()
        elif number in ENDING_SIGNALS and not self._done:
            if number == signal.SIGQUIT:
                self._asked_s = self._asked_s or self._now
                self._end("a signal to quit")
            elif self._asked_s is None:
                self._asked_s = self._now
                processes.send({self._child}, _passed_on(number))
            elif self._now - self._asked_s > _TWICE_S:
                self._end("a second signal")

    def _pause(self) -> None:
        """Suspend the whole process tree on SIGTSTP, and resume it on SIGCONT."""
        below = processes.descendants()
        processes.send(below, signal.SIGSTOP)
        os.kill(os.getpid(), signal.SIGSTOP)
        below.pop(self._child, None)  # last, when all that it asks is awake
        processes.send(below, signal.SIGCONT)
        processes.send({self._child}, signal.SIGCONT)
        self._stopped = {}

    # What is overdue

    def _look(self) -> None:
        """End the child if it can no longer end itself."""
        if self._done:
            if self._now > self._done[1] + DONE_S:
                self._end("")
        elif self._limit and self._now > self._limit[0]:
            self._end(f"{self._limit[1]} took too long")
        elif self._asked_s is not None and self._now > max(self._asked_s, self._free_s) + ENDING_S:
            self._end("the shutdown took too long")
        if self._now > self._looked_s + _LOOK_S:
            self._looked_s = self._now
            below = processes.descendants()
            self._end_without_ray(below)
            self._end_frozen(below)

    def _end_without_ray(self, below: dict[int, str]) -> None:
        """End the child if Ray is lost and it has not noticed; Ray may take a minute to."""
        if not self._vital - below.keys():
            self._lost_s = self._now
        elif self._now > self._lost_s + _LOST_S and not self._done:
            self._end(_LOST)

    def _end_frozen(self, below: dict[int, str]) -> None:
        """End processes that something has stopped, so that others notice their loss."""
        stopped = {pid for pid, state in below.items() if state == "T"}
        self._stopped = {pid: self._stopped.get(pid, 0) + 1 for pid in stopped}
        frozen = {pid for pid, seen in self._stopped.items() if (seen - 1) * _LOOK_S >= FROZEN_S}
        if self._child in frozen:
            self._reason = f"the process of the run was frozen for {FROZEN_S:.0f} s"
        processes.send(frozen, signal.SIGKILL)

    def _end(self, reason: str) -> None:
        self._reason = self._reason or reason
        processes.send({self._child}, signal.SIGKILL)

    # The end

    def _last_word(self) -> int:
        while self._listen >= 0 and select.select([self._listen], [], [], 0)[0]:
            self._hear()
        processes.end_all(DONE_S if self._done else 0.0)
        for folder in self._made:
            _remove(folder)
        for folder in self._claimed:
            _remove_empty(folder)
        if self._done and self._done[0] != 130:
            return self._done[0]
        if self._done or self._asked_s is not None:
            self._say(f"interrupted; {self._what_to_do()}")
            return 130
        self._say(f"error: {self._what_happened()}; {self._what_to_do()}")
        return 1

    def _what_happened(self) -> str:
        assert self._status is not None
        code = os.waitstatus_to_exitcode(self._status)
        if self._reason:
            return self._reason
        if code < 0:
            what = f"the process of the run was killed by {signal.Signals(-code).name}"
        elif self._has_used_ray:
            what = _LOST
        else:
            what = f"the process of the run ended with exit code {code}"
        file = raw_stderr.kept(self._raw)
        return f"{what} (its output is in {file})" if file else what

    def _what_to_do(self) -> str:
        return self._next_command or f"restart with: {reports.this_command()}"

    @staticmethod
    def _say(line: str) -> None:
        from crossmesh.common.errors import (
            masked,  # here, because it loads slowly and is seldom needed
        )

        begin = _CLEAN if os.isatty(2) else b""
        with contextlib.suppress(OSError):  # no reader is left
            os.write(2, begin + masked(line).encode("utf-8", "surrogateescape") + b"\n")


def _passed_on(number: int) -> int:
    """The signal that the child receives; it has no terminal, so SIGHUP becomes SIGTERM."""
    return signal.SIGTERM if number == signal.SIGHUP else number


def _remove(folder: str) -> None:
    import shutil  # here, because it loads slowly and is seldom needed

    shutil.rmtree(folder, ignore_errors=True)


def _remove_empty(folder: str) -> None:
    with contextlib.suppress(OSError):  # something is in it, or it is gone
        os.rmdir(folder)  # noqa: PTH106  because pathlib loads slowly
