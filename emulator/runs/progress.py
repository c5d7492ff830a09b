"""Showing how a run goes: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from datetime import timedelta
from typing import Protocol

from rich import progress as rich
from rich.console import Console
from rich.text import Text

from crossmesh.emulator.runs.callbacks import Callbacks, NoCallbacks
from crossmesh.emulator.runs.history import MetricsRow
from crossmesh.emulator.runs.time_left import TimeLeft
from crossmesh.emulator.runs.wording import epoch_line, learning
from crossmesh.tiles.runtime.measure import Progress

PLAIN_EVERY_S = 10.0


class Display(Callbacks, Protocol):
    """Progress callbacks that show something within a block."""

    def __enter__(self) -> Callbacks: ...

    def __exit__(self, *error: object) -> None: ...


class _TimeLeftColumn(rich.ProgressColumn):
    """The time left of a task, from its field ``left``."""

    def render(self, task: rich.Task) -> Text:
        """As hours, minutes and seconds, once it is known."""
        left: TimeLeft = task.fields["left"]
        seconds = left.at(time.perf_counter())
        said = "-:--:--" if seconds is None else str(timedelta(seconds=round(seconds)))
        return Text(said, style="progress.remaining")


class Bar:
    """A Rich bar with loss, accuracy, examples per second and time left. A context manager."""

    def __init__(self, console: Console) -> None:
        self._bar = rich.Progress(
            rich.TextColumn("{task.description:9}"),
            rich.BarColumn(),
            rich.TextColumn("{task.percentage:3.0f} %"),
            rich.TextColumn("{task.fields[learnt]}"),
            rich.TextColumn("{task.fields[rate]}"),
            _TimeLeftColumn(),
            console=console,
            transient=True,
        )
        self._task: rich.TaskID | None = None
        self._started = time.perf_counter()
        self._left = TimeLeft(0, self._started)
        self._first: int | None = None

    def __enter__(self) -> "Bar":
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def note(self, text: str) -> None:
        """A line above the bar."""
        self._bar.console.print(text, highlight=False)

    def phase(self, name: str, total: int) -> None:
        """A new bar in place of the old one."""
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._started, self._first = time.perf_counter(), None
        self._left = TimeLeft(total, self._started)
        self._task = self._bar.add_task(
            name, total=total or None, learnt="", rate="", left=self._left
        )

    def progress(self, progress: Progress) -> None:
        """Move the bar."""
        if self._task is None:
            return
        if self._first is None:
            self._first = progress.examples
        now_s = time.perf_counter()
        self._left.report(progress.examples, now_s)
        seconds = now_s - self._started
        rate = (progress.examples - self._first) / seconds if seconds > 0 else 0.0
        fields = {"rate": f"{rate:,.0f} examples/s" if rate else ""}
        if learnt := learning(progress):
            fields["learnt"] = learnt
        self._bar.update(self._task, completed=progress.examples, **fields)  # type: ignore[arg-type]  # Rich types no fields

    def row(self, row: MetricsRow) -> None:
        """A line for every test."""
        if row.test_loss is not None:
            self._bar.console.print(epoch_line(row), highlight=False)


class PlainLines:
    """A line for every phase, every test, and every ten seconds. A context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._name, self._total = "", 0
        self._due = 0.0

    def __enter__(self) -> "PlainLines":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def note(self, text: str) -> None:
        """The line."""
        self._print(text)

    def phase(self, name: str, total: int) -> None:
        """Say what begins."""
        self._name, self._total = name, total
        self._due = time.perf_counter() + PLAIN_EVERY_S
        self._print(f"{name}: {total:,} examples" if total else name)

    def progress(self, progress: Progress) -> None:
        """Say how far, now and then."""
        if time.perf_counter() < self._due:
            return
        self._due = time.perf_counter() + PLAIN_EVERY_S
        of = f" of {self._total:,}" if self._total else ""
        done = f"{self._name}: {progress.examples:,}{of} examples"
        self._print(", ".join(filter(None, (done, learning(progress)))))

    def row(self, row: MetricsRow) -> None:
        """A line for every test."""
        if row.test_loss is not None:
            self._print(epoch_line(row))

    def _print(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True)


class Quiet(NoCallbacks):
    """Nothing at all. A context manager."""

    def __enter__(self) -> "Quiet":
        return self

    def __exit__(self, *error: object) -> None:
        pass


def display(*, quiet: bool) -> Display:
    """Progress callbacks that suit where they are shown: a bar on a terminal, else lines."""
    if quiet:
        return Quiet()
    console = Console(file=sys.stderr)
    if console.is_jupyter:
        from crossmesh.emulator.runs.notebook import NotebookBar

        return NotebookBar()
    return Bar(console) if console.is_terminal else PlainLines(console)
