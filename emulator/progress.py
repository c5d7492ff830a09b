"""Showing how a run goes: a bar on a terminal, plain lines elsewhere."""

import sys
import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from emulator.rundir import MetricsRow
from emulator.training import Listener, Silence

PLAIN_EVERY_S = 10.0


class Bar:
    """A Rich progress bar with loss, examples per second and time left. A context manager."""

    def __init__(self, console: Console) -> None:
        self._bar = Progress(
            TextColumn("{task.description:9}"),
            BarColumn(),
            TextColumn("{task.percentage:3.0f} %"),
            TextColumn("{task.fields[loss]}"),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._task: TaskID | None = None
        self._started = time.perf_counter()
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
        self._task = self._bar.add_task(name, total=total or None, loss="", rate="")
        self._started, self._first = time.perf_counter(), None

    def progress(self, examples: int, loss: float | None = None) -> None:
        """Move the bar."""
        if self._task is None:
            return
        if self._first is None:
            self._first = examples
        seconds = time.perf_counter() - self._started
        rate = (examples - self._first) / seconds if seconds > 0 else 0.0
        fields = {"rate": f"{rate:,.0f} examples/s" if rate else ""}
        if loss is not None:
            fields["loss"] = f"loss {loss:.4f}"
        self._bar.update(self._task, completed=examples, **fields)  # type: ignore[arg-type]

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
        self._print(f"{name}: {total} examples" if total else name)

    def progress(self, examples: int, loss: float | None = None) -> None:
        """Say how far, now and then."""
        if time.perf_counter() < self._due:
            return
        self._due = time.perf_counter() + PLAIN_EVERY_S
        behind = "" if loss is None else f", loss {loss:.4f}"
        self._print(f"{self._name}: {examples} of {self._total} examples{behind}")

    def row(self, row: MetricsRow) -> None:
        """A line for every test."""
        if row.test_loss is not None:
            self._print(epoch_line(row))

    def _print(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True)


class Quiet(Silence):
    """Nothing at all. A context manager."""

    def __enter__(self) -> "Quiet":
        return self

    def __exit__(self, *error: object) -> None:
        pass


def epoch_line(row: MetricsRow) -> str:
    """An epoch in words."""
    test = f"test loss {row.test_loss:.4f}"
    if row.test_accuracy is not None:
        test += f", test accuracy {100 * row.test_accuracy:.2f} %"
    speed = row.examples / row.wall_s if row.wall_s else 0.0
    return f"epoch {row.epoch}: loss {row.loss:.4f}, {test}, {speed:,.0f} examples/s"


def display(*, quiet: bool) -> Bar | PlainLines | Quiet:
    """What fits where the output goes: progress is written to standard error."""
    if quiet:
        return Quiet()
    console = Console(file=sys.stderr)
    return Bar(console) if console.is_terminal else PlainLines(console)


__all__ = ["Bar", "Listener", "PlainLines", "Quiet", "display"]
